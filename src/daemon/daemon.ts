/**
 * The running daemon: everything started or nothing, reloaded as a whole, and ended in order.
 */
import type { Server } from 'node:net'
import type { Endpoint } from '../app/endpoint.ts'
import type { Meters } from '../app/meters.ts'
import { readingOf } from '../app/meters-reading.ts'
import type { Store } from '../app/ports.ts'
import type { ProcessReport } from '../app/process-report.ts'
import type { Config } from '../config/config.ts'
import type { LibmilterFront } from '../milter/libmilter/front.ts'
import type { TrialMta } from '../trial/mta.ts'
import type { Web } from '../web/web.ts'
import {
  type ComposeParts,
  type Composition,
  compose,
  composeWeb,
  type Settings,
  startLibmilter,
  startTrial,
} from './compose.ts'
import { HeldUpkeep } from './held-upkeep.ts'
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
  readonly meters: Meters
  readonly inherited: InheritedSockets
  /** What it is among several, if there are several. */
  readonly worker?: WorkerPart
}

/** The part that a worker has in a daemon of several. */
export interface WorkerPart {
  /** Whether it does what one of them has to do: all but to answer. */
  readonly isFirst: boolean
  /** How all of them are. */
  gather(): Promise<readonly ProcessReport[]>
}

/** A place where something of the daemon's listens. */
export interface ListeningFront {
  readonly front: SocketName | 'trial'
  /** Unknown of a unix socket that systemd handed over. */
  readonly endpoint: Endpoint | undefined
}

/** How long work under way may take when the daemon ends, in milliseconds: within the 30 s of the systemd unit. */
const GRACE_MS = 20_000
/** How long after that an answer of the web server may take, in milliseconds. */
const WEB_GRACE_MS = 2000

/** Where a front is to listen, and the key in the configuration that says so. */
export function configured(
  config: Config,
  name: SocketName,
): { readonly key: string; readonly endpoints: readonly Endpoint[]; readonly socketMode: number } {
  if (name === 'callout') {
    const { calloutListen, socketMode } = config.lmtp
    return { key: 'lmtp.callout_listen', endpoints: calloutListen, socketMode }
  }
  const { listen: endpoints, socketMode } = config[name]
  return { key: `${name}.listen`, endpoints, socketMode }
}

/** How long the queue of held messages may then take; what it is at is carried on after the next start. */
const UPKEEP_GRACE_MS = 5000

export class Daemon {
  readonly #parts: DaemonParts
  readonly #settings: Settings
  readonly #fronts: Composition
  readonly #listeners = new Map<Listener, SocketName>()
  readonly #upkeep: HeldUpkeep
  #libmilter: { readonly front: LibmilterFront; readonly endpoint: Endpoint } | undefined
  #libmilterFailed = false
  #web: Web | undefined
  #stopping = false
  #trial: TrialMta | undefined

  private constructor(parts: DaemonParts, settings: Settings, fronts: Composition) {
    this.#parts = parts
    this.#settings = settings
    this.#fronts = fronts
    const { log } = parts
    this.#upkeep = new HeldUpkeep(fronts.moderation, () => settings.config.held, { log, clock: Date.now })
  }

  /** Starts everything, or rejects with nothing started. @throws ListenError */
  static async start(parts: DaemonParts): Promise<Daemon> {
    const settings: Settings = { config: parts.config }
    const { store, recorder, log, meters } = parts
    const composing: ComposeParts = { settings, store, recorder, log, meters, clock: Date.now }
    const daemon = new Daemon(parts, settings, await compose(composing))
    try {
      await daemon.#composeWeb(composing)
      for (const name of SOCKET_NAMES) await daemon.#listen(name)
      if (daemon.#isFirst && parts.config.trial.enabled) await daemon.#startTrial()
      if (daemon.#isFirst) daemon.#upkeep.start()
    } catch (error) {
      daemon.closeListeners()
      throw error
    }
    return daemon
  }

  /** Whether there is no other process, or this one does what only one may do. */
  get #isFirst(): boolean {
    return this.#parts.worker?.isFirst ?? true
  }

  /** How this process is. */
  async report(): Promise<ProcessReport> {
    const meters = readingOf(this.#parts.meters)
    if (this.#web === undefined) return { meters, hindrances: [], process: [] }
    return { meters, ...(await this.#web.report()) }
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
    this.#closeListeners(() => true)
  }

  #closeListeners(which: (name: SocketName) => boolean): void {
    for (const [listener, name] of [...this.#listeners]) {
      if (!which(name)) continue
      listener.close()
      this.#listeners.delete(listener)
    }
  }

  /** Ends: no more connections, from now on without a trial MTA; work under way is finished, within limits. */
  async stop(): Promise<void> {
    this.#stopping = true
    // The trial MTA still needs the fronts for what it is at.
    if (this.#trial !== undefined) await this.#trial.close()
    // Who asks meanwhile is told that the gate is about to end.
    this.#closeListeners(name => name !== 'web')
    await Promise.all([
      ...SOCKET_NAMES.map(name => name !== 'web' && this.#fronts[name].drain(GRACE_MS)),
      this.#libmilter?.front.drain(GRACE_MS),
    ])
    this.closeListeners()
    await this.#web?.drain(WEB_GRACE_MS)
    await Promise.all([this.#upkeep.stop(UPKEEP_GRACE_MS), this.#fronts.deliveries.close()])
  }

  /** The web server is made only where it is to listen: what it needs takes time to load. */
  async #composeWeb(composing: ComposeParts): Promise<void> {
    const { config, inherited, worker } = this.#parts
    if (config.web.listen.length === 0 && inherited.fds.web.length === 0) return
    this.#web = await composeWeb(composing, {
      isStopping: () => this.#stopping,
      deaf: () => this.#deaf(),
      gather: worker && (() => worker.gather()),
    })
  }

  /** The fronts that should listen and do not. */
  #deaf(): readonly string[] {
    const silent = [...this.#listeners].filter(([listener]) => !listener.isListening())
    return [...new Set([...silent.map(([, name]) => name), ...(this.#libmilterFailed ? ['milter'] : [])])]
  }

  async #listen(name: SocketName): Promise<void> {
    const front = name === 'web' ? this.#web : this.#fronts[name]
    if (front === undefined) return
    const { key: listenKey, endpoints, socketMode } = configured(this.#parts.config, name)
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
    const isShared = this.#parts.worker !== undefined
    for (const [index, endpoint] of endpoints.entries()) {
      const key = `${listenKey}[${index}]`
      if (name !== 'milter' || engine !== 'libmilter') {
        await serve(server => listen(server, { key, endpoint, socketMode, isShared }))
      } else if (this.#isFirst) await this.#startLibmilter({ key, endpoint, socketMode })
    }
  }

  async #startLibmilter(options: ListenOptions): Promise<void> {
    const { key, endpoint } = options
    const { log, meters } = this.#parts
    const { gate } = this.#fronts
    try {
      const failed = (cause: Error): void => {
        this.#libmilterFailed = true
        log.error('libmilter has ended; the milter answers nobody', { cause })
      }
      const parts = { gate, log, meters, settings: this.#settings }
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
