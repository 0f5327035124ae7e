/**
 * The connections to one next hop: a bounded number at work, whoever comes then waits his turn, and those that have
 * nothing to do are kept for a while.
 */
import type { RelayConnection, Until } from './relay-connection.ts'
import { RelayFault } from './relay-fault.ts'

export interface RelayPoolSettings {
  /** Connections at the same time. */
  readonly maxConnections: number
  /** How long a connection is kept that has nothing to do. */
  readonly idleTimeoutMs: number
}

export class RelayPool {
  readonly #settings: RelayPoolSettings
  readonly #idle = new Map<RelayConnection, NodeJS.Timeout>()
  readonly #waiting = new Set<() => void>()
  #working = 0
  #isClosed = false
  #whenFinished: (() => void)[] = []

  constructor(settings: RelayPoolSettings) {
    this.#settings = settings
  }

  /** Connections that are kept and have nothing to do. */
  get idle(): number {
    return this.#idle.size
  }

  /** Does work that uses one connection at a time, when it is its turn. @throws RelayFault if that is too late */
  async inTurn<T>(until: Until, work: () => Promise<T>): Promise<T> {
    if (this.#working < this.#settings.maxConnections) this.#working++
    else await this.#turn(until)
    try {
      return await work()
    } finally {
      this.#next()
    }
  }

  /** Whoever comes next takes the place over, so that the count stays as it is. */
  #turn(until: Until): Promise<void> {
    return new Promise((resolve, reject) => {
      const begin = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(begin)
        resolve()
      }
      const timer = setTimeout(
        () => {
          this.#waiting.delete(begin)
          reject(new RelayFault('late', 'no connection to it became free in time'))
        },
        Math.max(0, until - performance.now()),
      )
      this.#waiting.add(begin)
    })
  }

  #next(): void {
    const [begin] = this.#waiting
    if (begin !== undefined) {
      begin()
      return
    }
    this.#working--
    if (this.#working > 0) return
    const finished = this.#whenFinished
    this.#whenFinished = []
    for (const resolve of finished) resolve()
  }

  /** A connection that was kept: the one that was used last. */
  takeIdle(): RelayConnection | undefined {
    const connection = [...this.#idle.keys()].at(-1)
    if (connection !== undefined) this.#forget(connection)
    return connection
  }

  /** Keeps a connection for whoever comes next, if it is worth it. */
  keep(connection: RelayConnection): void {
    if (!connection.isUsable || this.#isClosed) {
      connection.quit()
      return
    }
    const timer = setTimeout(() => {
      this.#forget(connection)
      connection.quit()
    }, this.#settings.idleTimeoutMs).unref()
    this.#idle.set(connection, timer)
    connection.onGone = () => this.#forget(connection)
  }

  #forget(connection: RelayConnection): void {
    clearTimeout(this.#idle.get(connection))
    this.#idle.delete(connection)
    connection.onGone = () => {}
  }

  /** Closes all that are kept. */
  closeIdle(): void {
    for (const connection of [...this.#idle.keys()]) {
      this.#forget(connection)
      connection.quit()
    }
  }

  /** Keeps no connections any more, and resolves when all work is done. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.closeIdle()
    if (this.#working > 0) await new Promise<void>(resolve => this.#whenFinished.push(resolve))
  }
}
