/** `postern export`: writes what the store holds as an import document. */
import { readListAddress } from '../../app/administration/lists.ts'
import { type AddCommand, repeated, teach } from '../command.ts'

export const exportCommand: AddCommand = (parent, session) => {
  teach(
    parent
      .command('export')
      .summary('write everything as one JSON document')
      .description(
        'Writes domains, lists, people, bans, forbidden senders and MTAs as one JSON document, in a stable order, one person a line. With --list only that list and its domain.',
      )
      .option('--list <list>', 'this list only; may be repeated', repeated)
      .action(async (options: { readonly list?: readonly string[] }) => {
        const { exportDocument } = await import('../../app/document-export.ts')
        const named = options.list?.map(text => session.value(readListAddress(text)))
        const administration = await session.administration()
        for (const { key } of named ?? []) session.value(await administration.people.list(key))
        const { stdout } = session.world
        for await (const piece of exportDocument(await session.store(), named ?? 'everything')) {
          const waiting = stdout.add(piece)
          if (waiting !== undefined) await waiting
        }
        await stdout.flush()
      }),
    [
      ['postern export > postern.json', 'everything'],
      ['postern export --list team@lists.example.org > team.json', 'one list'],
      ['postern export | postern --config other.toml import -', 'into another store'],
    ],
  )
}
