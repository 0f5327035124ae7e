/**
 * A journal in memory: the shortest adapter that keeps the port's promises, for tests that are about something else. It goes
 * through the same conformance suite as the real ones.
 */
import {
  LIST_COUNTERS,
  type LongPeriod,
  PERIOD_MS,
  type Period,
  type TopKind,
  timeOfStart,
} from '../../src/app/counters.ts'
import {
  type Figures,
  HEARTBEAT_KEPT_MS,
  type Heartbeat,
  type JournalBatch,
  type JournalStore,
  MAX_TOP,
  type Retention,
  type StoredEvent,
  type TopEntry,
} from '../../src/app/journal.ts'
import { eventFields, readEvent } from '../../src/app/journal-event.ts'
import type { ListAddress } from '../../src/core/transaction.ts'

interface Kept {
  readonly until: number
  readonly site: Map<string, number>
  readonly lists: Map<string, number>
  readonly top: Record<TopKind, Map<string, number>>
  readonly senders: Set<string>
}

function add(to: Map<string, number>, name: string, count: number): void {
  to.set(name, (to.get(name) ?? 0) + count)
}

function sorted(entries: Iterable<readonly [string, number]>): TopEntry[] {
  return [...entries]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
}

export class MemoryJournal implements JournalStore {
  readonly description = 'memory'
  readonly #clock: () => number
  readonly #batches = new Map<string, string>()
  readonly #periods = new Map<string, Kept>()
  readonly #nodes = new Map<string, Heartbeat>()
  #events: (readonly [key: readonly [number, number], fields: readonly string[]])[] = []

  constructor(clock: () => number = Date.now) {
    this.#clock = clock
  }

  async append(batch: JournalBatch, retention: Retention): Promise<void> {
    if (this.#batches.get(batch.writer) === batch.id) return
    this.#batches.set(batch.writer, batch.id)
    const [lastMs = 0, lastNumber = -1] = this.#events.at(-1)?.[0] ?? []
    const ms = Math.max(lastMs, this.#clock())
    let number = ms === lastMs ? lastNumber : -1
    for (const event of batch.events) this.#events.push([[ms, ++number], eventFields(event)])
    this.#events = this.#events.slice(-retention.maxEvents)
    for (const tally of batch.tallies) {
      const key = `${tally.period} ${tally.start}`
      const until =
        timeOfStart(tally.period, tally.start) + (retention.keep[tally.period] + 1) * PERIOD_MS[tally.period]
      const kept: Kept = this.#periods.get(key) ?? {
        until,
        site: new Map(),
        lists: new Map(),
        top: { senders: new Map(), domains: new Map(), lists: new Map() },
        senders: new Set(),
      }
      this.#periods.set(key, kept)
      for (const [name, count] of tally.site) add(kept.site, name, count)
      for (const [list, counts] of tally.lists)
        for (const [name, count] of counts) add(kept.lists, `${list} ${name}`, count)
      for (const kind of ['senders', 'domains', 'lists'] as const) {
        for (const [name, count] of tally.top[kind]) add(kept.top[kind], name, count)
        const names = sorted(kept.top[kind]).slice(0, MAX_TOP)
        kept.top[kind] = new Map(names.map(({ name, count }) => [name, count]))
      }
      for (const sender of tally.senders) kept.senders.add(sender)
    }
  }

  async beat(heartbeat: Heartbeat): Promise<void> {
    this.#nodes.set(heartbeat.node, heartbeat)
    for (const [name, { time }] of this.#nodes)
      if (time < heartbeat.time - HEARTBEAT_KEPT_MS) this.#nodes.delete(name)
  }

  #stored(): StoredEvent[] {
    return this.#events.flatMap(([[ms, number], fields]) => {
      const event = readEvent(fields)
      return event === undefined ? [] : [{ ...event, id: `${ms}-${number}` }]
    })
  }

  async before(id: string | undefined, limit: number): Promise<readonly StoredEvent[]> {
    const all = this.#stored()
    const end = id === undefined ? all.length : all.findIndex(event => event.id === id)
    return all.slice(0, Math.max(0, end)).reverse().slice(0, limit)
  }

  async after(id: string | undefined, limit: number): Promise<readonly StoredEvent[]> {
    const all = this.#stored()
    const start = id === undefined ? 0 : all.findIndex(event => byId(event.id, id) > 0)
    return start === -1 ? [] : all.slice(start, start + limit)
  }

  async count(): Promise<number> {
    return this.#events.length
  }

  #of(period: Period, start: string): Kept | undefined {
    const kept = this.#periods.get(`${period} ${start}`)
    return kept === undefined || kept.until <= this.#clock() ? undefined : kept
  }

  async figures(period: Period, starts: readonly string[]): Promise<readonly Figures[]> {
    return starts.map(start => new Map(this.#of(period, start)?.site))
  }

  async listFigures(
    list: ListAddress,
    period: Period,
    starts: readonly string[],
  ): Promise<readonly Figures[]> {
    return starts.map(start => {
      const lists = this.#of(period, start)?.lists
      return new Map(
        LIST_COUNTERS.flatMap(counter => {
          const count = lists?.get(`${list} ${counter}`)
          return count === undefined ? [] : [[counter, count] as const]
        }),
      )
    })
  }

  async top(
    kind: TopKind,
    period: LongPeriod,
    starts: readonly string[],
    limit: number,
  ): Promise<readonly TopEntry[]> {
    const sums = new Map<string, number>()
    for (const start of starts)
      for (const [name, count] of this.#of(period, start)?.top[kind] ?? []) add(sums, name, count)
    return sorted(sums).slice(0, limit)
  }

  async uniqueSenders(period: LongPeriod, starts: readonly string[]): Promise<number> {
    return new Set(starts.flatMap(start => [...(this.#of(period, start)?.senders ?? [])])).size
  }

  async nodes(): Promise<readonly Heartbeat[]> {
    return [...this.#nodes.values()].sort((a, b) => (a.node < b.node ? -1 : 1))
  }

  async close(): Promise<void> {}
}

function byId(a: string, b: string): number {
  const [[ms = 0, number = 0], [otherMs = 0, otherNumber = 0]] = [a, b].map(id =>
    id.split('-').map(Number),
  ) as [number[], number[]]
  return ms - otherMs || number - otherNumber
}
