/**
 * What every front is to the daemon that runs it: a maker of servers, one for each endpoint, and a way to end.
 */
import type { Server } from 'node:net'
import type { Front } from '../core/transaction.ts'

export interface FrontServer {
  readonly front: Front | 'socketmap' | 'web'
  /** A server that does not listen yet. All servers of one front share its limits and end together. */
  newServer(): Server
  /**
   * Ends: closes idle connections, lets the others finish what they are at, and destroys what is left after
   * `graceMs` milliseconds. The servers' listening sockets have been closed before.
   */
  drain(graceMs: number): Promise<void>
}
