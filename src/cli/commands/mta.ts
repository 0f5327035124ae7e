/** `postern mta`: the MTAs that are known, and those that are refused. */
import { readMta } from '../../app/administration/mtas.ts'
import type { MtaList } from '../../app/ports.ts'
import type { MtaKey } from '../../core/mta.ts'
import { type AddCommand, JSON_OPTION, teach } from '../command.ts'
import { list } from '../listing.ts'

interface Options {
  readonly refuse?: true
  readonly json?: true
}

const REFUSE_OPTION = ['--refuse', 'the MTAs that are refused, not those that are known'] as const

const MTA_HELP = `An MTA is one of:
  192.0.2.0/24      a network, IPv4 or IPv6, or a single address
  mx.example.net    a host, in any case
  .example.net      every host of a domain, and the domain itself
A known MTA is known by its network or its verified name. A refused one is also
found by the name it gives at HELO.`

function listOf(options: Options): MtaList {
  return options.refuse === true ? 'refused' : 'known'
}

async function* both(
  lists: readonly MtaList[],
  all: (of: MtaList) => AsyncIterable<MtaKey>,
): AsyncGenerator<{ readonly of: MtaList; readonly key: MtaKey }> {
  for (const of of lists) for await (const key of all(of)) yield { of, key }
}

export const mtaCommands: AddCommand = (parent, session) => {
  const mta = parent
    .command('mta')
    .summary('the MTAs that are known, and those that are refused')
    .description(
      'Sending MTAs. As soon as one MTA is known, all that are not known are refused. Refused ones are refused in any case: at EHLO, or at CONNECT if the configuration says so.',
    )

  teach(
    mta
      .command('add')
      .summary('add known or refused MTAs')
      .description('Adds MTAs to those that are known, or to those that are refused.')
      .argument('<mta...>', 'networks or names')
      .option(...REFUSE_OPTION)
      .action(async (texts: readonly string[], options: Options) => {
        const keys = texts.map(text => session.value(readMta(text)))
        const { mtas } = await session.administration()
        const of = listOf(options)
        for (const key of keys) {
          const { change, begins } = await mtas.add(of, key)
          await session.say(change === 'unchanged' ? `${key}: ${of} already` : `${key}: ${of}`)
          if (begins) await session.warn('this is the first known MTA; from now on all others are refused')
        }
      }),
    [
      ['postern mta add 192.0.2.0/24 .example.net', 'take mail from these only'],
      ['postern mta add --refuse mx.spam.example', 'refuse one host'],
    ],
    MTA_HELP,
  )

  teach(
    mta
      .command('remove')
      .summary('remove known or refused MTAs')
      .description('Removes MTAs from those that are known, or from those that are refused.')
      .argument('<mta...>', 'networks or names')
      .option(...REFUSE_OPTION)
      .action(async (texts: readonly string[], options: Options) => {
        const keys = texts.map(text => session.value(readMta(text)))
        const { mtas } = await session.administration()
        const of = listOf(options)
        for (const key of keys) {
          const outcome = await mtas.remove(of, key)
          if (!outcome.ok) {
            await session.refuse(outcome.problem)
            continue
          }
          await session.say(`${key}: ${of} no longer`)
          if (outcome.value.ends) {
            await session.warn('no MTA is known any more; from now on every one may come that is not refused')
          }
        }
      }),
    [['postern mta remove --refuse mx.spam.example', 'let it come again']],
    MTA_HELP,
  )

  teach(
    mta
      .command('ls')
      .summary('show known and refused MTAs')
      .description('Shows the MTAs that are known and those that are refused, or only the latter.')
      .option('--refuse', 'only those that are refused')
      .option(...JSON_OPTION)
      .action(async (options: Options) => {
        const { mtas } = await session.administration()
        const lists: readonly MtaList[] = options.refuse === true ? ['refused'] : ['known', 'refused']
        await list(
          session.world.stdout,
          both(lists, of => mtas.all(of)),
          {
            json: options.json === true,
            text: ({ of, key }) => `${of}\t${key}`,
            value: ({ of, key }) => ({ mta: key, list: of }),
          },
        )
      }),
    [['postern mta ls', 'one a line: known or refused, a tab, the network or name']],
  )
}
