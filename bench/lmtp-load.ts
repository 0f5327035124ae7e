/**
 * The load of the LMTP benchmark, in a process of its own: connections that send one message after the other as Postfix
 * does, sender, recipient and DATA in one packet. Every reply is looked at; one that is no success ends the run.
 */
import { createConnection, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'

export interface Order {
  readonly port: number
  readonly connections: number
  readonly ms: number
}

export interface Measured {
  readonly messages: number
  /** Milliseconds that it really took. */
  readonly ms: number
  /** From MAIL to the reply to the dot, in microseconds. */
  readonly p50: number
  readonly p99: number
}

/** What this process tells its parent. */
export type Said = { readonly ready: true } | { readonly measured: Measured } | { readonly failed: string }

/** In octets. */
export const MESSAGE_SIZE = 1024

const ENVELOPE = Buffer.from(
  'MAIL FROM:<alice@example.net> SIZE=1024\r\nRCPT TO:<team@lists.example.org>\r\nDATA\r\n',
)
const HEADER = 'From: alice@example.net\r\nTo: team@lists.example.org\r\nSubject: x\r\n\r\n'
const MESSAGE = Buffer.from(`${`${HEADER}${'x'.repeat(72)}\r\n`.padEnd(MESSAGE_SIZE - 2, 'text ')}\r\n.\r\n`)

function send(order: Order): Promise<Measured> {
  const latencies: number[] = []
  const sockets: Socket[] = []
  let open = order.connections
  const begin = performance.now()
  const end = begin + order.ms
  return new Promise((resolve, reject) => {
    const finish = (socket: Socket): void => {
      socket.end('QUIT\r\n')
      if (--open > 0) return
      const ms = performance.now() - begin
      latencies.sort((a, b) => a - b)
      const at = (part: number): number =>
        Math.round(1000 * (latencies[Math.floor(latencies.length * part)] ?? 0))
      resolve({ messages: latencies.length, ms, p50: at(0.5), p99: at(0.99) })
    }
    for (let count = 0; count < order.connections; count++) {
      const socket = createConnection({ host: '127.0.0.1', port: order.port, noDelay: true })
      sockets.push(socket)
      let text = ''
      let since = 0
      /** The last lines of the replies that are waited for. */
      let expected = /^220 .*\r\n/
      let next = (): void => {
        expected = /^250 .*\r\n/m
        next = transaction
        socket.write('LHLO bench.example.org\r\n')
      }
      const transaction = (): void => {
        since = performance.now()
        expected = /^250 .*\r\n250 .*\r\n354 .*\r\n$/
        next = message
        socket.write(ENVELOPE)
      }
      const message = (): void => {
        expected = /^250 .*\r\n$/
        next = done
        socket.write(MESSAGE)
      }
      const done = (): void => {
        const now = performance.now()
        latencies.push(now - since)
        if (now < end) transaction()
        else {
          next = () => {}
          expected = /^221 /
          finish(socket)
        }
      }
      socket.setEncoding('latin1')
      socket.on('data', chunk => {
        text += chunk
        if (/^[45]/m.test(text)) reject(new Error(text))
        else if (expected.test(text)) {
          text = ''
          next()
        }
      })
      socket.on('error', reject)
    }
  })
}

function say(said: Said): void {
  process.send?.(said)
}

process.on('message', (order: Order) => {
  send(order).then(
    measured => say({ measured }),
    (error: unknown) => say({ failed: String(error) }),
  )
})
say({ ready: true })
