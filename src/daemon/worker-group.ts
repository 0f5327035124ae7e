/**
 * The workers of a daemon, as its first process has them: started, replaced when one dies, asked how they are, and ended
 * together. The system hands each connection to whichever worker accepts it first (`SCHED_NONE`): handing it over from
 * here would cost more than many a question.
 */
import cluster, { type Worker } from 'node:cluster'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Log } from '../app/log.ts'
import { combined, departed, type MetersReading, readingOf } from '../app/meters-reading.ts'
import type { ProcessReport } from '../app/process-report.ts'
import type { FromWorker, Place, ToWorker, WorkerStart } from './worker-messages.ts'

/** A worker cannot start. */
export class WorkerFailed extends Error {
  readonly code = 'POSTERN_WORKER_FAILED'
  override readonly name = 'WorkerFailed'
}

export interface GroupParts {
  readonly count: number
  readonly log: Log
  /** What a worker that starts now is told. */
  readonly start: () => Omit<WorkerStart, 'kind' | 'number'>
  /** A worker listens. */
  readonly listening: (places: readonly Place[]) => void
  /** No worker is left, and there is no use in starting more. */
  readonly lost: () => void
  /** Whether sockets are gone for good when no worker is left. */
  readonly socketsAreGiven: boolean
}

interface Member {
  readonly number: number
  readonly worker: Worker
  readonly since: number
  isListening: boolean
  /** As last heard of. */
  meters: MetersReading | undefined
  /** Questions to it that are open. */
  readonly asked: Map<string, (answer: FromWorker | undefined) => void>
}

/** In milliseconds. A worker that lives so long was well. */
const WELL_AFTER = 10_000
/** In milliseconds: before one that dies early is replaced; doubled each time. */
const PAUSE = { first: 100, longest: 10_000 } as const
/** Workers that die early one after the other, with none left, before there is no more trying. */
const MAX_EARLY = 6
/** In milliseconds, for an answer about figures, and for going over to another configuration. */
const PATIENCE = { report: 2000, reload: 10_000 } as const

function send({ worker }: Member, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message)
}

export class WorkerGroup {
  readonly #parts: GroupParts
  readonly #umask: number
  readonly #members = new Map<number, Member>()
  /** By number: how many died early, one after the other. */
  readonly #early = new Map<number, number>()
  readonly #pauses = new Set<NodeJS.Timeout>()
  #gone: MetersReading | undefined
  #questions = 0
  #stopping = false
  #begun = false
  #failed: (error: Error) => void = () => {}
  #oneListens: () => void = () => {}

  constructor(parts: GroupParts) {
    this.#parts = parts
    const here = fileURLToPath(import.meta.url)
    cluster.schedulingPolicy = cluster.SCHED_NONE
    cluster.setupPrimary({
      exec: fileURLToPath(new URL(`./worker${extname(here)}`, import.meta.url)),
      args: [],
      serialization: 'advanced',
    })
    // This process opens unix sockets for its workers, which then widen the permissions to those that are wanted.
    this.#umask = process.umask(0o177)
  }

