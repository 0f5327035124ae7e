/**
 * The journal in Redis, on a connection of its own, so that a batch is never before a question. `docs/redis-schema.md`
 * describes its keys; a dashboard that knows nothing of Postern may read them.
 */
import { LIST_COUNTERS, type LongPeriod, type Period, type TopKind } from '../app/counters.ts'
import {
  BATCH_KNOWN_MS,
  type Figures,
  HEARTBEAT_KEPT_MS,
  type Heartbeat,
  type JournalBatch,
  type JournalStore,
  MAX_TOP,
  type Retention,
  type StoredEvent,
  type TopEntry,
} from '../app/journal.ts'
import { readEvent } from '../app/journal-event.ts'
import type { ListAddress } from '../core/transaction.ts'
import { heartbeatFields, readHeartbeat } from './journal-texts.ts'
import { DEFAULT_KEY_PREFIX, type JournalKeys, Keys } from './keys.ts'
import { mostFrequent } from './most-frequent.ts'
import { APPLY_BATCH } from './redis/journal-script.ts'
import type { RedisStoreOptions } from './redis.ts'
import { type Command, RedisConnection } from './redis-connection.ts'
import { checkSchema } from './redis-facts.ts'
import { batchCommands, listCounterField } from './redis-journal-batch.ts'
import { StoredDataError } from './store-errors.ts'

/** Keys that one round trip asks about. */
const PAGE = 200

function texts(reply: unknown): readonly string[] {
  return Array.isArray(reply) ? reply.map(String) : []
}

function figuresOf(names: readonly string[], values: readonly unknown[]): Figures {
  const figures = new Map<string, number>()
  names.forEach((name, index) => {
    const value = Number(values[index] ?? Number.NaN)
    if (Number.isSafeInteger(value)) figures.set(name, value)
  })
  return figures
}

/** An entry of the stream: its id, and its fields; one that was deleted meanwhile, or that is no event, is passed over. */
function storedEvent(entry: unknown): readonly StoredEvent[] {
  if (!Array.isArray(entry)) return []
  const event = readEvent(texts(entry[1]))
  return event === undefined ? [] : [{ ...event, id: String(entry[0]) }]
}

class RedisJournal implements JournalStore {
  readonly #connection: RedisConnection
  readonly #keys: Keys
  readonly #names: JournalKeys
  #schemaSeen = false

  constructor(connection: RedisConnection, keys: Keys) {
    this.#connection = connection
    this.#keys = keys
    this.#names = keys.journal
    connection.onLoss(() => {
      this.#schemaSeen = false
    })
  }

  get description(): string {
    return this.#connection.description
  }

