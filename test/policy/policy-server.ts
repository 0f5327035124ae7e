/** A policy server on loopback TCP or a unix socket, and a client that speaks as MTAs do. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, type NetConnectOpts, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FrontServer } from '../../src/app/front.ts'
import { Gate } from '../../src/app/gate.ts'
import type { Log, LogFields } from '../../src/app/log.ts'
import type { FactsStore } from '../../src/app/ports.ts'
import { INITIAL_SITE, type Site } from '../../src/core/facts.ts'
import { createPolicyFront, type PolicyFrontParts } from '../../src/policy/server.ts'

export type Transport = 'tcp' | 'unix'

export interface LogLine {
  readonly level: keyof Log
  readonly message: string
  readonly fields: LogFields
}

/** A log that is kept. */
export function keptLog(): { log: Log; lines: LogLine[] } {
  const lines: LogLine[] = []
  const at =
    (level: keyof Log) =>
    (message: string, fields: LogFields = {}): void => {
      lines.push({ level, message, fields })
    }
  return { lines, log: { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') } }
}

/** A gate that notes nothing. */
export function gateOf(store: FactsStore, site: Site = INITIAL_SITE): Gate {
  const recorder = { decided: () => {}, storeState: () => {}, internalError: () => {} }
  return new Gate({ store, site, recorder, clock: Date.now })
}

export interface RunningPolicy {
  readonly front: FrontServer
  /** What the front was made of; may be changed. */
  readonly parts: { -readonly [K in keyof PolicyFrontParts]: PolicyFrontParts[K] }
  readonly lines: readonly LogLine[]
  /** What the log says of clients that were disconnected, in order. */
  problems(): readonly unknown[]
  connect(): Promise<PolicyClient>
  /** Stops listening; connections live on. */
  stopListening(): void
  stop(): Promise<void>
}

/** Starts a server that listens once this resolves. */
export async function startPolicy(
  transport: Transport,
  parts: Partial<PolicyFrontParts> & Pick<PolicyFrontParts, 'gate'>,
): Promise<RunningPolicy> {
  const { log, lines } = keptLog()
  const own: RunningPolicy['parts'] = { log, onStoreFailure: 'defer', maxConnections: 100, ...parts }
  const front = createPolicyFront(own)
  const server = front.newServer()
  const folder = await mkdtemp(join(tmpdir(), 'policy-'))
  server.listen(transport === 'unix' ? { path: join(folder, 'socket') } : { host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const clients: PolicyClient[] = []
  const options = connectOptions(server)
  return {
    front,
    parts: own,
    lines,
    problems: () => lines.filter(line => line.level === 'warn').map(line => line.fields['problem']),
    connect: async () => {
      const client = await PolicyClient.connect(options)
      clients.push(client)
      return client
    },
    stopListening: () => server.close(),
    stop: async () => {
      server.close()
      for (const client of clients) client.destroy()
      await front.drain(0)
      await rm(folder, { recursive: true })
    },
  }
}

function connectOptions(server: Server): NetConnectOpts {
  const address = server.address()
  return typeof address === 'string'
    ? { path: address }
    : { host: '127.0.0.1', port: (address as AddressInfo).port }
}

/** One connection. Answers are kept until they are asked for. */
export class PolicyClient {
  readonly socket: Socket
  #received = ''
  #closed = false
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.#received += text
      this.#wake()
    })
    socket.on('error', () => {})
    for (const event of ['end', 'close']) {
      socket.on(event, () => {
        this.#closed = true
        this.#wake()
      })
    }
  }

  static async connect(options: NetConnectOpts): Promise<PolicyClient> {
    const socket = connect({ ...options, allowHalfOpen: true })
    await once(socket, 'connect')
    return new PolicyClient(socket)
  }

  send(bytes: string | Buffer): void {
    this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** Closes the sending side, as Exim does after its request. */
  halfClose(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** The next answer, or `undefined` if the server closed the connection instead. */
  async answer(): Promise<string | undefined> {
    for (;;) {
      const end = this.#received.indexOf('\n\n')
      if (end !== -1) {
        const answer = this.#received.slice(0, end + 2)
        this.#received = this.#received.slice(end + 2)
        return answer
      }
      if (this.#closed) return undefined
      await this.#event()
    }
  }

  /** Sends, and waits for one answer. */
  async ask(bytes: string | Buffer): Promise<string | undefined> {
    this.send(bytes)
    return await this.answer()
  }

  /** What is still received until the server closes the connection. */
  async rest(): Promise<string> {
    while (!this.#closed) await this.#event()
    return this.#received
  }

  #event(): Promise<void> {
    return new Promise(resolve => {
      this.#wake = resolve
    })
  }
}
