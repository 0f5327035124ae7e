/**
 * The load of the policy benchmark, in a process of its own: connections that ask as Postfix does, the next question
 * when the last is answered, for a given time. Every answer is compared with what it must be, byte for byte.
 */
import { createConnection, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { questions } from './policy-world.ts'

export interface Order {
  readonly endpoint: { readonly path: string } | { readonly host: string; readonly port: number }
  readonly connections: number
  readonly ms: number
  /** The answer to everything, or what each question's answer must be. */
  readonly expect: 'constant' | 'law'
}

export interface Measured {
  readonly answers: number
  readonly wrong: number
  /** Milliseconds that it really took. */
  readonly ms: number
  /** In microseconds. */
  readonly p50: number
  readonly p99: number
  /** The part of one core that this process needed. */
  readonly cpu: number
}

/** What this process tells its parent. */
export type Said = { readonly ready: true } | { readonly measured: Measured } | { readonly failed: string }

const CONSTANT = Buffer.from('action=DUNNO\n\n')
const QUESTIONS = questions(20_000)

function ask(order: Order): Promise<Measured> {
  const { endpoint, connections, expect } = order
  const latencies: number[] = []
  let answers = 0
  let wrong = 0
  let asked = 0
  let open = connections
  const sockets: Socket[] = []
  const cpu = process.cpuUsage()
  const begin = performance.now()
  const end = begin + order.ms
  return new Promise((resolve, reject) => {
    const finish = (): void => {
      if (--open > 0) return
      const ms = performance.now() - begin
      const { user, system } = process.cpuUsage(cpu)
      for (const socket of sockets) socket.destroy()
      latencies.sort((a, b) => a - b)
      const at = (part: number): number =>
        Math.round(1000 * (latencies[Math.floor(latencies.length * part)] ?? 0))
      resolve({ answers, wrong, ms, p50: at(0.5), p99: at(0.99), cpu: (user + system) / 1000 / ms })
    }
    for (let i = 0; i < connections; i++) {
      const received = Buffer.alloc(1024)
      let question = QUESTIONS[0]
      let length = 0
      let since = 0
      const next = (): void => {
        question = QUESTIONS[asked++ % QUESTIONS.length]
        length = 0
        since = performance.now()
        socket.write(question?.request ?? '')
      }
      const socket = createConnection({
        ...endpoint,
        onread: {
          buffer: Buffer.alloc(4096),
          callback: (count, chunk) => {
            if (length + count > received.length) {
              reject(new Error(`no end of an answer in ${received.toString('latin1', 0, length)}`))
              return false
            }
            received.set(chunk.subarray(0, count), length)
            length += count
            if (received[length - 1] !== 10 || received[length - 2] !== 10) return true
            const now = performance.now()
            latencies.push(now - since)
            answers++
            const answer = expect === 'law' ? question?.answer : CONSTANT
            if (answer === undefined || received.compare(answer, 0, answer.length, 0, length) !== 0) wrong++
            if (now < end) next()
            else finish()
            return true
          },
        },
      })
      sockets.push(socket)
      socket.setNoDelay(true)
      socket.on('connect', next)
      socket.on('error', reject)
      socket.on('end', () => reject(new Error('the server closed a connection')))
    }
  })
}

function say(said: Said): void {
  process.send?.(said)
}

process.on('message', (order: Order) => {
  ask(order).then(
    measured => say({ measured }),
    (error: unknown) => say({ failed: String(error) }),
  )
})
say({ ready: true })
