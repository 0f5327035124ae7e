/** A socketmap server on loopback TCP or a unix socket, and a client of netstrings. */
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { type AddressInfo, connect, type NetConnectOpts, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FrontServer } from '../../src/app/front.ts'
import type { LogFields } from '../../src/app/log.ts'
import { Lookup } from '../../src/app/lookup.ts'
import type { FactsStore } from '../../src/app/ports.ts'
import type { MapSettings } from '../../src/socketmap/maps.ts'
import { createSocketmapFront, type SocketmapFrontParts } from '../../src/socketmap/server.ts'
import { keptLog, type Transport } from '../policy/policy-server.ts'
import { address } from '../support/vectors.ts'

/** A site with everything said. */
export const SETTINGS: MapSettings = {
  transport: undefined,
  sink: [{ kind: 'tcp', host: '127.0.0.1', port: 10042 }],
  postmaster: address('postmaster@example.org'),
}

/** Look-ups that note nothing. */
export function lookupIn(store: Pick<FactsStore, 'load'>): Lookup {
  return new Lookup({ store, recorder: { storeState: () => {} } })
}

export interface RunningSocketmap {
  readonly front: FrontServer
  /** What the log says, but for what only debugging is told. */
  readonly lines: readonly (readonly [level: string, message: string, fields: LogFields])[]
  /** As Postfix writes it, before the name of a map. */
  readonly table: string
  connect(): Promise<SocketmapClient>
  stop(): Promise<void>
}

/** Starts a server that listens once this resolves. */
export async function startSocketmap(
  transport: Transport,
  parts: Partial<SocketmapFrontParts> & Pick<SocketmapFrontParts, 'lookup'>,
): Promise<RunningSocketmap> {
  const { log, lines } = keptLog()
  const front = createSocketmapFront({ log, settings: SETTINGS, maxConnections: 100, ...parts })
  const server = front.newServer()
  const folder = await mkdtemp(join(tmpdir(), 'socketmap-'))
  await chmod(folder, 0o755)
  const path = join(folder, 'socket')
  server.listen(transport === 'unix' ? { path } : { host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const clients: SocketmapClient[] = []
  return {
    front,
    get lines() {
      return lines
        .filter(({ level }) => level !== 'debug')
        .map(({ level, message, fields }) => [level, message, fields] as const)
    },
    table: transport === 'unix' ? `socketmap:unix:${path}` : `socketmap:inet:127.0.0.1:${port}`,
    connect: async () => {
      const client = await SocketmapClient.connect(
        transport === 'unix' ? { path } : { host: '127.0.0.1', port },
      )
      clients.push(client)
      return client
    },
    stop: async () => {
      server.close()
      for (const client of clients) client.destroy()
      await front.drain(0)
      await rm(folder, { recursive: true })
    },
  }
}

/** A text as a netstring; each character is a byte. */
export function netstring(text: string): string {
  return `${text.length}:${text},`
}

/** One connection. Replies are kept until they are asked for. */
export class SocketmapClient {
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

  static async connect(options: NetConnectOpts): Promise<SocketmapClient> {
    const socket = connect({ ...options, allowHalfOpen: true })
    await once(socket, 'connect')
    return new SocketmapClient(socket)
  }

  /** Sends bytes, one for each character. */
  send(bytes: string): void {
    this.socket.write(bytes, 'latin1')
  }

  halfClose(): void {
    this.socket.end()
  }

  destroy(): void {
    this.socket.destroy()
  }

  /** The next reply, or `undefined` if the server closed the connection instead. */
  async reply(): Promise<string | undefined> {
    for (;;) {
      const head = /^(\d+):/.exec(this.#received)
      const begin = head?.[0].length ?? 0
      const end = begin + Number(head?.[1])
      if (head !== null && this.#received.length > end) {
        if (this.#received[end] !== ',') throw new Error(`no netstring: ${this.#received.slice(0, end + 1)}`)
        const reply = this.#received.slice(begin, end)
        this.#received = this.#received.slice(end + 1)
        return reply
      }
      if (this.#closed) return undefined
      await this.#event()
    }
  }

  /** Asks a map for a key. */
  async ask(request: string): Promise<string | undefined> {
    this.send(netstring(request))
    return await this.reply()
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
