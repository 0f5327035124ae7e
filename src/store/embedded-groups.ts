/**
 * Groups of entries in the embedded store: what a Redis hash is there, a group is here. A list refers to its groups by
 * number, so that replacing a million people is changing a number; the old group's rows are then garbage, swept a
 * bounded number at a time.
 *
 * Whatever changes something is to be called inside a change.
 */
import type { Transaction } from 'lmdb'
import { type Change, StoreUnavailable } from '../app/ports.ts'
import type { EmbeddedDatabase } from './embedded-database.ts'
import type { Garbage, Tables } from './embedded-tables.ts'

/** The site's groups. */
export const SITE_GROUPS = { domains: 1, bans: 2, forbidden: 3, known: 4, refused: 5 } as const

const FIRST_NEW_GROUP = 100

/** Rows of garbage of one change: other processes' changes get their turn in between. */
const SWEPT_AT_ONCE = 2000

export class Groups {
  readonly #tables: Tables

  constructor(tables: Tables) {
    this.#tables = tables
  }

  get(group: number, name: string): string | undefined {
    return this.#tables.entries.get([group, name])
  }

  has(group: number, name: string): boolean {
    return this.#tables.entries.doesExist([group, name])
  }

  /** How many entries a group has. */
  count(group: number): number {
    return this.#tables.counts.get(group) ?? 0
  }

  *list(group: number, transaction: Transaction): Generator<readonly [name: string, value: string]> {
    const rows = this.#tables.entries.getRange({
      start: startOf(group),
      end: startOf(group + 1),
      transaction,
    })
    for (const { key, value } of rows) yield [key[1], value]
  }

  /** A group that was never used. */
  add(): number {
    const { meta } = this.#tables
    const group = meta.get('next-group') ?? FIRST_NEW_GROUP
    meta.put('next-group', group + 1)
    return group
  }

  put(group: number, name: string, value: string): Change {
    const before = this.get(group, name)
    if (before === value) return 'unchanged'
    this.#tables.entries.put([group, name], value)
    if (before !== undefined) return 'changed'
    this.#tables.counts.put(group, this.count(group) + 1)
    return 'added'
  }

  /** Puts many entries; `see` learns what each one's name had before. */
  putAll(
    group: number,
    entries: readonly (readonly [name: string, value: string])[],
    see: (name: string, value: string, before: string | undefined) => void = () => {},
  ): void {
    let added = 0
    for (const [name, value] of entries) {
      const before = this.get(group, name)
      see(name, value, before)
      if (before === value) continue
      if (before === undefined) added++
      this.#tables.entries.put([group, name], value)
    }
    if (added > 0) this.#tables.counts.put(group, this.count(group) + added)
  }

  remove(group: number, name: string): boolean {
    if (!this.has(group, name)) return false
    this.#tables.entries.remove([group, name])
    this.#tables.counts.put(group, this.count(group) - 1)
    return true
  }

  /** Gives a group up that nobody refers to any more. */
  discard(group: number, kind: Garbage = 'entries'): void {
    this.#tables.garbage.put(group, kind)
  }

  /** Removes at most `most` rows of garbage, and says whether there is more. */
  sweep(most: number): boolean {
    let left = most
    for (const { key: group, value: kind } of [...this.#tables.garbage.getRange({ limit: 10 })]) {
      left -= kind === 'entries' ? this.#sweepEntries(group, left) : this.#sweepWindows(group, left)
      if (left <= 0) return true
      this.#tables.garbage.remove(group)
      this.#tables.counts.remove(group)
    }
    return [...this.#tables.garbage.getKeys({ limit: 1 })].length > 0
  }

  #sweepEntries(group: number, most: number): number {
    const { entries } = this.#tables
    const keys = [...entries.getKeys({ start: startOf(group), end: startOf(group + 1), limit: most })]
    for (const key of keys) entries.remove(key)
    return keys.length
  }

  /** A removed list's windows, each of which has a group of its own for its messages, and its admissions. */
  #sweepWindows(group: number, most: number): number {
    const { admissions, admittedUntil } = this.#tables
    const admitted = [
      ...admittedUntil.getKeys({ start: [group, 0, ''], end: [group + 1, 0, ''], limit: most }),
    ]
    for (const key of admitted) {
      admittedUntil.remove(key)
      admissions.remove([group, key[2]])
    }
    if (admitted.length >= most) return most
    return admitted.length + this.#sweepEachWindow(group, most - admitted.length)
  }

  #sweepEachWindow(group: number, most: number): number {
    const { windows, expiring } = this.#tables
    const rows = [...windows.getRange({ start: startOf(group), end: startOf(group + 1), limit: most })]
    for (const { key, value } of rows) {
      windows.remove(key)
      expiring.remove([value.until, value.group])
      this.discard(value.group)
    }
    return rows.length
  }
}

/** Before every row of a group: no name is empty. */
function startOf(group: number): [group: number, name: string] {
  return [group, '']
}

/**
 * Removes all garbage, in bounded changes. That it fails does not undo what made the garbage: what is left is swept
 * with a later change.
 */
export async function sweepAll(database: EmbeddedDatabase, groups: Groups): Promise<void> {
  try {
    while (await database.change(() => groups.sweep(SWEPT_AT_ONCE)));
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
  }
}
