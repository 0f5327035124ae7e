/**
 * `postern serve` with `workers` of its own: what the first process does. It checks the configuration, the store and
 * the sockets, starts the workers, acts on signals for all, and has the last word. It answers nobody itself.
 */
import { lstatSync, unlinkSync } from 'node:fs'
import { formatEndpoint } from '../app/endpoint.ts'
import { combined } from '../app/meters-reading.ts'
import { StoreUnavailable } from '../app/ports.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import type { Reason } from '../core/reason.ts'
import type { VerdictKind } from '../core/verdict.ts'
import { loadCloakKey } from './address-cloak.ts'
import { openStore } from './compose.ts'
import { configured } from './daemon.ts'
import {
  EXIT,
  logWarnings,
  messageOf,
  openLog,
  type ServeContext,
  type ServeExitCode,
  say,
} from './ground.ts'
import { type InheritedSockets, inheritedSockets, SOCKET_NAMES } from './inherited-sockets.ts'
import { ListenError, removeStaleSocket } from './listen.ts'
import type { DaemonLog } from './log.ts'
import { notify } from './notify.ts'
import { transition } from './reload.ts'
import { onSignals } from './signals.ts'
import { version } from './version.ts'
import { WorkerFailed, WorkerGroup } from './worker-group.ts'
import type { Place } from './worker-messages.ts'

/** What the store is called. @throws the store's error if it is one that never can be used */
async function tryStore(config: Config): Promise<string> {
  const store = await openStore(config)
  try {
    await store.check()
  } catch (error) {
    // The workers say so.
    if (!(error instanceof StoreUnavailable)) throw error
  } finally {
    await store.close()
  }
  return store.description
}

/** Sees to it that unix sockets can be opened. @throws ListenError */
async function clearSockets(config: Config, { fds }: InheritedSockets): Promise<void> {
  for (const name of SOCKET_NAMES) {
    const { key, endpoints, socketMode } = configured(config, name)
    // libmilter's socket is its own worker's.
    if (fds[name].length > 0 || (name === 'milter' && config.milter.engine === 'libmilter')) continue
    for (const [index, endpoint] of endpoints.entries()) {
      if (endpoint.kind !== 'unix') continue
      await removeStaleSocket({ key: `${key}[${index}]`, endpoint, socketMode }, endpoint.path)
    }
  }
}

function inodeOf(path: string): bigint | undefined {
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false })
  return stats?.isSocket() === true ? stats.ino : undefined
}

/** Where the workers listen, as far as it has been said. */
class Places {
  readonly #log: DaemonLog
  readonly #known = new Set<string>()
  readonly #files = new Map<string, bigint | undefined>()

  constructor(log: DaemonLog) {
    this.#log = log
  }

  add(places: readonly Place[]): void {
    for (const { front, endpoint } of places) {
      const text = endpoint === undefined ? 'handed over' : formatEndpoint(endpoint)
      if (!this.#known.has(`${front} ${text}`)) this.#log.info('listening', { front, endpoint: text })
      this.#known.add(`${front} ${text}`)
      if (endpoint?.kind === 'unix') this.#files.set(endpoint.path, inodeOf(endpoint.path))
    }
  }

  /** Removes the files of unix sockets, but for those that somebody else has put in their place. */
  removeFiles(): void {
    for (const [path, inode] of this.#files) {
      if (inode !== undefined && inodeOf(path) === inode) unlinkSync(path)
    }
  }
}

/** The configuration of all workers. */
class Current {
  config: Config
  readonly #first: string
  #text: string

  constructor(config: Config, text: string) {
    this.config = config
    this.#first = text
    this.#text = text
  }

  get texts(): readonly string[] {
    return this.#first === this.#text ? [this.#first] : [this.#first, this.#text]
  }

