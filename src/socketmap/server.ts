/**
 * The socketmap server (socketmap_table(5)): Postfix looks up list domains, list addresses and their transport in the
 * store itself, so that a new list needs no table and no reload.
 *
 * Postfix closes a connection after 10 s without a question, and opens a new one where its own was closed.
 */
import { createServer, type Server } from 'node:net'
import type { ConnectionLimits } from '../app/client-connection.ts'
import { Clientele } from '../app/clientele.ts'
import type { FrontServer } from '../app/front.ts'
import type { ConnectionCounts } from '../app/meters.ts'
import { type ExchangeParts, SocketmapExchange } from './exchange.ts'

/** Bounds on what clients may do. */
export const SOCKETMAP_LIMITS: ConnectionLimits = {
  requestTime: 30_000,
  answerTime: 30_000,
  idleTime: 300_000,
}

/** What the front is made of. */
export interface SocketmapFrontParts extends ExchangeParts {
  /** Over all servers of the front. Looked at for each new connection. */
  readonly maxConnections: number
  readonly connections?: ConnectionCounts
  readonly limits?: Partial<ConnectionLimits>
}

/** Makes the socketmap front. Its servers share their limits. */
export function createSocketmapFront(parts: SocketmapFrontParts): FrontServer {
  const clientele = new Clientele({
    front: 'socketmap',
    log: parts.log,
    limits: { ...SOCKETMAP_LIMITS, ...parts.limits },
    counts: parts.connections,
    newExchange: () => new SocketmapExchange(parts),
    get maxConnections() {
      return parts.maxConnections
    },
  })
  return {
    front: 'socketmap',
    newServer: (): Server =>
      clientele.serve(createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true })),
    drain: graceMs => clientele.drain(graceMs),
  }
}
