/**
 * The LMDB environment below the embedded store: opening it, reading from it, and changing it so that a fulfilled
 * promise means that the change is on the disk. What the rows mean is not its business.
 *
 * lmdb-js reads through one read transaction that it keeps for a turn of the event loop; `read` ends that, so that
 * what another process has committed is seen at once. It must not start a synchronous write transaction while an
 * asynchronous one of the same process waits for its callback: the two would wait for each other for ever. So
 * everything after opening is asynchronous, and a path that is open already is not opened a second time.
 */
import { realpathSync } from 'node:fs'
import { resolve } from 'node:path'
import { open, type RootDatabase, type Transaction } from 'lmdb'
import { StoreUnavailable } from '../app/ports.ts'
import { fillUp, makeDirectory, probe, syncDirectory } from './embedded-files.ts'
import { TABLE_NAMES, type Tables } from './embedded-tables.ts'
import { messageOf, SCHEMA_VERSION, StoreUnusable, schemaError, unavailable } from './store-errors.ts'

/** To begin with, in address space, which is neither memory nor disk: lmdb-js maps more when the file outgrows it. */
const MAP_SIZE = 2 ** 30

/** A listing holds one while it goes on. */
const MAX_READERS = 512

/** How long a change may take, most of it waiting for other processes' changes. */
const LONGEST_CHANGE_MS = 30_000

/** Changes that may be waiting at once; beyond, the disk does not keep up, and memory would fill. */
const MOST_CHANGES = 10_000

interface Use {
  readonly database: EmbeddedDatabase
  users: number
  /** Set once the last user has gone. */
  closing?: Promise<void>
}

/** What is open in this process, by real path (see above). */
const inUse = new Map<string, Use>()

export class EmbeddedDatabase {
  readonly path: string
  readonly tables: Tables
  readonly #root: RootDatabase
  readonly #key: string
  readonly #claimed: Promise<void>
  #changes = 0
  #closed = false

  /**
   * Opens a path, or shares what is open there. Give it back with `release`.
   * @throws StoreUnusable, StoreSchemaError
   */
  static async acquire(path: string): Promise<EmbeddedDatabase> {
    const use = await EmbeddedDatabase.#use(path)
    try {
      await use.database.#claimed
      return use.database
    } catch (error) {
      await use.database.release()
      throw error
    }
  }

