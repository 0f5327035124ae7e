/** `postern journal`: the last decisions, and those that come. */
import type { StoredEvent } from '../../app/journal.ts'
import { type EventFilter, follow, lastEvents, matches } from '../../app/journal-query.ts'
import { parseAddress } from '../../core/address.ts'
import { REASONS } from '../../core/reason.ts'
import { VERDICT_KINDS } from '../../core/verdict.ts'
import { type AddCommand, teach } from '../command.ts'
import { eventLine } from '../event-words.ts'
import { EXIT, Failure } from '../exit.ts'
import type { Session } from '../session.ts'

interface Options {
  readonly follow?: true
  readonly list?: string
  readonly sender?: string
  readonly verdict?: string
  readonly reason?: string
  readonly since?: string
  readonly lines: string
  readonly json?: true
}

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A time as it was typed: so long ago, or a moment. In milliseconds since the epoch. */
function timeOf(text: string, now: number): number {
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(text) ?? []
  if (count !== undefined && unit !== undefined) return now - Number(count) * (UNIT_MS[unit] ?? 0)
  const time = /^\d{4}-\d\d-\d\d(?:T[\d:.]+Z?)?$/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(time)) return time
  throw new Failure(EXIT.usage, '--since takes a time such as 90s, 15m, 2h, 3d or 2026-11-22T14:00Z')
}

function oneOf(text: string | undefined, words: readonly string[], option: string): string | undefined {
  if (text === undefined || words.includes(text)) return text
  throw new Failure(EXIT.usage, `${option} takes one of ${words.join(', ')}`)
}

function filterOf({ list, sender, verdict, reason, since }: Options, now: number): EventFilter {
  const address = list === undefined ? undefined : parseAddress(list)
  if (address?.ok === false) throw new Failure(EXIT.usage, `--list: ${address.problem}`)
  return {
    list: address?.value.key,
    sender: sender === '<>' ? '' : sender,
    verdict: oneOf(verdict, VERDICT_KINDS, '--verdict'),
    reason: oneOf(reason, REASONS, '--reason'),
    since: since === undefined ? undefined : timeOf(since, now),
  }
}

function countOf(text: string): number {
  if (/^\d{1,7}$/.test(text)) return Number(text)
  throw new Failure(EXIT.usage, '--lines takes a whole number')
}

async function journal(session: Session, options: Options): Promise<void> {
  const { stdout, clock, interruption } = session.world
  const filter = filterOf(options, clock())
  const count = countOf(options.lines)
  const write = (event: StoredEvent): Promise<void> | undefined =>
    stdout.add(`${options.json === true ? JSON.stringify(event) : eventLine(event)}\n`)
  const reader = await session.journal()
  const { events, end } = await lastEvents(reader, filter, count)
  for (const event of events) await write(event)
  await stdout.flush()
  if (options.follow !== true) return
  for await (const event of follow(reader, { after: end, signal: interruption() })) {
    if (!matches(event, filter)) continue
    await write(event)
    await stdout.flush()
  }
}

export const journalCommand: AddCommand = (parent, session) => {
  teach(
    parent
      .command('journal')
      .summary('the last decisions, and those that come')
      .description(
        'Shows decisions about lists, of all hosts that share the store, the latest last. A line each: time, verdict, reason, list, sender, front and phase, client and reply, with tabs between.',
      )
      .option('-f, --follow', 'go on with those that come, until interrupted')
      .option('--list <address>', 'about this list')
      .option('--sender <address>', "from this envelope sender; '<>' is the null sender")
      .option('--verdict <verdict>', VERDICT_KINDS.join(', '))
      .option('--reason <reason>', 'for this reason')
      .option('--since <time>', 'from then on: 90s, 15m, 2h or 3d ago, or 2026-11-22T14:00Z')
      .option('-n, --lines <count>', 'at most so many that there are', '50')
      .option('--json', 'print a JSON object a line instead of text')
      .action((options: Options) => journal(session, options)),
    [
      ['postern journal -f --verdict reject', 'refusals as they happen'],
      ['postern journal --list team@lists.example.org --since 2h', 'one list'],
      ['postern journal --sender eve@example.com --json', "one sender's history"],
    ],
  )
}
