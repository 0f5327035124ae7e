/**
 * What the processes of a daemon with several workers tell one another: the first one, which answers nobody itself,
 * and its workers.
 */

import type { Endpoint } from '../app/endpoint.ts'
import type { MetersReading } from '../app/meters-reading.ts'
import type { ProcessReport } from '../app/process-report.ts'
import type { InheritedSockets, SocketName } from './inherited-sockets.ts'

/** A place where a worker listens, as `ListeningFront`. */
export interface Place {
  readonly front: SocketName | 'trial'
  readonly endpoint?: Endpoint | undefined
}

/** To begin with. */
export interface WorkerStart {
  readonly kind: 'start'
  /** From 1; a worker that takes the place of another has its number. */
  readonly number: number
  readonly file: string
  /** The configuration file as it was at the start and, if that has changed, as it was last gone over to. */
  readonly texts: readonly string[]
  readonly inherited: InheritedSockets
}

export type ToWorker =
  | WorkerStart
  /** Another configuration; none if what was asked for cannot be used. */
  | { readonly kind: 'reload'; readonly text: string | undefined }
  /** Finish what is under way, and end. */
  | { readonly kind: 'stop' }
  | { readonly kind: 'report'; readonly id: number }
  /** What `gather` asked for. */
  | { readonly kind: 'gathered'; readonly id: number; readonly reports: readonly ProcessReport[] }

export type FromWorker =
  /** It can be told to start. */
  | { readonly kind: 'here' }
  | { readonly kind: 'listening'; readonly places: readonly Place[] }
  /** It cannot start, for a reason that the operator has to see to. */
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'reloaded'; readonly isInForce: boolean }
  | { readonly kind: 'report'; readonly id: number; readonly report: ProcessReport }
  /** How are all? */
  | { readonly kind: 'gather'; readonly id: number }
  /** The last word. */
  | { readonly kind: 'ended'; readonly meters: MetersReading }
