/**
 * What is counted while the daemon runs: plain numbers, counted where the thing happens and read when somebody asks.
 * Nobody here knows who that is. What a count is told apart by are words of closed sets, never an address or a list.
 */

import type { Reason } from '../core/reason.ts'
import type { Front, Phase } from '../core/transaction.ts'
import type { VerdictKind } from '../core/verdict.ts'
import type { Decided, Recorder } from './gate.ts'
import type { Clock } from './ports.ts'

/** The fronts that have connections. */
export const METERED_FRONTS = ['policy', 'milter', 'lmtp', 'socketmap', 'web'] as const
export type MeteredFront = (typeof METERED_FRONTS)[number]

/** The connections of one front. */
export interface ConnectionCounts {
  /** At the moment. */
  open: number
  /** Served since the start. */
  accepted: number
  /** Closed unserved: too many, not allowed, or too late. */
  refused: number
}

/** What the milter has seen; `MilterCounts` of the front. */
export interface MilterMessages {
  connections: number
  messages: number
  otherMessages: number
  refusedByMta: number
}

/** What may become of a recipient's copy in the sink. */
export const COPY_OUTCOMES = ['delivered', 'held', 'discarded', 'refused', 'failed'] as const
export type CopyOutcome = (typeof COPY_OUTCOMES)[number]

/** How a look-up by socketmap may end. */
export const LOOKUP_RESULTS = ['found', 'not-found', 'temporary', 'permanent'] as const
export type LookupResult = (typeof LOOKUP_RESULTS)[number]

/** The upper limits of the latencies that are told apart, in milliseconds; there is one more above them. */
export const LATENCY_LIMITS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000] as const

interface Branch {
  count: number
  readonly branches: Map<string, Branch>
}

const newBranch = (): Branch => ({ count: 0, branches: new Map() })

function* leaves(
  branch: Branch,
  path: readonly string[],
  depth: number,
): Generator<[readonly string[], number]> {
  if (path.length === depth) yield [path, branch.count]
  else for (const [word, next] of branch.branches) yield* leaves(next, [...path, word], depth)
}

/** Counts, told apart by so many words. Counting is a look-up for each word and an addition. */
export class Tally<Words extends readonly string[]> {
  readonly #root = newBranch()
  readonly #depth: number

  /** `depth` is the number of words. */
  constructor(depth: Words['length']) {
    this.#depth = depth
  }

  /** Counts one more, or so many; 0 is nothing but that the words exist. */
  add(words: Words, by = 1): void {
    let branch = this.#root
    for (const word of words) {
      let next = branch.branches.get(word)
      if (next === undefined) {
        next = newBranch()
        branch.branches.set(word, next)
      }
      branch = next
    }
    branch.count += by
  }

  /** Every count, with its words. */
  counts(): readonly (readonly [Words, number])[] {
    return [...leaves(this.#root, [], this.#depth)] as unknown as readonly (readonly [Words, number])[]
  }
}

/** How long decisions took. */
export interface Latencies {
  /** How many took at most each of `LATENCY_LIMITS` and more than the one before it; the last took longer than all. */
  readonly counts: number[]
  /** In milliseconds. */
  sum: number
}

/** How the store is, as the gate and the look-ups find it. */
export interface StoreReading {
  isUp: boolean
  /** When that was heard last, in milliseconds since the epoch; 0 if never. */
  heardAt: number
  /** Questions that it did not answer. */
  failures: number
  /** Times that it went away. */
  outages: number
}

/** How going over to another configuration went. The one that the daemon began with counts as gone over to. */
export interface ReloadReading {
  wasSuccessful: boolean
  /** Milliseconds since the epoch. */
  succeededAt: number
}

function latencies(): Latencies {
  return { counts: [...LATENCY_LIMITS, 0].map(() => 0), sum: 0 }
}

/** The counts of a front that nobody has connected to yet. */
export function connectionCounts(): ConnectionCounts {
  return { open: 0, accepted: 0, refused: 0 }
}

export class Meters implements Recorder {
  readonly #clock: Clock
  readonly decisions = new Tally<readonly [Front, Phase, VerdictKind, Reason]>(4)
  readonly latencies = new Map<Front, Latencies>()
  readonly store: StoreReading = { isUp: true, heardAt: 0, failures: 0, outages: 0 }
  readonly connections: Readonly<Record<MeteredFront, ConnectionCounts>> = {
    policy: connectionCounts(),
    milter: connectionCounts(),
    lmtp: connectionCounts(),
    socketmap: connectionCounts(),
    web: connectionCounts(),
  }
  readonly milter: MilterMessages = { connections: 0, messages: 0, otherMessages: 0, refusedByMta: 0 }
  /** Messages that the sink took in, whatever became of them. */
  readonly sink = { messages: 0 }
  /** Copies by delivery, empty where none had to do with it, and by what became of them. */
  readonly copies = new Tally<readonly [delivery: string, CopyOutcome]>(2)
  /** Look-ups by map, `unknown` if there is none of the name, and by result. */
  readonly lookups = new Tally<readonly [map: string, LookupResult]>(2)
  readonly reload: ReloadReading

  constructor(clock: Clock) {
    this.#clock = clock
    this.reload = { wasSuccessful: true, succeededAt: clock() }
  }

  decided({ tx: { front, phase }, verdict: { kind, reason }, latency }: Decided): void {
    this.decisions.add([front, phase, kind, reason])
    let taken = this.latencies.get(front)
    if (taken === undefined) {
      taken = latencies()
      this.latencies.set(front, taken)
    }
    let place = 0
    while (place < LATENCY_LIMITS.length && latency > (LATENCY_LIMITS[place] ?? 0)) place++
    taken.counts[place] = (taken.counts[place] ?? 0) + 1
    taken.sum += latency
  }

  storeState(state: 'up' | 'down'): void {
    const { store } = this
    store.heardAt = this.#clock()
    if (state === 'down') {
      store.failures++
      if (store.isUp) store.outages++
    }
    store.isUp = state === 'up'
  }

  /** Shows among the decisions, by its reason. */
  internalError(): void {}

  /** Notes how going over to another configuration went. */
  reloaded(wasSuccessful: boolean): void {
    this.reload.wasSuccessful = wasSuccessful
    if (wasSuccessful) this.reload.succeededAt = this.#clock()
  }
}
