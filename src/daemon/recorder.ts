/**
 * What the gate does, as it is noted: one line for each decision, one for each change of the store's state, and
 * counts by verdict and reason.
 */
import type { Decided, Recorder } from '../app/gate.ts'
import type { Journal } from '../app/journal.ts'
import type { Log } from '../app/log.ts'
import type { Meters } from '../app/meters.ts'
import type { Clock } from '../app/ports.ts'
import type { Reason } from '../core/reason.ts'
import type { Transaction } from '../core/transaction.ts'
import type { VerdictKind } from '../core/verdict.ts'

export interface RecorderParts {
  readonly log: Log & { decided(decision: Decided): void }
  readonly clock: Clock
  /** What the store is, for the log. */
  readonly store: string
  /** Counts along, if somebody wants figures. */
  readonly meters?: Pick<Meters, 'decided' | 'storeState'>
  /** Keeps decisions for whoever asks later. */
  readonly journal?: Journal | undefined
}

/** How often a verdict was given for a reason. */
export interface DecisionCount {
  readonly verdict: VerdictKind
  readonly reason: Reason
  readonly count: number
}

interface Outage {
  readonly since: number
  failures: number
}

/** A bug that shows at every request is described once in so many milliseconds. */
const REPEAT_AFTER = 60_000

export class DaemonRecorder implements Recorder {
  readonly #parts: RecorderParts
  readonly #counts = new Map<string, DecisionCount>()
  #outage: Outage | undefined
  #lastBug = { message: '', at: Number.NEGATIVE_INFINITY }

  constructor(parts: RecorderParts) {
    this.#parts = parts
  }

  decided(decision: Decided): void {
    const { kind: verdict, reason } = decision.verdict
    const key = `${verdict} ${reason}`
    this.#counts.set(key, { verdict, reason, count: (this.#counts.get(key)?.count ?? 0) + 1 })
    this.#parts.log.decided(decision)
    this.#parts.meters?.decided(decision)
    this.#parts.journal?.record(decision)
  }

  storeState(state: 'up' | 'down', cause?: unknown): void {
    const { log, clock, store, meters } = this.#parts
    meters?.storeState(state)
    if (state === 'down') {
      if (this.#outage === undefined) log.error('store unavailable', { store, cause })
      this.#outage ??= { since: clock(), failures: 0 }
      this.#outage.failures++
    } else if (this.#outage !== undefined) {
      const { since, failures } = this.#outage
      const seconds = Math.round((clock() - since) / 1000)
      this.#outage = undefined
      log.info('store available again', { store, seconds, failures })
    }
  }

  internalError(cause: unknown, { front, phase }: Transaction): void {
    const message = String(cause)
    const at = this.#parts.clock()
    if (message === this.#lastBug.message && at - this.#lastBug.at < REPEAT_AFTER) return
    this.#lastBug = { message, at }
    this.#parts.log.error('decision failed', { front, phase, cause })
  }

  /** How often each verdict was given, the most frequent first. */
  counts(): readonly DecisionCount[] {
    return [...this.#counts.values()].sort((a, b) => b.count - a.count)
  }
}
