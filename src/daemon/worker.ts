/**
 * One worker of a daemon with several: a process of its own, which the first one starts (`workers.ts`) and tells what to
 * do. It serves as a daemon alone does, on sockets that all share, and ends when the first one is gone, however that
 * came: Node ends a worker whose channel closes.
 */
import cluster from 'node:cluster'
import { Meters } from '../app/meters.ts'
import { readingOf } from '../app/meters-reading.ts'
import type { Store } from '../app/ports.ts'
import type { ProcessReport } from '../app/process-report.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { formatProblem } from '../config/problems.ts'
import { openJournal, openStore } from './compose.ts'
import { Daemon } from './daemon.ts'
import { EXIT, lookAtStore, messageOf, openLog } from './ground.ts'
import { type RunningJournal, startJournal } from './journal.ts'
import type { DaemonLog } from './log.ts'
import { DaemonRecorder } from './recorder.ts'
import { transition } from './reload.ts'
import { version } from './version.ts'
import type { FromWorker, ToWorker, WorkerStart } from './worker-messages.ts'

function tell(message: FromWorker): void {
  // Where the first process is gone, this one is about to be.
  if (process.connected) process.send?.(message)
}

/** Says a last word and ends. */
function leave(code: number, lastWord: FromWorker): void {
  if (process.send === undefined || !process.connected) process.exit(code)
  process.send(lastWord, undefined, undefined, () => process.exit(code))
}

function read(file: string, text: string): Config {
  const result = loadConfig({ file, text, cwd: process.cwd(), env: process.env })
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('; '))
  return result.value
}

/** The configuration in force: what needs a restart is as it was at the start of all. */
function configOf({ file, texts }: WorkerStart): Config {
  const [first = '', ...later] = texts
  return later.reduce((config, text) => transition(config, read(file, text)).config, read(file, first))
}

/** Questions to the first process how all are; who asks while others wait gets their answer. */
class Gathering {
  #id = 0
  #asked:
    | { readonly answer: Promise<readonly ProcessReport[]>; resolve(all: readonly ProcessReport[]): void }
    | undefined

  ask(): Promise<readonly ProcessReport[]> {
    if (this.#asked === undefined) {
      let resolve: (all: readonly ProcessReport[]) => void = () => {}
      const answer = new Promise<readonly ProcessReport[]>(settle => {
        resolve = settle
      })
      this.#asked = { answer, resolve }
      tell({ kind: 'gather', id: ++this.#id })
    }
    return this.#asked.answer
  }

  answered(id: number, reports: readonly ProcessReport[]): void {
    if (id !== this.#id) return
    this.#asked?.resolve(reports)
    this.#asked = undefined
  }
}

interface Serving {
  readonly daemon: Daemon
  readonly log: DaemonLog
  readonly meters: Meters
  readonly store: Store
  readonly journal: RunningJournal | undefined
}

const gathering = new Gathering()

async function begin(start: WorkerStart): Promise<Serving> {
  const config = configOf(start)
  const { number, inherited } = start
  const log = openLog(config, process.env, number)
  process.on('exit', () => log.flush())
  const crash = (cause: unknown): void => {
    log.error('unexpected failure', { cause })
    process.exit(EXIT.software)
  }
  process.on('uncaughtException', crash).on('unhandledRejection', crash)
  const store = await openStore(config)
  const clock = Date.now
  // Each worker has a writer of its own, and so tells by itself how it is.
  const node = `${config.journal.node}/${number}`
  const journaling = { ...config, journal: { ...config.journal, node } }
  const journal = await startJournal({
    config: journaling,
    log,
    clock,
    version: version(),
    open: openJournal,
  })
  const meters = new Meters(clock)
  const recorder = new DaemonRecorder({ log, clock, store: store.description, meters, journal })
  const worker = { isFirst: number === 1, gather: () => gathering.ask() }
  const daemon = await Daemon.start({ config, store, recorder, log, meters, inherited, worker })
  process.on('exit', () => daemon.closeListeners())
  await lookAtStore(store, recorder)
  return { daemon, log, meters, store, journal }
}

function reload({ daemon, log, meters }: Serving, file: string, text: string | undefined): boolean {
  try {
    if (text !== undefined) daemon.reload(read(file, text))
    meters.reloaded(text !== undefined)
    return text !== undefined
  } catch (cause) {
    meters.reloaded(false)
    log.error('configuration not reloaded', { cause })
    return false
  }
}

async function finish({ daemon, log, meters, store, journal }: Serving): Promise<void> {
  await daemon.stop()
  await journal?.close()
  await store.close()
  log.flush()
  leave(EXIT.ok, { kind: 'ended', meters: readingOf(meters) })
}

let serving: Promise<Serving> | undefined
let file = ''
let finishing = false

async function end(): Promise<void> {
  if (finishing) return
  finishing = true
  // Without a word from the first process there is nothing to finish.
  if (serving === undefined) process.exit(EXIT.ok)
  await finish(await serving)
}

async function started(start: WorkerStart): Promise<void> {
  try {
    file = start.file
    serving = begin(start)
    const { daemon } = await serving
    tell({ kind: 'listening', places: daemon.listening })
  } catch (error) {
    leave(EXIT.unavailable, { kind: 'failed', message: messageOf(error) })
  }
}

async function heed(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case 'start':
      return started(message)
    case 'reload':
      if (serving === undefined) return
      tell({ kind: 'reloaded', isInForce: reload(await serving, file, message.text) })
      return
    case 'stop':
      return end()
    case 'report':
      if (serving === undefined) return
      tell({ kind: 'report', id: message.id, report: await (await serving).daemon.report() })
      return
    case 'gathered':
      gathering.answered(message.id, message.reports)
  }
}

if (cluster.isWorker) {
  process.on('message', (message: ToWorker) => void heed(message))
  // A signal may go to all processes at once; the first one is who counts them.
  process.on('SIGHUP', () => {})
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => void end())
  tell({ kind: 'here' })
}
