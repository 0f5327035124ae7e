/**
 * What an event adds to the counters. A counter is a name with a number in a period of UTC; the site has one set of them for
 * each period, each list another, and a list's are there only once something happened. Pure: a batch's events make tallies, and
 * the tallies of two batches add up.
 *
 * Questions of existence (address verification and callouts, most of the time) come beside the post that they are about, so
 * they are counted apart, as `probes`, and nowhere else.
 */
import { REASONS } from '../core/reason.ts'
import type { ListAddress } from '../core/transaction.ts'
import { VERDICT_KINDS } from '../core/verdict.ts'
import type { JournalEvent } from './journal-event.ts'

export const PERIODS = ['minute', 'hour', 'day'] as const
export type Period = (typeof PERIODS)[number]

/** Periods of which there are top lists and unique senders. */
export type LongPeriod = Exclude<Period, 'minute'>

/** In milliseconds. */
export const PERIOD_MS: Readonly<Record<Period, number>> = {
  minute: 60_000,
  hour: 3_600_000,
  day: 86_400_000,
}

/** Characters of `2026-11-22T14:25`. */
const LENGTH: Readonly<Record<Period, number>> = { minute: 16, hour: 13, day: 10 }

/** What is refused most: by sender, by the sender's domain, and from which list. */
export const TOP_KINDS = ['senders', 'domains', 'lists'] as const
export type TopKind = (typeof TOP_KINDS)[number]

/** Upper bounds of the latency histogram's classes, in milliseconds; the last one has none. */
export const LATENCY_BOUNDS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] as const

/** The period in which a time lies: `2026-11-22T14:25`, `2026-11-22T14` or `2026-11-22`. */
export function periodStart(period: Period, time: number): string {
  return new Date(time).toISOString().slice(0, LENGTH[period])
}

/** When a period begins, in milliseconds since the epoch. */
export function timeOfStart(period: Period, start: string): number {
  return Date.parse(`${start}${'1970-01-01T00:00:00Z'.slice(LENGTH[period])}`)
}

/** The last `count` periods up to the one of a time, the earliest first. */
export function lastStarts(period: Period, count: number, now: number): readonly string[] {
  return Array.from({ length: count }, (_, index) =>
    periodStart(period, now - (count - 1 - index) * PERIOD_MS[period]),
  )
}

/** The class of a latency: `latency:5` is up to 5 ms, and more than the class before. */
export function latencyClass(ms: number): string {
  return `latency:${LATENCY_BOUNDS.find(bound => ms <= bound) ?? 'more'}`
}

/** Whether an event only says that an address exists. */
export function isProbe({ reason }: Pick<JournalEvent, 'reason'>): boolean {
  return reason === 'existence-only'
}

/** Whether somebody was refused, or would have been but for the shadow mode. */
export function isRefusal({ verdict, would }: Pick<JournalEvent, 'verdict' | 'would'>): boolean {
  return (would ?? verdict) === 'reject'
}

/** The site's counters that an event adds one to, each once. */
export function siteCounters(event: JournalEvent): readonly string[] {
  if (isProbe(event)) return ['probes']
  const { verdict, reason, front, phase, would, wouldReason } = event
  const shadow = would === undefined ? [] : [`would:${would}`, `would:${would}:${wouldReason}`]
  return [
    'decisions',
    `verdict:${verdict}`,
    `reason:${reason}`,
    `front:${front}`,
    `${verdict}:${reason}`,
    `at:${front}:${phase}:${verdict}`,
    latencyClass(event.latency),
    ...shadow,
  ]
}

/** A list's counters that an event about it adds one to, each once. */
export function listCounters(event: JournalEvent): readonly string[] {
  if (event.list === undefined) return []
  if (isProbe(event)) return ['probes']
  const { verdict, reason, would } = event
  return [`verdict:${verdict}`, `reason:${reason}`, ...(would === undefined ? [] : [`would:${would}`])]
}

/** Every counter that a list can have. */
export const LIST_COUNTERS: readonly string[] = [
  'probes',
  ...VERDICT_KINDS.map(kind => `verdict:${kind}`),
  ...VERDICT_KINDS.map(kind => `would:${kind}`),
  ...REASONS.map(reason => `reason:${reason}`),
]

/** What a batch adds to one period's counters. */
export interface Tally {
  readonly period: Period
  readonly start: string
  readonly site: ReadonlyMap<string, number>
  /** By list and counter. */
  readonly lists: ReadonlyMap<ListAddress, ReadonlyMap<string, number>>
  /** Empty of minutes, as is `senders`. */
  readonly top: Readonly<Record<TopKind, ReadonlyMap<string, number>>>
  readonly senders: ReadonlySet<string>
}

class OpenTally implements Tally {
  readonly site = new Map<string, number>()
  readonly lists = new Map<ListAddress, Map<string, number>>()
  readonly top: Record<TopKind, Map<string, number>> = {
    senders: new Map(),
    domains: new Map(),
    lists: new Map(),
  }
  readonly senders = new Set<string>()
  readonly period: Period
  readonly start: string

  constructor(period: Period, start: string) {
    this.period = period
    this.start = start
  }

  add(event: JournalEvent): void {
    for (const name of siteCounters(event)) count(this.site, name)
    if (event.list !== undefined) {
      const list = this.lists.get(event.list) ?? new Map<string, number>()
      this.lists.set(event.list, list)
      for (const name of listCounters(event)) count(list, name)
    }
    if (this.period === 'minute' || isProbe(event)) return
    if (event.sender) this.senders.add(event.sender.toLowerCase())
    if (!isRefusal(event)) return
    if (event.sender) count(this.top.senders, event.sender.toLowerCase())
    if (event.senderDomain !== undefined) count(this.top.domains, event.senderDomain)
    if (event.list !== undefined) count(this.top.lists, event.list)
  }
}

/** Adds to a counter. */
export function count(counters: Map<string, number>, name: string, by = 1): void {
  counters.set(name, (counters.get(name) ?? 0) + by)
}

/** Counters of the site that no event stands behind, and when they were noticed. */
export interface Unwritten {
  readonly time: number
  /** Repetitions of questions that are in the journal. */
  readonly repeated: number
  /** Events that were lost. */
  readonly lost: number
}

/** What events add to the counters of their periods. */
export function tally(events: readonly JournalEvent[], unwritten?: Unwritten): readonly Tally[] {
  const tallies = new Map<string, OpenTally>()
  const of = (period: Period, time: number): OpenTally => {
    const start = periodStart(period, time)
    const found = tallies.get(start) ?? new OpenTally(period, start)
    tallies.set(start, found)
    return found
  }
  // Most events of a batch lie in one minute.
  let minute = Number.NaN
  let current: readonly OpenTally[] = []
  for (const event of events) {
    const inMinute = Math.floor(event.time / PERIOD_MS.minute)
    if (inMinute !== minute) current = PERIODS.map(period => of(period, event.time))
    minute = inMinute
    for (const each of current) each.add(event)
  }
  if (unwritten !== undefined) {
    for (const period of PERIODS) {
      const { site } = of(period, unwritten.time)
      if (unwritten.repeated > 0) count(site, 'repeated', unwritten.repeated)
      if (unwritten.lost > 0) count(site, 'lost', unwritten.lost)
    }
  }
  return [...tallies.values()]
}
