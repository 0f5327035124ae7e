/**
 * One connection to Redis: it connects in the background, comes back by itself, fails fast while Redis is away, and
 * turns whatever goes wrong into `StoreUnavailable`. What the keys hold is not its business.
 *
 * Commands go out in groups by hash tag, all groups in one write. A Redis Cluster would get one write for each node
 * that the tags fall to; the groups are there for that day.
 */
import type { ConnectionOptions } from 'node:tls'
import { Redis } from 'ioredis'
import { type Endpoint, formatEndpoint } from '../app/endpoint.ts'
import { StoreUnavailable } from '../app/ports.ts'
import type { Script } from './redis/script.ts'
import { messageOf, StoredDataError, unavailable } from './store-errors.ts'

export interface RedisConnectionOptions {
  readonly endpoint: Endpoint
  /** TLS, with the system's authorities or what Node's `tls.connect` may be told. Off if absent or false. */
  readonly tls?: boolean | ConnectionOptions | undefined
  readonly username?: string | undefined
  readonly password?: string | undefined
  readonly db?: number | undefined
  /** Milliseconds for connecting, and for an answer. */
  readonly timeoutMs?: number | undefined
}

/** A command's name in capitals (ioredis reshapes the replies to others), and its arguments. */
export type Command = readonly [name: string, ...args: (string | number | Buffer)[]]

/** Commands whose keys all carry one hash tag. */
export interface CommandGroup {
  readonly tag: string
  readonly commands: readonly Command[]
}

export const DEFAULT_TIMEOUT_MS = 2000

/** Soon enough that mail flows again within a second, and no burden while it does not. */
const LONGEST_PAUSE_MS = 1000

/** The reply to a command that met another type of value than it is made for. */
const WRONG_TYPE = /\bWRONGTYPE\b/

function isSelectError(error: unknown): boolean {
  const command: unknown = error instanceof Error && 'command' in error ? error.command : undefined
  return typeof command === 'object' && command !== null && 'name' in command && command.name === 'select'
}

export class RedisConnection {
  /** What it is connected to, without secrets. */
  readonly description: string
  readonly #redis: Redis
  readonly #timeoutMs: number
  readonly #firstAttempt: Promise<void>
  #lastError: unknown = new Error('not connected yet')
  /** SELECT failed: ioredis goes on in database 0, where somebody else's data may be. */
  #inWrongDb = false
  #closed = false