  replace(config: Config, text: string): void {
    this.config = config
    this.#text = text
  }
}

interface Ground extends ServeContext {
  readonly file: string
  /** What the store is called. */
  readonly store: string
  readonly log: DaemonLog
  readonly current: Current
  readonly group: WorkerGroup
}

async function reload({ file, log, current, group, cwd, env }: Ground): Promise<void> {
  const result = loadConfig({ file, cwd, env })
  const kept = 'configuration not reloaded; the old one stays in force'
  if (!result.ok) {
    for (const problem of result.problems) log.error('configuration error', { at: formatProblem(problem) })
    log.error(kept)
    return group.reload(undefined)
  }
  const { config, needRestart } = transition(current.config, result.value)
  try {
    // Of what may fail in a worker this is what can be tried here.
    group.withFiles(() => log.configure(config.log))
  } catch (cause) {
    log.error(kept, { cause })
    return group.reload(undefined)
  }
  current.replace(config, result.text)
  await group.reload(result.text)
  logWarnings(config, log)
  for (const key of needRestart) log.warn('changed setting needs a restart; the old value stays', { key })
  log.info('configuration reloaded', { config: file })
}

function logCounts(log: DaemonLog, group: WorkerGroup): void {
  const sums = new Map<string, { verdict: VerdictKind; reason: Reason; count: number }>()
  for (const [[, , verdict, reason], count] of combined(group.figures()).decisions.counts()) {
    const key = `${verdict} ${reason}`
    sums.set(key, { verdict, reason, count: (sums.get(key)?.count ?? 0) + count })
  }
  for (const sum of [...sums.values()].sort((a, b) => b.count - a.count)) log.info('decisions', sum)
  log.info('stopped')
  log.flush()
}

/** Acts on signals until they are ignored; `end` resolves with what ends the daemon. */
function signals(ground: Ground, lost: Promise<'lost'>) {
  let stop: (signal: NodeJS.Signals) => void = () => {}
  const stopped = new Promise<NodeJS.Signals>(resolve => {
    stop = resolve
  })
  let reloading: Promise<void> = Promise.resolve()
  const crashed = (cause: unknown): void => ground.log.error('unexpected failure', { cause })
  const ignore = onSignals({
    stop,
    reload: () => {
      reloading = reloading.then(() => reload(ground)).catch(crashed)
    },
    exit: code => process.exit(code),
    crashed,
  })
  return { end: Promise.race([stopped, lost]), ignore }
}

async function run(ground: Ground, lost: Promise<'lost'>): Promise<ServeExitCode> {
  const { env, log, group, current, file, store } = ground
  const { end, ignore } = signals(ground, lost)
  log.info('ready', { version: version(), config: file, store, workers: current.config.serve.workers })
  log.flush()
  notify(env, log, { state: 'ready', status: 'serving' })
  const signal = await end
  const ended = group.stop()
  if (signal === 'lost') log.error('no worker is left; to start more is of no use')
  else log.info('stopping', { signal })
  log.flush()
  notify(env, log, { state: 'stopping', status: 'finishing work under way' })
  await ended
  ignore()
  logCounts(log, group)
  return signal === 'lost' ? EXIT.software : EXIT.ok
}

/**
 * Serves in several processes until a signal ends it, and resolves with the exit code.
 * @throws the store's errors if it can never be used as it is: StoreUnusable, StoreSchemaError
 */
export async function serveInWorkers({ file = '' }: Config, context: ServeContext): Promise<ServeExitCode> {
  const { cwd, env } = context
  // All workers have the same text, whatever becomes of the file meanwhile.
  const read = loadConfig({ file, cwd, env })
  if (!read.ok) {
    say(read.problems.map(problem => `${formatProblem(problem)}\n`).join(''))
    return EXIT.config
  }
  const { value: config, text } = read
  let log: DaemonLog
  try {
    log = openLog(config, env)
    if (config.journal.enabled && config.journal.addresses === 'hashed') loadCloakKey(config.log.keyFile)
  } catch (error) {
    say(`postern: log.key_file: ${messageOf(error)}\n`)
    return EXIT.config
  }
  logWarnings(config, log)
  const inherited = inheritedSockets(env, process.pid)
  for (const name of inherited.strangers) log.warn('socket from systemd not used: unknown name', { name })
  const places = new Places(log)
  const leave = (): void => {
    places.removeFiles()
    log.flush()
  }
  process.on('exit', leave)
  try {
    const store = await tryStore(config)
    await clearSockets(config, inherited)
    const current = new Current(config, text)
    let lose: (word: 'lost') => void = () => {}
    const lost = new Promise<'lost'>(resolve => {
      lose = resolve
    })
    const group = new WorkerGroup({
      count: config.serve.workers,
      log,
      start: () => ({ file, texts: current.texts, inherited }),
      listening: all => places.add(all),
      lost: () => lose('lost'),
      socketsAreGiven: SOCKET_NAMES.some(name => inherited.fds[name].length > 0),
    })
    await group.start()
    return await run({ ...context, file, log, store, current, group }, lost)
  } catch (error) {
    if (!(error instanceof ListenError || error instanceof WorkerFailed)) throw error
    log.flush()
    say(`postern: ${error.message}\n`)
    return EXIT.unavailable
  } finally {
    leave()
    process.off('exit', leave)
  }
}