  /** Starts all, and resolves when they listen. @throws WorkerFailed if one cannot; there is then none */
  async start(): Promise<void> {
    const { count } = this.#parts
    try {
      await new Promise<void>((resolve, reject) => {
        this.#failed = reject
        this.#oneListens = () => {
          if (this.#listening().length === count) resolve()
        }
        for (let number = 1; number <= count; number++) this.#fork(number)
      })
      this.#begun = true
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** Does something that makes files, as they were made before there were workers. */
  withFiles<T>(action: () => T): T {
    const umask = process.umask(this.#umask)
    try {
      return action()
    } finally {
      process.umask(umask)
    }
  }

  /** Has all go over to another configuration; who cannot is replaced by one that begins with it. */
  async reload(text: string | undefined): Promise<void> {
    const members = this.#listening()
    await Promise.all(
      members.map(async member => {
        const answer = await this.#ask(member, 'reloaded', { kind: 'reload', text }, PATIENCE.reload)
        if (text === undefined || (answer?.kind === 'reloaded' && answer.isInForce)) return
        if (this.#members.get(member.number) !== member || this.#stopping) return
        this.#parts.log.error('worker does not go over to the configuration; another takes its place', {
          worker: member.number,
        })
        if (answer === undefined) member.worker.process.kill('SIGKILL')
        else send(member, { kind: 'stop' })
      }),
    )
  }

  /** How all are, those that have ended included. */
  async gather(): Promise<readonly ProcessReport[]> {
    const reports = await Promise.all(
      this.#listening().map(async member => {
        const id = ++this.#questions
        const answer = await this.#ask(member, `report ${id}`, { kind: 'report', id }, PATIENCE.report)
        if (answer?.kind !== 'report') return undefined
        // It may have ended since, and told more.
        if (this.#members.get(member.number) === member) member.meters = answer.report.meters
        return answer.report
      }),
    )
    return [...reports.filter(report => report !== undefined), ...this.#silent(reports)]
  }

  /** What all have counted, as far as is known. */
  figures(): MetersReading[] {
    return [this.#gone, ...[...this.#members.values()].map(({ meters }) => meters)].filter(
      reading => reading !== undefined,
    )
  }

  /** Ends all: work under way is finished, within limits. */
  async stop(): Promise<void> {
    this.#stopping = true
    for (const pause of this.#pauses) clearTimeout(pause)
    await Promise.all(
      [...this.#members.values()].map(async member => {
        const end = new Promise<void>(resolve => void member.worker.once('exit', () => resolve()))
        if (member.isListening) send(member, { kind: 'stop' })
        else member.worker.process.kill('SIGKILL')
        await end
      }),
    )
  }

  #listening(): readonly Member[] {
    return [...this.#members.values()].filter(({ isListening }) => isListening)
  }

  /** For those that are gone or do not answer, what was last heard. */
  #silent(reports: readonly (ProcessReport | undefined)[]): readonly ProcessReport[] {
    const mute = this.#listening().filter((_, place) => reports[place] === undefined)
    return [this.#gone, ...mute.map(({ meters }) => meters)]
      .filter(meters => meters !== undefined)
      .map(meters => ({ meters, hindrances: [], process: [] }))
  }

  #fork(number: number): void {
    const worker = this.withFiles(() => cluster.fork())
    const member: Member = {
      number,
      worker,
      since: performance.now(),
      isListening: false,
      meters: undefined,
      asked: new Map(),
    }
    this.#members.set(number, member)
    worker.on('message', (message: FromWorker) => this.#hear(member, message))
    worker.on('error', cause => this.#parts.log.error('worker failed', { worker: number, cause }))
    worker.on('exit', (code, signal) => this.#ended(member, signal ?? code))
  }

  #hear(member: Member, message: FromWorker): void {
    switch (message.kind) {
      case 'here':
        send(member, { kind: 'start', number: member.number, ...this.#parts.start() })
        return
      case 'listening':
        member.isListening = true
        this.#parts.listening(message.places)
        this.#oneListens()
        if (this.#begun) this.#parts.log.info('worker serves', { worker: member.number })
        return
      case 'failed':
        if (this.#begun) {
          this.#parts.log.error('worker cannot start', { worker: member.number, cause: message.message })
        } else this.#failed(new WorkerFailed(message.message))
        return
      case 'reloaded':
        member.asked.get('reloaded')?.(message)
        return
      case 'report':
        member.asked.get(`report ${message.id}`)?.(message)
        return
      case 'gather':
        void this.gather().then(reports => send(member, { kind: 'gathered', id: message.id, reports }))
        return
      case 'ended':
        member.meters = message.meters
    }
  }

  #ask(member: Member, name: string, question: ToWorker, patience: number): Promise<FromWorker | undefined> {
    return new Promise(resolve => {
      const answered = (answer: FromWorker | undefined): void => {
        clearTimeout(timer)
        member.asked.delete(name)
        resolve(answer)
      }
      const timer = setTimeout(() => answered(undefined), patience)
      member.asked.set(name, answered)
      send(member, question)
    })
  }

  #ended(member: Member, how: string | number): void {
    const { number } = member
    if (this.#members.get(number) !== member) return
    this.#members.delete(number)
    if (member.meters !== undefined) {
      const known = this.#gone === undefined ? [member.meters] : [this.#gone, member.meters]
      this.#gone = departed(readingOf(combined(known)))
    }
    for (const answered of [...member.asked.values()]) answered(undefined)
    if (this.#stopping) return
    if (!this.#begun) {
      this.#failed(new WorkerFailed(`worker ${number} ended at its start (${how})`))
      return
    }
    this.#parts.log.error('worker ended; another takes its place', { worker: number, end: how })
    this.#replace(member)
  }

  #replace({ number, since }: Member): void {
    const early = performance.now() - since < WELL_AFTER ? (this.#early.get(number) ?? 0) + 1 : 0
    this.#early.set(number, early)
    const isLast = this.#listening().length === 0
    if (isLast && (early >= MAX_EARLY || this.#parts.socketsAreGiven)) {
      this.#parts.lost()
      return
    }
    const pause = early === 0 ? 0 : Math.min(PAUSE.first * 2 ** (early - 1), PAUSE.longest)
    const timer = setTimeout(() => {
      this.#pauses.delete(timer)
      this.#fork(number)
    }, pause)
    this.#pauses.add(timer)
  }
}