  constructor(options: RedisConnectionOptions) {
    const { endpoint, db = 0 } = options
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
    this.description = `redis at ${formatEndpoint(endpoint)}${db === 0 ? '' : `, database ${db}`}`
    this.#redis = new Redis({
      ...(endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port }),
      ...(options.tls === undefined || options.tls === false
        ? {}
        : { tls: options.tls === true ? {} : options.tls }),
      username: options.username,
      password: options.password,
      db,
      // Nothing here needs RESP3, and more servers and proxies know RESP2.
      protocol: 2,
      connectionName: 'postern',
      disableClientInfo: true,
      // The ready check needs the right to INFO; a server that is loading says so to every command anyway.
      enableReadyCheck: false,
      connectTimeout: this.#timeoutMs,
      // A peer that has gone without a word: the connection is dropped, and what waits on it fails.
      socketTimeout: this.#timeoutMs,
      // A process that ends waits this long for a connection that is gone already.
      disconnectTimeout: 100,
      enableOfflineQueue: false,
      // Nobody waits for a connection that is lost, and no change is made twice.
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      retryStrategy: times => Math.min(LONGEST_PAUSE_MS, 25 * 2 ** Math.min(times, 10)),
    })
    this.#redis.on('error', (error: unknown) => {
      this.#lastError = error
      if (isSelectError(error)) this.#inWrongDb = true
    })
    this.#redis.on('ready', () => {
      // A connection that its peer ends in good order gives no other reason.
      this.#lastError = new Error('the connection was lost')
    })
    this.#redis.on('close', () => {
      this.#inWrongDb = false
    })
    this.#firstAttempt = new Promise(resolve => {
      const timer = setTimeout(resolve, this.#timeoutMs)
      for (const event of ['ready', 'close', 'end']) {
        this.#redis.once(event, () => {
          clearTimeout(timer)
          resolve()
        })
      }
    })
  }

  /** Calls back whenever the connection was lost: what was learned of the server may hold no longer. */
  onLoss(callback: () => void): void {
    this.#redis.on('close', callback)
  }

  /**
   * Sends commands in one round trip and gives their replies, group by group. A reply is a `StoredDataError` where the
   * key holds another type of value.
   * @throws StoreUnavailable
   */
  async ask(groups: readonly CommandGroup[]): Promise<readonly (readonly unknown[])[]> {
    const replies = (await this.#send(groups.flatMap(group => group.commands))).map(([error, reply]) => {
      if (error === null) return reply
      throw this.#unavailable(error)
    })
    let end = 0
    return groups.map(({ commands }) => {
      end += commands.length
      return replies.slice(end - commands.length, end)
    })
  }

  /** Sends one command. @throws StoreUnavailable, StoredDataError */
  async one(...command: Command): Promise<unknown> {
    const [[reply] = []] = await this.ask([{ tag: '', commands: [command] }])
    if (reply instanceof StoredDataError) throw reply
    return reply
  }

  /** Runs a script, atomically. Its keys share a hash tag. @throws StoreUnavailable, StoredDataError */
  async run(
    script: Script,
    keys: readonly string[],
    args: readonly (string | number | Buffer)[],
  ): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args]
    let [[error, reply] = [null, undefined]] = await this.#send([['EVALSHA', script.sha, ...rest]])
    // A server that was restarted, or whose scripts were flushed.
    if (error !== null && /^NOSCRIPT\b/.test(error.message)) {
      ;[[error, reply] = [null, undefined]] = await this.#send([['EVAL', script.lua, ...rest]])
    }
    if (error !== null) throw this.#unavailable(error)
    if (reply instanceof StoredDataError) throw reply
    return reply
  }

  /** Lets what is under way end, and disconnects. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    if (this.#isUp()) await this.#inTime(this.#redis.quit()).catch(() => {})
    this.#redis.disconnect()
  }

  async #send(commands: readonly Command[]): Promise<readonly (readonly [Error | null, unknown])[]> {
    // The first words of a process are worth a moment's wait; later, an answer in time is worth more.
    if (!this.#isUp()) await this.#firstAttempt
    if (this.#closed) throw new StoreUnavailable(`${this.description}: the store is closed`)
    if (!this.#isUp() || this.#inWrongDb) throw this.#unavailable(this.#lastError)
    const pipeline = this.#redis.pipeline()
    for (const [name, ...args] of commands) pipeline.call(name, ...args)
    let results: readonly (readonly [Error | null, unknown])[] | null
    try {
      results = await this.#inTime(pipeline.exec())
    } catch (error) {
      throw this.#unavailable(error)
    }
    return (results ?? []).map(([error, reply], index) =>
      error !== null && WRONG_TYPE.test(error.message)
        ? [null, new StoredDataError(`the key ${keyOf(commands[index])} holds another type of value`)]
        : [error, reply],
    )
  }

  #isUp(): boolean {
    return this.#redis.status === 'ready'
  }

  /** No answer is waited for longer than the time allowed, whatever state the connection is in. */
  #inTime<T>(work: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer in ${this.#timeoutMs} ms`)), this.#timeoutMs)
    })
    return Promise.race([work, late]).finally(() => clearTimeout(timer))
  }

  #unavailable(error: unknown): StoreUnavailable {
    // ioredis tells of a lost connection by its own retry policy; why it was lost is what somebody wants to know.
    const lost =
      error instanceof Error && /^(?:Reached the max retries|Stream isn't writeable)/.test(messageOf(error))
    return unavailable(this.description, lost ? this.#lastError : error)
  }
}

/** A command's first key, for messages. */
function keyOf(command: Command | undefined): string {
  const [name, first, , third] = command ?? []
  return String(name === 'EVALSHA' || name === 'EVAL' ? third : first)
}
