/**
 * The milter on Sendmail's libmilter: another engine in front of the same connections, messages and gate. libmilter
 * listens and speaks by itself, in a thread; see `docs/milter.md` for what that is good for and what it costs.
 *
 * libmilter serves one endpoint in the life of a process and cannot begin again.
 */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MessageChannel, Worker } from 'node:worker_threads'
import { type Endpoint, formatEndpoint } from '../../app/endpoint.ts'
import { connectionCounts } from '../../app/meters.ts'
import { type MilterCounts, milterCounts } from '../question.ts'
import type { MilterParts } from '../server.ts'
import { wishesOf } from '../session.ts'
import { Callee, EXIT, type Order, type Report, SHARED, type ThreadData } from './calls.ts'
import { Desk } from './desk.ts'
import { LIBMILTER_FAULTS, LibmilterError } from './faults.ts'

/** For a decision, in milliseconds: all sessions wait along. */
export const DECISION_TIME = 10_000

/** Connections that libmilter is let serve at most: its callbacks may all wait at once, and koffi bears 4096 of them. */
export const MAX_CONNECTIONS = 4000

/** For libmilter to call nobody any more when the process exits, in milliseconds. */
const EXIT_TIME = 2_000

export interface LibmilterParts extends Omit<MilterParts, 'limits'> {
  /** Told once if the engine ends by itself; nothing is answered any more then. */
  readonly failed: (error: Error) => void
  /** For a decision, in milliseconds; `DECISION_TIME` unless said. */
  readonly decisionTime?: number
  /** Between looks for peers that do not take their answers, in milliseconds; `LOOK_INTERVAL` unless said. */
  readonly lookInterval?: number
}

export interface LibmilterFront {
  readonly front: 'milter'
  readonly counts: Readonly<MilterCounts>
  /**
   * Listens; an existing unix socket is replaced.
   *
   * @throws LibmilterError with a code that says what is wrong
   */
  start(endpoint: Endpoint): Promise<void>
  /**
   * Ends: begins no more messages, lets those on their way finish for `graceMs` milliseconds, and cuts what is left. Takes
   * up to five seconds longer, for libmilter looks no more often whether it is to end.
   */
  drain(graceMs: number): Promise<void>
}

let used = false

/** An endpoint as smfi_setconn has it. */
export function connectionOf(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`
  if (endpoint.port === 0) {
    throw new LibmilterError('libmilter-endpoint', 'libmilter cannot choose a port; name one')
  }
  const family = endpoint.host.includes(':') ? 'inet6' : 'inet'
  return `${family}:${endpoint.port}@${endpoint.host}`
}

function startThread(given: ThreadData): Worker {
  const here = fileURLToPath(import.meta.url)
  return new Worker(new URL(`./thread${extname(here)}`, import.meta.url), {
    name: 'libmilter',
    workerData: given,
    transferList: [given.calls],
  })
}

function errorOf({ code, message }: Extract<Report, { kind: 'failed' }>): LibmilterError {
  return new LibmilterError(LIBMILTER_FAULTS.find(known => known === code) ?? 'libmilter-ended', message)
}

interface Running {
  readonly worker: Worker
  readonly callee: Callee
  readonly atExit: () => void
  readonly look: NodeJS.Timeout
}

/** Makes the milter on libmilter. Nothing is loaded before it starts. */
export function createLibmilterFront({
  gate,
  log,
  onStoreFailure,
  settings,
  failed,
  decisionTime = DECISION_TIME,
  lookInterval,
  ...given
}: LibmilterParts): LibmilterFront {
  const { hold, traceHeader, countBodies } = settings
  const maxConnections = Math.min(settings.maxConnections, MAX_CONNECTIONS)
  const conduct = { hold, traceHeader, countBodies, onStoreFailure }
  const counts = given.counts ?? milterCounts()
  const connections = given.connections ?? connectionCounts()
  const prefix = randomBytes(6).toString('hex')
  let ids = 0
  const newId = (): string => `${prefix}.${(++ids).toString(36)}`
  const desk = new Desk({ gate, log, conduct, counts, connections, newId })
  const missedBefore = new Set<string>()
  let running: Running | undefined

  function hear(report: Report): void {
    switch (report.kind) {
      case 'missed': {
        const names = report.names.filter(name => !missedBefore.has(name))
        for (const name of names) missedBefore.add(name)
        if (names.length > 0) log.warn('the MTA offers less than is of use', { missed: names.join(' ') })
        return
      }
      case 'turned-away':
        log.warn('milter client disconnected', { problem: report.problem })
        return
      case 'crowded':
        connections.refused++
        if (!report.again) log.warn('too many milter connections', { limit: maxConnections })
        return
      case 'late':
        log.error('milter session failed', { cause: new Error('the gate does not decide') })
        return
      case 'refused-by-libmilter':
        log.error('libmilter does not take an answer', { what: report.what })
        return
      case 'failed':
        failed(errorOf(report))
        return
      case 'listening':
      case 'ended':
        return
    }
  }

  /** Looks again and again for peers that hold everybody up. */
  async function lookForDeaf(endpoint: Endpoint): Promise<NodeJS.Timeout> {
    const { DeafPeers, LOOK_INTERVAL } = await import('./deaf.ts')
    const peers = new DeafPeers(endpoint)
    const look = (): void => {
      for (let deaf = peers.hangUp(); deaf > 0; deaf--) {
        log.warn('milter client disconnected', { problem: 'it does not take its answers' })
      }
    }
    return setInterval(look, lookInterval ?? LOOK_INTERVAL).unref()
  }

  return {
    front: 'milter',
    counts,

    async start(endpoint) {
      const connection = connectionOf(endpoint)
      if (used) {
        throw new LibmilterError(
          'libmilter-once',
          `libmilter serves one endpoint in the life of a process, and cannot listen on ${formatEndpoint(endpoint)} as well`,
        )
      }
      const { port1: calls, port2: ours } = new MessageChannel()
      const shared = new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
      const wishes = wishesOf(conduct)
      const worker = startThread({ calls, shared, connection, wishes, maxConnections, decisionTime })
      const callee = new Callee(ours, shared, call => desk.take(call, reply => callee.answer(call, reply)))
      const [first] = (await once(worker, 'message')) as [Report]
      if (first.kind === 'failed') {
        callee.close()
        await worker.terminate()
        throw errorOf(first)
      }
      used = true
      // Node takes the thread down when the process exits; libmilter would be given answers that nobody gave.
      const atExit = (): void => {
        callee.release()
        worker.postMessage({ kind: 'exit' } satisfies Order)
        Atomics.wait(shared, SHARED.EXIT, EXIT.BEGUN, EXIT_TIME)
      }
      process.on('exit', atExit)
      running = { worker, callee, atExit, look: await lookForDeaf(endpoint) }
      worker.on('message', hear)
      worker.on('error', cause =>
        failed(new LibmilterError('libmilter-ended', 'the thread of libmilter has failed', { cause })),
      )
    },

    async drain(graceMs) {
      const ending = running
      if (ending === undefined) return
      running = undefined
      const { worker, callee, atExit, look } = ending
      const ended = new Promise<boolean>(resolve => {
        worker.on('message', (report: Report) => {
          if (report.kind === 'ended') resolve(report.mainEnded)
        })
        worker.on('exit', () => resolve(false))
      })
      worker.postMessage({ kind: 'end', graceMs } satisfies Order)
      if (!(await ended)) log.warn('libmilter does not end')
      clearInterval(look)
      process.off('exit', atExit)
      callee.close()
      await worker.terminate()
    },
  }
}
