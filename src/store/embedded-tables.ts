/**
 * The tables of the embedded store. What belongs to a list stands under a number, its group, that the list's row names;
 * a number is never used twice, so that what nobody names any more can be swept away at leisure.
 */
import type { Database } from 'lmdb'

/** A list as it is stored: its settings' texts, and the groups that hold what belongs to it. */
export interface ListRow {
  readonly settings: Readonly<Record<string, string>>
  readonly people: number
  readonly bans: number
  readonly posts: number
}

/** A sender's current period on a list. */
export interface WindowRow {
  /** The group that holds its messages. */
  readonly group: number
  /** Milliseconds since the epoch. */
  readonly until: number
  readonly made: number
}

/**
 * What a group that nobody refers to any more has held, so that all of it is found and removed. `windows` has admissions,
 * too.
 */
export type Garbage = 'entries' | 'windows'

export interface Tables {
  /** `schema`, `next-group`. */
  readonly meta: Database<number, string>
  readonly lists: Database<ListRow, string>
  readonly entries: Database<string, [group: number, name: string]>
  /** How many entries a group has. */
  readonly counts: Database<number, number>
  /** By the list's posts group and the sender. */
  readonly windows: Database<WindowRow, [group: number, sender: string]>
  /** Windows by the time at which they end; the value is the window's key. */
  readonly expiring: Database<[group: number, sender: string], [until: number, group: number]>
  /** Until when a sender counts as let in to a list, by the list's posts group; `counts` has how many there are. */
  readonly admissions: Database<number, [group: number, sender: string]>
  readonly admittedUntil: Database<true, [group: number, until: number, sender: string]>
  /** Groups being written aside, and until when (milliseconds since the epoch) they are kept. */
  readonly staging: Database<number, number>
  /** The journal's events as names and texts, by the time of writing and a number; `meta` has how many there are. */
  readonly journalEvents: Database<readonly string[], [ms: number, number: number]>
  /** The last batch of each writer, and when it was written. */
  readonly journalBatches: Database<{ readonly id: string; readonly at: number }, string>
  /** By period, its start, what is counted there (`site`, `lists` or what is refused most), and the name. */
  readonly journalCounts: Database<number, [period: string, start: string, kind: string, name: string]>
  /** Sketches of the senders, in base 64. */
  readonly journalSenders: Database<string, [period: string, start: string]>
  /** Heartbeats as names and texts, by node. */
  readonly journalNodes: Database<readonly string[], string>
  readonly garbage: Database<Garbage, number>
}

/** Their names. */
export const TABLE_NAMES = [
  'meta',
  'lists',
  'entries',
  'counts',
  'windows',
  'expiring',
  'admissions',
  'admittedUntil',
  'staging',
  'journalEvents',
  'journalBatches',
  'journalCounts',
  'journalSenders',
  'journalNodes',
  'garbage',
] as const satisfies readonly (keyof Tables)[]
