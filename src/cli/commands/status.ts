/** `postern status`: is everybody there, and what was decided this hour and today? */
import { type LongPeriod, periodStart, TOP_KINDS, type TopKind } from '../../app/counters.ts'
import type { Figures, Heartbeat, JournalReader, TopEntry } from '../../app/journal.ts'
import { HEARTBEAT_MS } from '../../app/journal-writer.ts'
import { REASONS } from '../../core/reason.ts'
import { VERDICT_KINDS } from '../../core/verdict.ts'
import { type AddCommand, JSON_OPTION, teach } from '../command.ts'
import { durationInWords, shown } from '../event-words.ts'
import { columns, jsonValue } from '../listing.ts'
import type { Session } from '../session.ts'

/** Names of a top list that are shown. */
const TOP = 5

const TOP_WORDS: Readonly<Record<TopKind, string>> = {
  senders: 'refused senders',
  domains: 'refused domains',
  lists: 'refusing lists',
}

interface PeriodStatus {
  readonly figures: Figures
  readonly uniqueSenders: number
  readonly top: Readonly<Record<TopKind, readonly TopEntry[]>>
}

interface Status {
  readonly store: string
  readonly now: number
  readonly nodes: readonly Heartbeat[]
  readonly events: number
  readonly lastEvent: number | undefined
  readonly hour: PeriodStatus
  readonly today: PeriodStatus
}

async function periodStatus(reader: JournalReader, period: LongPeriod, now: number): Promise<PeriodStatus> {
  const starts = [periodStart(period, now)]
  const [figures = new Map<string, number>()] = await reader.figures(period, starts)
  const top = { senders: [], domains: [], lists: [] } as Record<TopKind, readonly TopEntry[]>
  for (const kind of TOP_KINDS) top[kind] = await reader.top(kind, period, starts, TOP)
  return { figures, uniqueSenders: await reader.uniqueSenders(period, starts), top }
}

async function statusOf(reader: JournalReader, store: string, now: number): Promise<Status> {
  const [last] = await reader.before(undefined, 1)
  return {
    store,
    now,
    nodes: await reader.nodes(),
    events: await reader.count(),
    lastEvent: last?.time,
    hour: await periodStatus(reader, 'hour', now),
    today: await periodStatus(reader, 'day', now),
  }
}

/** A node that missed several beats. */
function isSilent({ time, state }: Heartbeat, now: number): boolean {
  return state === 'serving' && now - time > 4 * HEARTBEAT_MS
}

function stateOf(node: Heartbeat, now: number): string {
  if (node.state === 'stopped') return `stopped ${durationInWords(now - node.time)} ago`
  if (isSilent(node, now)) return `silent for ${durationInWords(now - node.time)}`
  return `serving for ${durationInWords(now - node.started)}`
}

function nodeRow(node: Heartbeat, now: number): readonly string[] {
  const { version, pid, written, lost, waiting } = node
  const counts = `${written} written, ${waiting} waiting, ${lost} lost`
  return [shown(node.node), stateOf(node, now), shown(version), `pid ${pid}`, counts]
}

function figureRows({ hour, today }: Status): readonly (readonly string[])[] {
  const row = (label: string, name: string): readonly (readonly string[])[] => {
    const [inHour, inDay] = [hour.figures.get(name) ?? 0, today.figures.get(name) ?? 0]
    return inDay === 0 && inHour === 0 ? [] : [[label, String(inHour), String(inDay)]]
  }
  return [
    ['', 'this hour', 'today'],
    ['decisions', String(hour.figures.get('decisions') ?? 0), String(today.figures.get('decisions') ?? 0)],
    ...VERDICT_KINDS.flatMap(kind => [
      ...row(kind, `verdict:${kind}`),
      ...REASONS.flatMap(reason => row(`  ${reason}`, `${kind}:${reason}`)),
    ]),
    ...VERDICT_KINDS.flatMap(kind => row(`would ${kind}`, `would:${kind}`)),
    ...row('probes', 'probes'),
    ...row('repetitions', 'repeated'),
    ...row('lost', 'lost'),
    ['senders', String(hour.uniqueSenders), String(today.uniqueSenders)],
  ]
}

function textOf(status: Status): string {
  const { store, nodes, now, events, lastEvent, today } = status
  const last = lastEvent === undefined ? 'none yet' : `${durationInWords(now - lastEvent)} ago`
  const tops = TOP_KINDS.flatMap(kind =>
    today.top[kind].length === 0
      ? []
      : [
          '',
          `${TOP_WORDS[kind]}, today`,
          ...columns(today.top[kind].map(({ name, count }) => [`  ${count}`, shown(name)])),
        ],
  )
  return [
    ...columns([
      ['store', store],
      ['events', String(events)],
      ['last event', last],
    ]),
    '',
    ...(nodes.length === 0 ? ['no node was heard of'] : columns(nodes.map(node => nodeRow(node, now)))),
    '',
    ...columns(figureRows(status)),
    ...tops,
  ].join('\n')
}

function periodJson({ figures, uniqueSenders, top }: PeriodStatus): object {
  return { figures: Object.fromEntries(figures), unique_senders: uniqueSenders, top }
}

function jsonOf({ store, now, nodes, events, lastEvent, hour, today }: Status): object {
  return {
    store,
    nodes: nodes.map(node => ({ ...node, silent: isSilent(node, now) })),
    events,
    last_event: lastEvent ?? null,
    hour: periodJson(hour),
    today: periodJson(today),
  }
}

async function status(session: Session, options: { readonly json?: true }): Promise<void> {
  const { clock, stdout } = session.world
  const store = await session.store()
  const found = await statusOf(await session.journal(), store.description, clock())
  if (options.json === true) await jsonValue(stdout, jsonOf(found))
  else await stdout.line(textOf(found))
}

export const statusCommand: AddCommand = (parent, session) => {
  teach(
    parent
      .command('status')
      .summary('who is there, and what was decided today')
      .description(
        'Shows the store, every host that decides by it, the figures of this hour and of today by verdict and reason, and who is refused most. Hours and days are those of UTC.',
      )
      .option(...JSON_OPTION)
      .action((options: { readonly json?: true }) => status(session, options)),
    [
      ['postern status', 'for people'],
      ['postern status --json', 'for a monitoring system'],
    ],
  )
}
