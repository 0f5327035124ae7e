/** `postern forbid`: senders who may post to no list, turned away at MAIL. */
import { readWho } from '../../app/administration/people.ts'
import { formatWho } from '../../core/who.ts'
import { type AddCommand, JSON_OPTION, teach, WHO_HELP } from '../command.ts'
import { list } from '../listing.ts'

export const forbidCommands: AddCommand = (parent, session) => {
  const forbid = parent
    .command('forbid')
    .summary('senders who are forbidden to post to any list')
    .description(
      'Forbidden senders. They are refused at MAIL already, before any list is named; a ban refuses at RCPT, where service addresses still take their mail.',
    )

  teach(
    forbid
      .command('add')
      .summary('forbid senders to post at all')
      .description('Forbids senders to post to any list.')
      .argument('<who...>', 'addresses or domains')
      .action(async (texts: readonly string[]) => {
        const everybody = texts.map(text => session.value(readWho(text)))
        const { forbidden } = await session.administration()
        for (const who of everybody) {
          const change = await forbidden.add(who)
          await session.say(
            `${formatWho(who)}: ${change === 'unchanged' ? 'forbidden already' : 'forbidden'}`,
          )
        }
      }),
    [
      ['postern forbid add mallory@example.net', 'one address'],
      ['postern forbid add @.spam.example', 'a domain and all below it'],
    ],
    WHO_HELP,
  )

  teach(
    forbid
      .command('remove')
      .summary('take it back')
      .description('Takes entries back. Only the very entries that are named.')
      .argument('<who...>', 'addresses or domains')
      .action(async (texts: readonly string[]) => {
        const everybody = texts.map(text => session.value(readWho(text)))
        const { forbidden } = await session.administration()
        for (const who of everybody) {
          const outcome = await forbidden.remove(who)
          if (outcome.ok) await session.say(`${formatWho(who)}: forbidden no longer`)
          else await session.refuse(outcome.problem)
        }
      }),
    [['postern forbid remove mallory@example.net', 'who may post again where a list permits']],
    WHO_HELP,
  )

  teach(
    forbid
      .command('ls')
      .summary('show who is forbidden')
      .description('Shows the forbidden senders.')
      .option(...JSON_OPTION)
      .action(async (options: { readonly json?: true }) => {
        const { forbidden } = await session.administration()
        await list(session.world.stdout, forbidden.all(), {
          json: options.json === true,
          text: formatWho,
          value: formatWho,
        })
      }),
    [['postern forbid ls', 'one a line']],
  )
}
