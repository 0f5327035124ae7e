/**
 * The policy server (Postfix SMTPD_POLICY_README; Exim `${readsocket}`).
 *
 * Postfix keeps its connections for up to 1000 s, and each one that is closed before costs it a second's wait; Exim
 * closes its sending side after the request and reads until ours is closed. In trouble the server says nothing, logs
 * one line and disconnects: the MTA then does what it is configured to do without us.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { formatEndpoint } from '../app/endpoint.ts'
import type { FrontServer } from '../app/front.ts'
import type { Log } from '../app/log.ts'
import type { Clock } from '../app/ports.ts'
import { REQUEST_LIMITS } from './codec.ts'
import { Connection, type ConnectionLimits } from './connection.ts'
import { MESSAGE_LIMITS, type MessageLimits, Messages } from './messages.ts'
import { PolicySession, type SessionParts } from './session.ts'

/** Bounds on what clients may do. */
export interface PolicyLimits extends ConnectionLimits {
  readonly messages: MessageLimits
}

export const POLICY_LIMITS: PolicyLimits = {
  request: REQUEST_LIMITS,
  messages: MESSAGE_LIMITS,
  requestTime: 30_000,
  answerTime: 30_000,
  idleTime: 1_200_000,
}

/** What the front is made of. */
export interface PolicyFrontParts extends SessionParts {
  readonly log: Log
  readonly clock?: Clock
  /** Over all servers of the front. Looked at for each new connection. */
  readonly maxConnections: number
  readonly limits?: Partial<PolicyLimits>
}

/** The part of the allowed connections down to which their number must fall before one too many is logged again. */
const RELIEF = 0.9

class PolicyFront implements FrontServer {
  readonly front = 'policy'
  readonly #parts: PolicyFrontParts
  readonly #limits: PolicyLimits
  readonly #messages: Messages
  readonly #connections = new Set<Connection>()
  #crowded = false
  #draining = false

  constructor(parts: PolicyFrontParts) {
    this.#parts = parts
    this.#limits = { ...POLICY_LIMITS, ...parts.limits }
    this.#messages = new Messages(parts.clock ?? Date.now, this.#limits.messages)
  }

  newServer(): Server {
    const server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true })
    return server.on('connection', socket => this.#accept(socket, server))
  }

  #accept(socket: Socket, server: Server): void {
    if (this.#draining || this.#isFull()) {
      socket.destroy()
      return
    }
    const connection = new Connection(socket, {
      session: new PolicySession(this.#parts, this.#messages),
      log: this.#parts.log,
      limits: this.#limits,
      client: clientName(socket, server),
    })
    this.#connections.add(connection)
    socket.on('close', () => {
      this.#connections.delete(connection)
      if (this.#connections.size <= this.#parts.maxConnections * RELIEF) this.#crowded = false
    })
  }

  #isFull(): boolean {
    const { maxConnections, log } = this.#parts
    if (this.#connections.size < maxConnections) return false
    if (!this.#crowded) log.warn('too many policy connections', { limit: maxConnections })
    this.#crowded = true
    return true
  }

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

/** Makes the policy front. Its servers share their limits and the messages that are on their way. */
export function createPolicyFront(parts: PolicyFrontParts): FrontServer {
  return new PolicyFront(parts)
}
