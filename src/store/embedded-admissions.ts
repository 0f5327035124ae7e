/**
 * Who was let in to a list not long ago, in the embedded store: by sender, and by the time at which it is forgotten. What
 * is over is taken away a few rows at a time as others are written, and of too many those that would end first.
 */
import { type Admission, type Clock, MAX_ADMISSIONS } from '../app/ports.ts'
import type { Who } from '../core/who.ts'
import type { Tables } from './embedded-tables.ts'

/** Ended admissions taken away with one: more than can come with it. */
const ENDED_AT_ONCE = 4

export class Admissions {
  readonly #tables: Tables
  readonly #clock: Clock

  constructor(tables: Tables, clock: Clock) {
    this.#tables = tables
    this.#clock = clock
  }

  /** Whether a sender was let in to the list whose group this is. */
  has(group: number, sender: Who): boolean {
    return (this.#tables.admissions.get([group, sender]) ?? 0) > this.#clock()
  }

  /** Remembers an admission. Inside a change. */
  add(group: number, { sender, seconds }: Admission): void {
    const { admissions, admittedUntil, counts } = this.#tables
    const now = this.#clock()
    const until = now + seconds * 1000
    const before = admissions.get([group, sender])
    if (before !== undefined) admittedUntil.remove([group, before, sender])
    admissions.put([group, sender], until)
    admittedUntil.put([group, until, sender], true)
    const count = (counts.get(group) ?? 0) + (before === undefined ? 1 : 0)
    const start: [number, number, string] = [group, 0, '']
    const ended = [...admittedUntil.getKeys({ start, end: [group, now + 1, ''], limit: ENDED_AT_ONCE })]
    const tooMany = ended.length === 0 && count > MAX_ADMISSIONS
    const forgotten = tooMany ? [...admittedUntil.getKeys({ start, limit: 1 })] : ended
    for (const key of forgotten) {
      admittedUntil.remove(key)
      admissions.remove([group, key[2]])
    }
    counts.put(group, count - forgotten.length)
  }
}
