/**
 * The policy server (Postfix SMTPD_POLICY_README; Exim `${readsocket}`).
 *
 * Postfix keeps its connections for up to 1000 s, and each one that is closed before costs it a second's wait; Exim
 * closes its sending side after the request and reads until ours is closed. In trouble the server says nothing, logs
 * one line and disconnects: the MTA then does what it is configured to do without us.
 */
import { createServer, type Server } from 'node:net'
import type { ConnectionLimits } from '../app/client-connection.ts'
import { Clientele } from '../app/clientele.ts'
import type { FrontServer } from '../app/front.ts'
import type { Log } from '../app/log.ts'
import type { ConnectionCounts } from '../app/meters.ts'
import type { Clock } from '../app/ports.ts'
import { REQUEST_LIMITS, type RequestLimits } from './codec.ts'
import { PolicyExchange } from './exchange.ts'
import { MESSAGE_LIMITS, type MessageLimits, Messages } from './messages.ts'
import { PolicySession, type SessionParts } from './session.ts'

/** Bounds on what clients may do. */
export interface PolicyLimits extends ConnectionLimits {
  readonly request: RequestLimits
  readonly messages: MessageLimits
}

/** `idleTime` is more than the 1000 s for which Postfix keeps a connection. */
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
  readonly connections?: ConnectionCounts
  readonly limits?: Partial<PolicyLimits>
}

/** Makes the policy front. Its servers share their limits and the messages that are on their way. */
export function createPolicyFront(parts: PolicyFrontParts): FrontServer {
  const limits: PolicyLimits = { ...POLICY_LIMITS, ...parts.limits }
  const messages = new Messages(parts.clock ?? Date.now, limits.messages)
  const clientele = new Clientele({
    front: 'policy',
    log: parts.log,
    limits,
    counts: parts.connections,
    newExchange: () => new PolicyExchange(new PolicySession(parts, messages), limits.request),
    get maxConnections() {
      return parts.maxConnections
    },
  })
  return {
    front: 'policy',
    newServer: (): Server =>
      clientele.serve(createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true })),
    drain: graceMs => clientele.drain(graceMs),
  }
}
