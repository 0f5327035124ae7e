/** The journal in the embedded store: rows beside the directory's, in the same files. */
import { LIST_COUNTERS, type LongPeriod, type Period, type TopKind } from '../app/counters.ts'
import type {
  Figures,
  Heartbeat,
  JournalBatch,
  JournalStore,
  Retention,
  StoredEvent,
  TopEntry,
} from '../app/journal.ts'
import { readEvent } from '../app/journal-event.ts'
import type { Clock } from '../app/ports.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { EmbeddedStoreOptions } from './embedded.ts'
import { EmbeddedDatabase } from './embedded-database.ts'
import { BY_LIST, JournalRows, kindRange, listCounterName } from './embedded-journal-rows.ts'
import { HyperLogLog } from './hyperloglog.ts'
import { heartbeatFields, readHeartbeat } from './journal-texts.ts'
import { mostFrequent } from './most-frequent.ts'

type EventKey = [ms: number, number: number]

/** The first key after an id, or before it. What is no id is before all others. */
function keyOf(id: string): EventKey {
  const match = /^(\d{1,15})-(\d{1,15})$/.exec(id)
  return [Number(match?.[1] ?? 0), Number(match?.[2] ?? 0)]
}

function storedEvent({ key, value }: { key: EventKey; value: readonly string[] }): readonly StoredEvent[] {
  const event = readEvent(value)
  return event === undefined ? [] : [{ ...event, id: `${key[0]}-${key[1]}` }]
}

class EmbeddedJournal implements JournalStore {
  readonly description: string
  readonly #database: EmbeddedDatabase
  readonly #rows: JournalRows
  readonly #clock: Clock
  #closing: Promise<void> | undefined

  constructor(database: EmbeddedDatabase, clock: Clock) {
    this.description = `embedded store in ${database.path}`
    this.#database = database
    this.#rows = new JournalRows(database.tables)
    this.#clock = clock
  }

  async append(batch: JournalBatch, retention: Retention): Promise<void> {
    await this.#database.change(() => this.#rows.append(batch, retention, this.#clock()))
  }

  async beat(heartbeat: Heartbeat): Promise<void> {
    await this.#database.change(() => {
      this.#database.tables.journalNodes.put(heartbeat.node, heartbeatFields(heartbeat))
      this.#rows.sweepNodes(heartbeat.time)
    })
  }

  async before(id: string | undefined, limit: number): Promise<readonly StoredEvent[]> {
    const start = id === undefined ? {} : { start: keyOf(id), exclusiveStart: true }
    return this.#events({ ...start, reverse: true, limit })
  }

  async after(id: string | undefined, limit: number): Promise<readonly StoredEvent[]> {
    const start = id === undefined ? {} : { start: keyOf(id), exclusiveStart: true }
    return this.#events({ ...start, limit })
  }

  async count(): Promise<number> {
    return this.#database.read(() => this.#rows.count())
  }

  async figures(period: Period, starts: readonly string[]): Promise<readonly Figures[]> {
    return this.#database.read(() => starts.map(start => new Map(this.#counts(period, start, 'site'))))
  }

  async listFigures(
    list: ListAddress,
    period: Period,
    starts: readonly string[],
  ): Promise<readonly Figures[]> {
    const { journalCounts } = this.#database.tables
    return this.#database.read(() =>
      starts.map(start => {
        const figures = LIST_COUNTERS.flatMap(counter => {
          const count = journalCounts.get([period, start, BY_LIST, listCounterName(list, counter)])
          return count === undefined ? [] : [[counter, count] as const]
        })
        return new Map(figures)
      }),
    )
  }

  async top(
    kind: TopKind,
    period: LongPeriod,
    starts: readonly string[],
    limit: number,
  ): Promise<readonly TopEntry[]> {
    return this.#database.read(() =>
      mostFrequent(
        starts.flatMap(start => this.#counts(period, start, kind)),
        limit,
      ),
    )
  }

  async uniqueSenders(period: LongPeriod, starts: readonly string[]): Promise<number> {
    const all = new HyperLogLog()
    this.#database.read(() => {
      for (const start of starts) {
        const sketch = this.#database.tables.journalSenders.get([period, start])
        if (sketch !== undefined) all.join(new HyperLogLog(sketch))
      }
    })
    return all.count()
  }

  async nodes(): Promise<readonly Heartbeat[]> {
    return this.#database.read(() =>
      [...this.#database.tables.journalNodes.getRange({})].flatMap(({ value }) => readHeartbeat(value) ?? []),
    )
  }

  close(): Promise<void> {
    this.#closing ??= this.#database.release()
    return this.#closing
  }

  #counts(period: Period, start: string, kind: string): readonly (readonly [string, number])[] {
    const range = this.#database.tables.journalCounts.getRange(kindRange(period, start, kind))
    return [...range].map(({ key, value }) => [key[3], value] as const)
  }

  #events(range: {
    start?: EventKey
    exclusiveStart?: boolean
    reverse?: boolean
    limit: number
  }): readonly StoredEvent[] {
    return this.#database.read(() =>
      [...this.#database.tables.journalEvents.getRange(range)].flatMap(storedEvent),
    )
  }
}

/**
 * Opens the journal of the embedded store.
 * @throws StoreUnusable if the path cannot be used, StoreSchemaError if a newer version has written there
 */
export async function openEmbeddedJournal(options: EmbeddedStoreOptions): Promise<JournalStore> {
  return new EmbeddedJournal(await EmbeddedDatabase.acquire(options.path), options.clock ?? Date.now)
}
