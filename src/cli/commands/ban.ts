/** `postern ban`: senders who may not post to a list, or to any. */
import { readWho } from '../../app/administration/people.ts'
import { formatWho } from '../../core/who.ts'
import { type AddCommand, JSON_OPTION, teach, WHO_HELP } from '../command.ts'
import { list } from '../listing.ts'

interface Options {
  readonly list?: string
  readonly json?: true
}

const LIST_OPTION = ['--list <list>', 'of this list only; without it: of all lists'] as const

export const banCommands: AddCommand = (parent, session) => {
  const ban = parent
    .command('ban')
    .summary('senders who are banned from a list, or from all')
    .description(
      'Bans. Who is banned may not post, whatever else they are: they are refused at RCPT, and told that they are banned.',
    )

  teach(
    ban
      .command('add')
      .summary('ban senders')
      .description('Bans senders from a list, or from all lists.')
      .argument('<who...>', 'addresses or domains')
      .option(...LIST_OPTION)
      .action(async (texts: readonly string[], options: Options) => {
        const everybody = texts.map(text => session.value(readWho(text)))
        const { bans } = await session.administration()
        const scope = session.value(await bans.scope(options.list))
        for (const who of everybody) {
          const change = session.value(await bans.add(scope, who))
          const from = scope === 'site' ? 'all lists' : scope
          await session.say(
            `${formatWho(who)}: ${change === 'unchanged' ? 'banned already' : 'banned'} from ${from}`,
          )
        }
      }),
    [
      ['postern ban add mallory@example.net --list team@lists.example.org', 'from one list'],
      ['postern ban add @.spam.example', 'a domain and all below it, from all lists'],
    ],
    WHO_HELP,
  )

  teach(
    ban
      .command('remove')
      .summary('lift bans')
      .description(
        'Lifts bans. Only the very entries that are named: lifting the ban of a domain lifts no other.',
      )
      .argument('<who...>', 'addresses or domains')
      .option(...LIST_OPTION)
      .action(async (texts: readonly string[], options: Options) => {
        const everybody = texts.map(text => session.value(readWho(text)))
        const { bans } = await session.administration()
        const scope = session.value(await bans.scope(options.list))
        for (const who of everybody) {
          const outcome = await bans.remove(scope, who)
          if (outcome.ok) await session.say(`${formatWho(who)}: ban lifted`)
          else await session.refuse(outcome.problem)
        }
      }),
    [['postern ban remove mallory@example.net --list team@lists.example.org', 'from one list']],
    WHO_HELP,
  )

  teach(
    ban
      .command('ls')
      .summary('show bans')
      .description('Shows the bans from all lists, or those from one list.')
      .option(...LIST_OPTION)
      .option(...JSON_OPTION)
      .action(async (options: Options) => {
        const { bans } = await session.administration()
        const scope = session.value(await bans.scope(options.list))
        await list(session.world.stdout, bans.all(scope), {
          json: options.json === true,
          text: formatWho,
          value: formatWho,
        })
      }),
    [
      ['postern ban ls', 'those from all lists'],
      ['postern ban ls --list team@lists.example.org', 'those from one list'],
    ],
  )
}
