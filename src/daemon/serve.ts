/**
 * `postern serve`: from a checked configuration to the exit code. Says on standard error what happens; standard output stays
 * empty.
 */
import { formatEndpoint } from '../app/endpoint.ts'
import { Meters } from '../app/meters.ts'
import type { Store } from '../app/ports.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import { openJournal, openStore } from './compose.ts'
import { Daemon } from './daemon.ts'
import { firstSteps } from './first-steps.ts'
import {
  EXIT,
  logWarnings,
  lookAtStore,
  messageOf,
  openLog,
  type ServeContext,
  type ServeExitCode,
  say,
} from './ground.ts'
import { inheritedSockets } from './inherited-sockets.ts'
import { CloakKeyError, type RunningJournal, startJournal } from './journal.ts'
import { ListenError } from './listen.ts'
import { type DaemonLog, readsJournal } from './log.ts'
import { notify } from './notify.ts'
import { DaemonRecorder } from './recorder.ts'
import { onSignals } from './signals.ts'
import { version } from './version.ts'

/** What the daemon stands on. */
interface Ground extends ServeContext {
  readonly config: Config
  readonly log: DaemonLog
  readonly store: Store
  readonly recorder: DaemonRecorder
  readonly meters: Meters
}

function announce(daemon: Daemon, { config, log, store, cwd, env, script }: Ground): void {
  const { listening } = daemon
  for (const { front, endpoint } of listening) {
    log.info('listening', {
      front,
      endpoint: endpoint === undefined ? 'handed over' : formatEndpoint(endpoint),
    })
  }
  log.info('ready', { version: version(), config: config.file ?? 'none', store: store.description })
  log.flush()
  if (config.file === undefined && config.log.format === 'text' && !readsJournal(env)) {
    const trial = listening.find(({ front }) => front === 'trial')?.endpoint
    say(firstSteps({ script, cwd, env }, trial))
  }
}

function reload(daemon: Daemon, { config, log, meters, cwd, env }: Ground): void {
  const result = loadConfig({ file: config.file, cwd, env })
  if (!result.ok) {
    for (const problem of result.problems) log.error('configuration error', { at: formatProblem(problem) })
    log.error('configuration not reloaded; the old one stays in force')
    meters.reloaded(false)
    return
  }
  try {
    const needRestart = daemon.reload(result.value)
    logWarnings(result.value, log)
    for (const key of needRestart) log.warn('changed setting needs a restart; the old value stays', { key })
    log.info('configuration reloaded', { config: result.value.file ?? 'none' })
    meters.reloaded(true)
  } catch (cause) {
    meters.reloaded(false)
    log.error('configuration not reloaded; the old one stays in force', { cause })
  }
}

function logCounts({ log, recorder }: Ground): void {
  for (const { verdict, reason, count } of recorder.counts())
    log.info('decisions', { verdict, reason, count })
  log.info('stopped')
  log.flush()
}

/** Sees to it that, however the process exits, its unix sockets go and its log is whole. */
function onExit(daemon: Daemon, { log }: Ground): () => void {
  const leave = (): void => {
    daemon.closeListeners()
    log.flush()
  }
  process.on('exit', leave)
  return () => process.off('exit', leave)
}

/** Acts on signals until they are ignored. `stopped` is the signal that ends the daemon. */
function signals(daemon: Daemon, ground: Ground) {
  let stop: (signal: NodeJS.Signals) => void = () => {}
  const stopped = new Promise<NodeJS.Signals>(resolve => {
    stop = resolve
  })
  const ignore = onSignals({
    stop,
    reload: () => reload(daemon, ground),
    exit: code => process.exit(code),
    crashed: cause => ground.log.error('unexpected failure', { cause }),
  })
  return { stopped, ignore }
}

async function startDaemon(ground: Ground): Promise<Daemon | undefined> {
  const { env, log } = ground
  const inherited = inheritedSockets(env, process.pid)
  for (const name of inherited.strangers) log.warn('socket from systemd not used: unknown name', { name })
  try {
    return await Daemon.start({ ...ground, inherited })
  } catch (error) {
    if (!(error instanceof ListenError)) throw error
    log.flush()
    say(`postern: ${error.message}\n`)
    return undefined
  }
}

async function run(daemon: Daemon, ground: Ground): Promise<void> {
  const { env, log } = ground
  const release = onExit(daemon, ground)
  const { stopped, ignore } = signals(daemon, ground)
  let end: Promise<void> | undefined
  try {
    await lookAtStore(ground.store, ground.recorder)
    announce(daemon, ground)
    notify(env, log, { state: 'ready', status: 'serving' })
    const signal = await stopped
    end = daemon.stop()
    log.info('stopping', { signal })
    log.flush()
    notify(env, log, { state: 'stopping', status: 'finishing work under way' })
  } finally {
    await (end ?? daemon.stop())
    ignore()
    release()
  }
}

/**
 * Serves until a signal ends it, and resolves with the exit code.
 * @throws the store's errors if it can never be used as it is: StoreUnusable, StoreSchemaError
 */
export async function serve(config: Config, context: ServeContext): Promise<ServeExitCode> {
  if (config.serve.workers > 1) {
    const { serveInWorkers } = await import('./workers.ts')
    return serveInWorkers(config, context)
  }
  let log: DaemonLog
  try {
    log = openLog(config, context.env)
  } catch (error) {
    say(`postern: log.key_file: ${messageOf(error)}\n`)
    return EXIT.config
  }
  logWarnings(config, log)
  const store = await openStore(config)
  let journal: RunningJournal | undefined
  try {
    const clock = Date.now
    journal = await startJournal({ config, log, clock, version: version(), open: openJournal })
    const meters = new Meters(clock)
    const recorder = new DaemonRecorder({ log, clock, store: store.description, meters, journal })
    const ground = { ...context, config, log, store, recorder, meters }
    const daemon = await startDaemon(ground)
    if (daemon === undefined) return EXIT.unavailable
    await run(daemon, ground)
    await journal?.close()
    logCounts(ground)
    return EXIT.ok
  } catch (error) {
    if (!(error instanceof CloakKeyError)) throw error
    say(`postern: log.key_file: ${error.message}\n`)
    return EXIT.config
  } finally {
    await journal?.close()
    log.flush()
    await store.close()
  }
}
