/**
 * The journal's rows in the embedded store: written within one change, and taken away a bounded number at a time as others are
 * written, so that no batch waits for the removal of a day.
 */
import { PERIOD_MS, PERIODS, type Period, periodStart, type Tally, TOP_KINDS } from '../app/counters.ts'
import {
  BATCH_KNOWN_MS,
  HEARTBEAT_KEPT_MS,
  type JournalBatch,
  MAX_TOP,
  type Retention,
} from '../app/journal.ts'
import { eventFields } from '../app/journal-event.ts'
import type { Tables } from './embedded-tables.ts'
import { HyperLogLog } from './hyperloglog.ts'
import { readHeartbeat } from './journal-texts.ts'

type CountKey = [period: string, start: string, kind: string, name: string]

/** The row of `meta` that has the number of events. */
const EVENTS = 'journal-events'

/** The kind of count that belongs to a list. */
export const BY_LIST = 'by list'

/** The keys of all names of a kind: it is followed by nothing less than a space. */
export function kindRange(
  period: Period,
  start: string,
  kind: string,
): { readonly start: CountKey; readonly end: CountKey } {
  return { start: [period, start, kind, ''], end: [period, start, `${kind} `, ''] }
}

/** Rows of one kind that are taken away with a batch: more than come with most. */
const SWEPT_AT_ONCE = 1000

/** Keys of LMDB have less than 2 KB; the rest of a longer name would make no other name of it in practice. */
const MAX_NAME = 500

/** What is counted of lists: the list and the counter. */
export function listCounterName(list: string, counter: string): string {
  return `${list} ${counter}`
}

export class JournalRows {
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  /** Writes a batch, unless it is there. Inside a change. */
  append(batch: JournalBatch, retention: Retention, now: number): void {
    const { journalBatches } = this.#tables
    if (journalBatches.get(batch.writer)?.id === batch.id) return
    journalBatches.put(batch.writer, { id: batch.id, at: now })
    this.#addEvents(batch, retention, now)
    for (const tally of batch.tallies) this.#addTally(tally)
    this.#sweep(retention, now)
  }

  /** How many events there are. */
  count(): number {
    return this.#tables.meta.get(EVENTS) ?? 0
  }

  /** Forgets nodes that were not heard of. Inside a change. */
  sweepNodes(now: number): void {
    const { journalNodes } = this.#tables
    const silent = [...journalNodes.getRange({})].filter(
      ({ value }) => (readHeartbeat(value)?.time ?? 0) < now - HEARTBEAT_KEPT_MS,
    )
    for (const { key } of silent) journalNodes.remove(key)
  }

  #addEvents({ events }: JournalBatch, { maxEvents }: Retention, now: number): void {
    const { journalEvents, meta } = this.#tables
    const [last] = journalEvents.getKeys({ reverse: true, limit: 1 })
    // A clock that was set back must not bring an event before one that was read.
    const [lastMs, lastNumber] = last ?? [0, -1]
    const ms = Math.max(now, lastMs)
    let number = ms === lastMs ? lastNumber : -1
    for (const event of events) journalEvents.put([ms, ++number], eventFields(event))
    const count = this.count() + events.length
    const tooMany = Math.min(count - maxEvents, events.length + SWEPT_AT_ONCE)
    const oldest = tooMany > 0 ? [...journalEvents.getKeys({ limit: tooMany })] : []
    for (const key of oldest) journalEvents.remove(key)
    meta.put(EVENTS, count - oldest.length)
  }

  #addTally({ period, start, site, lists, top, senders }: Tally): void {
    for (const [name, count] of site) this.#add([period, start, 'site', name], count)
    for (const [list, counts] of lists) {
      for (const [name, count] of counts)
        this.#add([period, start, BY_LIST, listCounterName(list, name)], count)
    }
    for (const kind of TOP_KINDS) {
      let added = 0
      for (const [name, count] of top[kind]) {
        if (this.#add([period, start, kind, name.slice(0, MAX_NAME)], count)) added++
      }
      if (added > 0) this.#trim(period, start, kind, added)
    }
    if (senders.size === 0) return
    const sketch = new HyperLogLog(this.#tables.journalSenders.get([period, start]))
    for (const sender of senders) sketch.add(sender)
    this.#tables.journalSenders.put([period, start], sketch.text)
  }

  /** Whether the counter is a new one. */
  #add(key: CountKey, count: number): boolean {
    const before = this.#tables.journalCounts.get(key)
    this.#tables.journalCounts.put(key, (before ?? 0) + count)
    return before === undefined
  }

  /** Keeps a top list's size, in a row of its own before the names, and within bounds: twice as many, for a while. */
  #trim(period: Period, start: string, kind: string, added: number): void {
    const { journalCounts } = this.#tables
    const sizes: CountKey = [period, start, `${kind} size`, '']
    const size = (journalCounts.get(sizes) ?? 0) + added
    if (size <= 2 * MAX_TOP) {
      journalCounts.put(sizes, size)
      return
    }
    const fewest = [...journalCounts.getRange(kindRange(period, start, kind))].sort(
      (a, b) => a.value - b.value,
    )
    for (const { key } of fewest.slice(0, Math.max(0, fewest.length - MAX_TOP))) journalCounts.remove(key)
    journalCounts.put(sizes, Math.min(fewest.length, MAX_TOP))
  }

  #sweep({ keep }: Retention, now: number): void {
    const { journalCounts, journalSenders, journalBatches } = this.#tables
    for (const period of PERIODS) {
      const first = periodStart(period, now - keep[period] * PERIOD_MS[period])
      const counts = journalCounts.getKeys({
        start: [period, '', '', ''],
        end: [period, first, '', ''],
        limit: SWEPT_AT_ONCE,
      })
      for (const key of [...counts]) journalCounts.remove(key)
      const senders = journalSenders.getKeys({ start: [period, ''], end: [period, first], limit: 2 })
      for (const key of [...senders]) journalSenders.remove(key)
    }
    const old = [...journalBatches.getRange({})].filter(({ value }) => value.at < now - BATCH_KNOWN_MS)
    for (const { key } of old) journalBatches.remove(key)
  }
}