  static async #use(path: string): Promise<Use> {
    try {
      makeDirectory(resolve(path))
      const key = realpathSync(path)
      for (let use = inUse.get(key); use !== undefined; use = inUse.get(key)) {
        if (use.closing === undefined) {
          use.users++
          return use
        }
        await use.closing
      }
      const use = { database: new EmbeddedDatabase(path, key), users: 1 }
      inUse.set(key, use)
      return use
    } catch (error) {
      if (error instanceof StoreUnusable) throw error
      throw new StoreUnusable(`cannot use ${path} for the store: ${messageOf(error)}`, { cause: error })
    }
  }

  private constructor(path: string, key: string) {
    this.path = path
    this.#key = key
    probe(key)
    const options = {
      path: key,
      // Otherwise a path with a dot in its last part becomes a file of that name.
      noSubdir: false,
      encoding: 'json',
      maxDbs: TABLE_NAMES.length,
      mapSize: MAP_SIZE,
      maxReaders: MAX_READERS,
      // A commit is then LMDB's own: pages written and synced, then the meta page, and only then is it fulfilled.
      overlappingSync: false,
      // With it, lmdb-js leaves a promise of its own unhandled when a commit fails, which ends the process.
      eventTurnBatching: false,
      // Addresses are nobody else's business. `noMemInit` stays off: it would put stray memory into the file.
      permissionsMode: 0o600,
    } as const
    const root = open(options)
    this.#root = root
    try {
      fillUp(root, key)
      const names = [...root.getKeys()]
      if (names.length > 0 && !names.includes('meta')) {
        throw new StoreUnusable(`cannot use ${path} for the store: it holds another program's data`)
      }
      const table = (name: string): unknown => root.openDB({ name, encoding: 'json' })
      this.tables = Object.fromEntries(TABLE_NAMES.map(name => [name, table(name)])) as unknown as Tables
      if (names.length === 0) syncDirectory(key)
    } catch (error) {
      root.close().catch(() => {})
      throw error
    }
    this.#claimed = this.#claim()
    // Whoever acquires the database learns of it.
    this.#claimed.catch(() => {})
  }

  /** Writes the schema version into a new store, and sees that it is ours. */
  async #claim(): Promise<void> {
    const { meta } = this.tables
    if (this.read(() => meta.get('schema')) === undefined) {
      await this.change(() => {
        if (meta.get('schema') === undefined) meta.put('schema', SCHEMA_VERSION)
      })
    }
    this.check()
  }

  /** Sees that the schema is still ours. */
  check(): void {
    const version: unknown = this.read(() => this.tables.meta.get('schema'))
    if (version !== SCHEMA_VERSION) throw schemaError(String(version))
  }

  /** Reads, seeing whatever any process has committed by now. @throws StoreUnavailable */
  read<T>(work: () => T): T {
    this.#mustBeOpen()
    try {
      this.#root.resetReadTxn()
      return work()
    } catch (error) {
      throw this.#explained(error)
    }
  }

  /**
   * Lists what `rows` gives, as of now, however long it takes and whatever is changed meanwhile.
   * @throws StoreUnavailable
   */
  async *snapshot<T>(rows: (transaction: Transaction) => Iterable<T>): AsyncGenerator<T> {
    const transaction = this.read(() => this.#root.useReadTransaction())
    try {
      for (const row of rows(transaction)) {
        yield row
        this.#mustBeOpen()
      }
    } catch (error) {
      throw this.#explained(error)
    } finally {
      transaction.done()
    }
  }

  /**
   * Changes something, all of it or nothing, alone among all processes. `work` is synchronous and may read. Fulfilled
   * once the change is on the disk.
   * @throws StoreUnavailable, and whatever `work` throws
   */
  async change<T>(work: () => T): Promise<T> {
    this.#mustBeOpen()
    if (this.#changes >= MOST_CHANGES) {
      throw new StoreUnavailable(`${this.path}: ${MOST_CHANGES} changes are waiting for the disk`)
    }
    this.#changes++
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(new StoreUnavailable(`${this.path}: a change was not done in ${LONGEST_CHANGE_MS / 1000} s`))
      }, LONGEST_CHANGE_MS)
    })
    try {
      const done = this.#root.childTransaction(work).catch(async (error: unknown) => {
        throw this.#explained(await causeOf(error))
      })
      return await Promise.race([done, late])
    } finally {
      clearTimeout(timer)
      this.#changes--
    }
  }

  /** Gives the database back; the last user's release closes it, once what is under way has ended. */
  async release(): Promise<void> {
    const use = inUse.get(this.#key)
    if (use === undefined || --use.users > 0) return
    this.#closed = true
    use.closing = this.#root.close().finally(() => inUse.delete(this.#key))
    await use.closing
  }

  #mustBeOpen(): void {
    if (this.#closed) throw new StoreUnavailable(`${this.path}: the store is closed`)
  }

  /** LMDB's own errors have a number; the others are ours, or bugs. */
  #explained(error: unknown): unknown {
    const fromLmdb = error instanceof Error && 'code' in error && typeof error.code === 'number'
    return fromLmdb ? unavailable(this.path, error) : error
  }
}

/** A commit that failed has its cause in a promise, which nobody else handles. */
async function causeOf(error: unknown): Promise<unknown> {
  const cause: unknown = error instanceof Error && 'commitError' in error ? error.commitError : undefined
  if (!(cause instanceof Promise)) return error
  return cause.then(
    () => error,
    (reason: unknown) => reason,
  )
}
