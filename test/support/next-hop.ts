/**
 * A next hop that does as a script says: a server for what speaks LMTP, that notes what it is told and answers with
 * whatever bytes the test wants it to.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Endpoint } from '../../src/app/endpoint.ts'

/** Ends the connection, after what was written before it. */
export const CLOSE = Symbol('close')
/** Ends it by a reset. */
export const RESET = Symbol('reset')
/** What is written, piece by piece; nothing is no answer. */
export type Answer = string | typeof CLOSE | typeof RESET | readonly (string | typeof CLOSE | typeof RESET)[]

export interface Said {
  /** Of the connection: 1, 2 … */
  readonly connection: number
  /** Of the transaction on this connection: 1, 2 … */
  readonly transaction: number
  /** The recipients of this transaction that were answered with 2xx. */
  readonly taken: readonly string[]
  /** The path in the command, if it has one. */
  readonly path: string
}

/** The answers to what comes; what is not given is answered as a good next hop would. */
export interface Script {
  readonly connect?: (said: Said) => Answer
  readonly LHLO?: (said: Said) => Answer
  readonly MAIL?: (said: Said) => Answer
  readonly RCPT?: (said: Said) => Answer
  readonly DATA?: (said: Said) => Answer
  /** Each piece of a message that is not its last. */
  readonly piece?: (said: Said) => Answer
  /** The final dot. */
  readonly dot?: (said: Said) => Answer
  readonly RSET?: (said: Said) => Answer
  readonly XFORWARD?: (said: Said) => Answer
}

export interface NextHop {
  readonly endpoint: Extract<Endpoint, { kind: 'tcp' }>
  /** Every command, with the number of its connection before it. */
  readonly commands: readonly string[]
  /** What was read at once, command lines only. */
  readonly packets: readonly string[]
  /** Messages as they came, dots and all, without the final one. */
  readonly messages: readonly { readonly taken: readonly string[]; readonly wire: string }[]
  /** Connections so far. */
  readonly connections: number
  /** Connections that are open. */
  readonly open: number
  /** Resolves when so many connections are open. */
  opened(count: number): Promise<void>
  /** Writes to all open connections. */
  say(text: string): void
  /** Ends all open connections. */
  hangUp(): void
  stop(): Promise<void>
}

export const OFFER = '250-hop.example.org\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 SIZE 0\r\n'

const GOOD: Required<Script> = {
  connect: () => '220 hop.example.org LMTP\r\n',
  LHLO: () => OFFER,
  MAIL: () => '250 2.1.0 Ok\r\n',
  RCPT: () => '250 2.1.5 Ok\r\n',
  DATA: ({ taken }) => (taken.length > 0 ? '354 Go on\r\n' : '503 5.5.1 Nobody\r\n'),
  piece: () => [],
  dot: ({ taken }) => taken.map(path => `250 2.0.0 ${path} taken\r\n`).join(''),
  RSET: () => '250 2.0.0 Ok\r\n',
  XFORWARD: () => '250 2.0.0 Ok\r\n',
}

export async function startNextHop(script: Script = {}, port = 0): Promise<NextHop> {
  const answers = { ...GOOD, ...script }
  const commands: string[] = []
  const packets: string[] = []
  const messages: { taken: readonly string[]; wire: string }[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  let changed: () => void = () => {}

  const server = createServer(socket => {
    const connection = ++connections
    sockets.add(socket)
    changed()
    let input = ''
    let transaction = 0
    let taken: string[] = []
    let wire: string | undefined
    const said = (path = ''): Said => ({ connection, transaction, taken, path })
    const write = (answer: Answer): string => {
      let written = ''
      for (const piece of [answer].flat() as readonly (string | typeof CLOSE | typeof RESET)[]) {
        if (piece === CLOSE) socket.end()
        else if (piece === RESET) socket.resetAndDestroy()
        else if (piece !== '' && socket.writable) {
          socket.write(piece, 'latin1')
          written += piece
        }
      }
      return written
    }
    const obey = (line: string): void => {
      commands.push(`${connection} ${line}`)
      const verb = (line.split(' ')[0] ?? '').toUpperCase()
      const path = /<(.*)>/.exec(line)?.[1] ?? ''
      if (verb === 'MAIL') {
        transaction++
        taken = []
      }
      if (verb === 'QUIT') {
        write(['221 2.0.0 Bye\r\n', CLOSE])
      } else if (verb in answers) {
        const written = write(answers[verb as 'RCPT'](said(path)))
        if (verb === 'RCPT' && written.startsWith('2')) taken = [...taken, path]
        if (verb === 'DATA' && written.startsWith('354')) wire = ''
      } else write('500 5.5.1 What?\r\n')
    }
    socket.setEncoding('latin1')
    socket.on('error', () => {})
    socket.on('close', () => {
      sockets.delete(socket)
      changed()
    })
    socket.on('data', (text: string) => {
      input += text
      if (wire === undefined) packets.push(text)
      for (;;) {
        if (wire !== undefined) {
          wire += input
          input = ''
          const end = wire.startsWith('.\r\n') ? 0 : wire.indexOf('\r\n.\r\n') + 2
          if (end === 1) {
            write(answers.piece(said()))
            return
          }
          messages.push({ taken, wire: wire.slice(0, end) })
          input = wire.slice(end + 3)
          wire = undefined
          write(answers.dot(said()))
        }
        const end = input.indexOf('\r\n')
        if (end === -1) return
        const line = input.slice(0, end)
        input = input.slice(end + 2)
        obey(line)
      }
    })
    write(answers.connect(said()))
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return {
    endpoint: { kind: 'tcp', host: '127.0.0.1', port: (server.address() as AddressInfo).port },
    commands,
    packets,
    messages,
    get connections() {
      return connections
    },
    get open() {
      return sockets.size
    },
    async opened(count) {
      while (sockets.size !== count) {
        await new Promise<void>(resolve => {
          changed = resolve
        })
      }
    },
    say: text => {
      for (const socket of sockets) socket.write(text, 'latin1')
    },
    hangUp: () => {
      for (const socket of sockets) socket.end()
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