  async append(batch: JournalBatch, retention: Retention): Promise<void> {
    await this.#seeSchema()
    const { keys, types, commands } = batchCommands(batch, this.#names, retention)
    await this.#connection.run(
      APPLY_BATCH,
      [this.#names.batch(batch.writer), ...keys],
      [batch.id, BATCH_KNOWN_MS, JSON.stringify(types), JSON.stringify(commands)],
    )
  }

  async beat(heartbeat: Heartbeat): Promise<void> {
    await this.#seeSchema()
    const { nodes } = this.#names
    const key = this.#names.node(heartbeat.node)
    const { node, time } = heartbeat
    await this.#ask([
      ['ZADD', nodes, time, node],
      ['ZREMRANGEBYSCORE', nodes, '-inf', time - HEARTBEAT_KEPT_MS],
      ['PEXPIREAT', nodes, time + HEARTBEAT_KEPT_MS],
      ['HSET', key, ...heartbeatFields(heartbeat)],
      ['PEXPIREAT', key, time + HEARTBEAT_KEPT_MS],
    ])
  }

  async before(id: string | undefined, limit: number): Promise<readonly StoredEvent[]> {
    const end = id === undefined ? '+' : `(${id}`
    return this.#events(['XREVRANGE', this.#names.events, end, '-', 'COUNT', limit])
  }

  async after(id: string | undefined, limit: number): Promise<readonly StoredEvent[]> {
    const start = id === undefined ? '-' : `(${id}`
    return this.#events(['XRANGE', this.#names.events, start, '+', 'COUNT', limit])
  }

  async count(): Promise<number> {
    return Number(await this.#connection.one('XLEN', this.#names.events))
  }

  async figures(period: Period, starts: readonly string[]): Promise<readonly Figures[]> {
    const replies = await this.#ask(starts.map(start => ['HGETALL', this.#names.counters(period, start)]))
    return replies.map(reply => {
      const flat = texts(reply)
      const even = (_: string, index: number): boolean => index % 2 === 0
      return figuresOf(
        flat.filter(even),
        flat.filter((_, index) => index % 2 === 1),
      )
    })
  }

  async listFigures(
    list: ListAddress,
    period: Period,
    starts: readonly string[],
  ): Promise<readonly Figures[]> {
    const fields = LIST_COUNTERS.map(counter => listCounterField(list, counter))
    const replies = await this.#ask(
      starts.map(start => ['HMGET', this.#names.listCounters(period, start), ...fields]),
    )
    return replies.map(reply =>
      figuresOf(
        LIST_COUNTERS,
        Array.isArray(reply) ? reply.map(value => (value === null ? undefined : value)) : [],
      ),
    )
  }

  async top(
    kind: TopKind,
    period: LongPeriod,
    starts: readonly string[],
    limit: number,
  ): Promise<readonly TopEntry[]> {
    // One period's are sorted there; of several, a name may be below the limit in each and above it in the sum.
    const most = starts.length === 1 ? Math.min(limit, MAX_TOP) : MAX_TOP
    const replies = await this.#ask(
      starts.map(start => ['ZRANGE', this.#names.top(kind, period, start), -most, -1, 'WITHSCORES']),
    )
    const entries = replies.flatMap(reply => {
      const flat = texts(reply)
      return Array.from(
        { length: flat.length >> 1 },
        (_, at) => [flat[2 * at] ?? '', Number(flat[2 * at + 1])] as const,
      )
    })
    return mostFrequent(entries, limit)
  }

  async uniqueSenders(period: LongPeriod, starts: readonly string[]): Promise<number> {
    if (starts.length === 0) return 0
    const keys = starts.map(start => this.#names.senders(period, start))
    return Number(await this.#connection.one('PFCOUNT', ...keys))
  }

  async nodes(): Promise<readonly Heartbeat[]> {
    const names = [...texts(await this.#connection.one('ZRANGE', this.#names.nodes, 0, -1))].sort()
    const replies = await this.#ask(names.map(name => ['HGETALL', this.#names.node(name)]))
    return replies.flatMap(reply => readHeartbeat(texts(reply)) ?? [])
  }

  close(): Promise<void> {
    return this.#connection.close()
  }

  async #events(command: Command): Promise<readonly StoredEvent[]> {
    const reply = await this.#connection.one(...command)
    return Array.isArray(reply) ? reply.flatMap(storedEvent) : []
  }

  /** Replies to commands about the journal. @throws StoreUnavailable, StoredDataError */
  async #ask(commands: readonly Command[]): Promise<readonly unknown[]> {
    const replies: unknown[] = []
    for (let at = 0; at < commands.length; at += PAGE) {
      const page = commands.slice(at, at + PAGE)
      const [group = []] = await this.#connection.ask([{ tag: this.#names.tag, commands: page }])
      replies.push(...group)
    }
    for (const reply of replies) if (reply instanceof StoredDataError) throw reply
    return replies
  }

  /** Sees after each loss of the connection that nothing of another schema is written over. */
  async #seeSchema(): Promise<void> {
    if (this.#schemaSeen) return
    checkSchema(await this.#connection.one('GET', this.#keys.site.schema))
    this.#schemaSeen = true
  }
}

/** Opens the journal in Redis. Returns at once, whether Redis is there or not. */
export function openRedisJournal(options: RedisStoreOptions): JournalStore {
  const keys = new Keys(options.prefix ?? DEFAULT_KEY_PREFIX)
  return new RedisJournal(new RedisConnection(options), keys)
}
