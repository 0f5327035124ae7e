/**
 * The journal, as ports: every decision about a list as an event, counted by minute, hour and day, written in batches off
 * the answer path and read by whoever tells people what the gate did. Nothing that is judged depends on it.
 */
import type { ListAddress } from '../core/transaction.ts'
import type { Period, Tally, TopKind } from './counters.ts'
import type { Decided } from './gate.ts'
import type { JournalEvent } from './journal-event.ts'

/** An event in the journal, under the id that the store gave it: `MILLISECONDS-NUMBER`, in the order of writing. */
export interface StoredEvent extends JournalEvent {
  readonly id: string
}

/** Where decisions are noted. Never throws and never waits. */
export interface Journal {
  record(decided: Decided): void
}

/** How much is kept. */
export interface Retention {
  /** Events, about; of more, the oldest go. */
  readonly maxEvents: number
  /** For how many minutes, hours and days back there are counters. */
  readonly keep: Readonly<Record<Period, number>>
}

/** Events that are written together with what they add to the counters: all of it or nothing, and once. */
export interface JournalBatch {
  /** Whoever writes: one batch after the other, and no other writer has this name. */
  readonly writer: string
  /** Unlike that of the writer's batch before. */
  readonly id: string
  readonly events: readonly JournalEvent[]
  readonly tallies: readonly Tally[]
}

/** How a node is, as it tells every few seconds. */
export interface Heartbeat {
  readonly node: string
  readonly pid: number
  readonly version: string
  /** Milliseconds since the epoch. */
  readonly started: number
  readonly time: number
  readonly state: 'serving' | 'stopped'
  /** Events since its start: in the journal, lost, and not yet written. */
  readonly written: number
  readonly lost: number
  readonly waiting: number
}

/** A writer's batch is recognised for so long, in milliseconds: longer than any batch is tried. */
export const BATCH_KNOWN_MS = 86_400_000

/** Heartbeats are kept for so long, in milliseconds. */
export const HEARTBEAT_KEPT_MS: number = 7 * 86_400_000

/** Names in one top list; of more, those with the fewest are forgotten, so that it is exact up to here. */
export const MAX_TOP = 2000

/** What the journal is written to. */
export interface JournalSink {
  /**
   * Writes a batch, unless it is there. Rejects with `StoreUnavailable` where it may be tried again; whatever else it
   * rejects with, nothing was written and never will be.
   */
  append(batch: JournalBatch, retention: Retention): Promise<void>
  beat(heartbeat: Heartbeat): Promise<void>
}

/** Counters by name: `counters.ts` says which there are. */
export type Figures = ReadonlyMap<string, number>

export interface TopEntry {
  readonly name: string
  readonly count: number
}

/**
 * What is read of the journal. Everything rejects with `StoreUnavailable` if the store is away. Starts of periods are
 * written as `periodStart` does.
 */
export interface JournalReader {
  /** Events before an id, or the last ones; the latest first. */
  before(id: string | undefined, limit: number): Promise<readonly StoredEvent[]>
  /** Events after an id, or from the first on; the earliest first. */
  after(id: string | undefined, limit: number): Promise<readonly StoredEvent[]>
  /** How many events there are. */
  count(): Promise<number>
  /** The site's counters of each period. */
  figures(period: Period, starts: readonly string[]): Promise<readonly Figures[]>
  /** One list's counters of each period. */
  listFigures(list: ListAddress, period: Period, starts: readonly string[]): Promise<readonly Figures[]>
  /** The most frequent names over all of these periods. */
  top(
    kind: TopKind,
    period: Exclude<Period, 'minute'>,
    starts: readonly string[],
    limit: number,
  ): Promise<readonly TopEntry[]>
  /** How many senders there were over all of these periods, to about two in a hundred. */
  uniqueSenders(period: Exclude<Period, 'minute'>, starts: readonly string[]): Promise<number>
  /** The nodes that were heard of lately, by name. */
  nodes(): Promise<readonly Heartbeat[]>
}

/** A journal in a store: both sides, and its life. */
export interface JournalStore extends JournalSink, JournalReader {
  readonly description: string
  close(): Promise<void>
}
