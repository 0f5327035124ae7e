/**
 * The running daemon: everything started or nothing, reloaded as a whole, and ended in order.
 */
import type { Server } from 'node:net'
import type { Endpoint } from '../app/endpoint.ts'
import type { Store } from '../app/ports.ts'
import type { Config } from '../config/config.ts'
import type { LibmilterFront } from '../milter/libmilter/front.ts'
import type { TrialMta } from '../trial/mta.ts'
import { type Composition, compose, type Settings, startLibmilter, startTrial } from './compose.ts'
import { adopt, type InheritedSockets, SOCKET_NAMES, type SocketName } from './inherited-sockets.ts'
import {
  ListenError,
  type Listener,
  type ListenOptions,
  listen,
  listenElsewhere,
  listenError,
} from './listen.ts'
import type { DaemonLog } from './log.ts'
import type { DaemonRecorder } from './recorder.ts'
import { transition } from './reload.ts'

export interface DaemonParts {
  readonly config: Config
  readonly store: Store
  readonly recorder: DaemonRecorder
  readonly log: DaemonLog
  readonly inherited: InheritedSockets
}

/** A place where something of the daemon's listens. */
export interface ListeningFront {
  readonly front: SocketName | 'trial'
  /** Unknown of a unix socket that systemd handed over. */
  readonly endpoint: Endpoint | undefined
}

/** How long work under way may take when the daemon ends, in milliseconds: within the 30 s of the systemd unit. */
const GRACE_MS = 20_000

export class Daemon {
  readonly #parts: DaemonParts
  readonly #settings: Settings
  readonly #fronts: Composition
  readonly #listeners = new Map<Listener, SocketName>()
  #libmilter: { readonly front: LibmilterFront; readonly endpoint: Endpoint } | undefined
  #trial: TrialMta | undefined

  private constructor(parts: DaemonParts, settings: Settings, fronts: Composition) {
    this.#parts = parts
    this.#settings = settings
    this.#fronts = fronts
  }

  /** Starts everything, or rejects with nothing started. @throws ListenError */
  static async start(parts: DaemonParts): Promise<Daemon> {
    const settings: Settings = { config: parts.config }
    const { store, recorder, log } = parts
    const daemon = new Daemon(
      parts,
      settings,
      await compose({ settings, store, recorder, log, clock: Date.now }),
    )
    try {
      for (const name of SOCKET_NAMES) await daemon.#listen(name)
      if (parts.config.trial.enabled) await daemon.#startTrial()
    } catch (error) {
      daemon.closeListeners()
      throw error
    }
    return daemon
  }

  /** What listens where. */
  get listening(): readonly ListeningFront[] {
    const fronts: ListeningFront[] = [...this.#listeners].map(([{ endpoint }, front]) => ({
      front,
      endpoint,
    }))
    if (this.#libmilter !== undefined) {
      fronts.push({ front: 'milter', endpoint: this.#libmilter.endpoint })
    }
    if (this.#trial !== undefined) fronts.push({ front: 'trial', endpoint: this.#trial.endpoint })
    return fronts
  }

  /**
   * Goes over to another configuration; connections live on. Returns the keys that have changed and need a restart.
   * Throws, and changes nothing, if the log cannot go over.
   */
  reload(next: Config): readonly string[] {
    const { config, needRestart } = transition(this.#settings.config, next)
    this.#parts.log.configure(config.log)
    this.#settings.config = config
    this.#fronts.deliveries.refresh()
    return needRestart
  }

  /** Takes no more connections, at once. Removes the files of unix sockets. */
  closeListeners(): void {
    for (const listener of this.#listeners.keys()) listener.close()
    this.#listeners.clear()
  }

  /** Ends: no more connections, from now on without a trial MTA; work under way is finished, within limits. */
  async stop(): Promise<void> {
    // The trial MTA still needs the fronts for what it is at.
    if (this.#trial !== undefined) await this.#trial.close()
    this.closeListeners()
    await Promise.all([
      ...SOCKET_NAMES.map(name => this.#fronts[name].drain(GRACE_MS)),
      this.#libmilter?.front.drain(GRACE_MS),
    ])
    await this.#fronts.deliveries.close()
  }

  async #listen(name: SocketName): Promise<void> {
    const front = this.#fronts[name]
    const { listen: endpoints, socketMode } = this.#parts.config[name]
    const fds = this.#parts.inherited.fds[name]
    const serve = async (start: (server: Server) => Promise<Listener>): Promise<void> => {
      const server = front.newServer()
      this.#listeners.set(await start(server), name)
      server.on('error', cause => this.#parts.log.error('listener failed', { front: name, cause }))
    }
    // Sockets that systemd hands over take the place of the configured ones.
    for (const fd of fds) await serve(server => adopt(server, fd))
    if (fds.length > 0) return
    const { engine } = this.#parts.config.milter
    for (const [index, endpoint] of endpoints.entries()) {
      const key = `${name}.listen[${index}]`
      if (name === 'milter' && engine === 'libmilter')
        await this.#startLibmilter({ key, endpoint, socketMode })
      else await serve(server => listen(server, { key, endpoint, socketMode }))
    }
  }

  async #startLibmilter(options: ListenOptions): Promise<void> {
    const { key, endpoint } = options
    const { log } = this.#parts
    const { gate } = this.#fronts
    try {
      const failed = (cause: Error): void =>
        log.error('libmilter has ended; the milter answers nobody', { cause })
      const parts = { gate, log, settings: this.#settings }
      const front = await listenElsewhere(options, () => startLibmilter(parts, endpoint, failed))
      this.#libmilter = { front, endpoint }
    } catch (cause) {
      if (cause instanceof ListenError) throw cause
      throw new ListenError(`${key}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
    }
  }

  async #startTrial(): Promise<void> {
    const { config, log } = this.#parts
    const key = 'trial.listen'
    const [policy, lmtp] = (['policy', 'lmtp'] as const).map(
      name =>
        this.listening.find(({ front, endpoint }) => front === name && endpoint !== undefined)?.endpoint,
    )
    if (policy === undefined || lmtp === undefined) {
      throw new ListenError(`${key}: the trial MTA cannot reach the unix sockets that systemd hands over`)
    }
    try {
      this.#trial = await startTrial(config, { policy, lmtp }, log)
    } catch (cause) {
      throw listenError({ key, endpoint: config.trial.listen }, cause)
    }
  }
}
