/**
 * The clients of one front, over all its servers: who is served, how many at most, and how they end.
 */
import type { Server, Socket } from 'node:net'
import { ClientConnection, type ConnectionLimits, type Exchange } from './client-connection.ts'
import { formatEndpoint } from './endpoint.ts'
import type { Log } from './log.ts'
import { type ConnectionCounts, connectionCounts } from './meters.ts'

export interface ClienteleParts {
  /** The front's name, for the log. */
  readonly front: string
  readonly log: Log
  /** Over all servers of the front. Looked at for each new connection. */
  readonly maxConnections: number
  readonly limits: ConnectionLimits
  /** Where its connections are counted, if somebody wants to know. */
  readonly counts?: ConnectionCounts | undefined
  /** Begins an exchange with a new client. */
  readonly newExchange: () => Exchange
}

/** The part of the allowed connections down to which their number must fall before one too many is logged again. */
const RELIEF = 0.9

export class Clientele {
  readonly #parts: ClienteleParts
  readonly #connections = new Set<ClientConnection>()
  readonly #counts: ConnectionCounts
  #crowded = false
  #draining = false

  constructor(parts: ClienteleParts) {
    this.#parts = parts
    this.#counts = parts.counts ?? connectionCounts()
  }

  /** Serves those who connect to a server. It must be made with `allowHalfOpen`. */
  serve(server: Server): Server {
    return server.on('connection', socket => this.#accept(socket, server))
  }

  /** Lets everybody go: idle clients at once, the others when they are answered, all of them after `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true
    // A round of the event loop: requests that have arrived are read before their connections are taken for idle.
    await new Promise(resolve => setImmediate(resolve))
    const left = [...this.#connections]
    const grace = setTimeout(() => {
      for (const connection of left) connection.destroy()
    }, graceMs)
    for (const connection of left) connection.leave()
    await Promise.all(left.map(connection => connection.gone))
    clearTimeout(grace)
  }

  #accept(socket: Socket, server: Server): void {
    if (this.#draining || this.#isFull()) {
      this.#counts.refused++
      socket.destroy()
      return
    }
    const { front, log, limits } = this.#parts
    const exchange = this.#parts.newExchange()
    const client = clientName(socket, server)
    const connection = new ClientConnection(socket, { exchange, log, limits, front, client })
    this.#connections.add(connection)
    this.#counts.accepted++
    this.#counts.open++
    socket.on('close', () => {
      this.#counts.open--
      this.#connections.delete(connection)
      if (this.#connections.size <= this.#parts.maxConnections * RELIEF) this.#crowded = false
    })
  }

  #isFull(): boolean {
    const { maxConnections, front, log } = this.#parts
    if (this.#connections.size < maxConnections) return false
    if (!this.#crowded) log.warn(`too many ${front} connections`, { limit: maxConnections })
    this.#crowded = true
    return true
  }
}

/** Names a client in the log: its address and port, or the unix socket that it came by. */
function clientName(socket: Socket, server: Server): string {
  const { remoteAddress, remotePort } = socket
  if (remoteAddress !== undefined && remotePort !== undefined) {
    return formatEndpoint({ kind: 'tcp', host: remoteAddress, port: remotePort })
  }
  const address = server.address()
  return typeof address === 'string' ? formatEndpoint({ kind: 'unix', path: address }) : 'unknown'
}
