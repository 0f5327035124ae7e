/**
 * A list's people written aside in the embedded store: a group of their own, which the list refers to from one moment to
 * the next. A group that nobody has added to for an hour is given up: the import that made it has died.
 */
import type { Clock, ListReplacement, PeopleChange, PersonEntry, StagedPeople } from '../app/ports.ts'
import { formatSettings } from '../core/list.ts'
import { formatPerson } from '../core/person.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { EmbeddedDatabase } from './embedded-database.ts'
import { type Groups, sweepAll } from './embedded-groups.ts'
import { StagingLost } from './store-errors.ts'

/** How long staged people are kept after the last that was added. */
export const STAGING_MS = 3_600_000

/** Entries of one change: other processes' changes get their turn in between. */
const BATCH = 1000

type Sums = Record<'added' | 'changed' | 'unchanged', number>

export class EmbeddedStaging implements StagedPeople {
  readonly #database: EmbeddedDatabase
  readonly #groups: Groups
  readonly #clock: Clock
  readonly #address: ListAddress
  readonly #people: number
  readonly #bans: number
  readonly #sums: Sums = { added: 0, changed: 0, unchanged: 0 }

  /** Begins, and gives up what others have left. */
  static async begin(
    database: EmbeddedDatabase,
    groups: Groups,
    clock: Clock,
    address: ListAddress,
  ): Promise<EmbeddedStaging> {
    const { staging } = database.tables
    const [people, bans] = await database.change(() => {
      for (const { key: group, value: until } of [...staging.getRange()]) {
        if (until > clock()) continue
        staging.remove(group)
        groups.discard(group)
      }
      const made = [groups.add(), groups.add()] as const
      for (const group of made) staging.put(group, clock() + STAGING_MS)
      return made
    })
    await sweepAll(database, groups)
    return new EmbeddedStaging(database, groups, clock, address, people, bans)
  }

  private constructor(
    database: EmbeddedDatabase,
    groups: Groups,
    clock: Clock,
    address: ListAddress,
    people: number,
    bans: number,
  ) {
    this.#database = database
    this.#groups = groups
    this.#clock = clock
    this.#address = address
    this.#people = people
    this.#bans = bans
  }

  async add(entries: readonly PersonEntry[]): Promise<void> {
    for (let from = 0; from < entries.length; from += BATCH) {
      const batch = entries.slice(from, from + BATCH)
      const sums = await this.#database.change(() => this.#stage(batch))
      this.#sums.added += sums.added
      this.#sums.changed += sums.changed
      this.#sums.unchanged += sums.unchanged
    }
  }

  /** What a batch adds to the sums. Somebody who was staged before is counted again as what they are now. */
  #stage(batch: readonly PersonEntry[]): Sums {
    this.#renew()
    const live = this.#database.tables.lists.get(this.#address)?.people
    const sums: Sums = { added: 0, changed: 0, unchanged: 0 }
    const entries = batch.map(({ who, person }) => [who, formatPerson(person)] as const)
    this.#groups.putAll(this.#people, entries, (who, text, before) => {
      const now = live === undefined ? undefined : this.#groups.get(live, who)
      if (before !== undefined) sums[kindOf(now, before)]--
      sums[kindOf(now, text)]++
    })
    return sums
  }

  async commit(list: ListReplacement, options: { readonly dryRun: boolean }): Promise<PeopleChange> {
    const { lists, staging } = this.#database.tables
    const sums = this.#sums
    const change = (before: number): PeopleChange => ({
      ...sums,
      removed: Math.max(0, before - sums.changed - sums.unchanged),
    })
    if (options.dryRun) {
      const before = this.#database.read(() => this.#countOf(lists.get(this.#address)?.people))
      await this.abandon()
      return change(before)
    }
    for (let from = 0; from < list.bans.length; from += BATCH) {
      const batch = list.bans.slice(from, from + BATCH).map(who => [who, ''] as const)
      await this.#database.change(() => {
        this.#renew()
        this.#groups.putAll(this.#bans, batch)
      })
    }
    const before = await this.#database.change(() => {
      this.#renew()
      const old = lists.get(this.#address)
      lists.put(this.#address, {
        settings: formatSettings(list.settings),
        people: this.#people,
        bans: this.#bans,
        posts: old?.posts ?? this.#groups.add(),
      })
      staging.remove(this.#people)
      staging.remove(this.#bans)
      if (old !== undefined) {
        this.#groups.discard(old.people)
        this.#groups.discard(old.bans)
      }
      return this.#countOf(old?.people)
    })
    await sweepAll(this.#database, this.#groups)
    return change(before)
  }

  async abandon(): Promise<void> {
    const { staging } = this.#database.tables
    await this.#database.change(() => {
      for (const group of [this.#people, this.#bans]) {
        if (staging.get(group) === undefined) continue
        staging.remove(group)
        this.#groups.discard(group)
      }
    })
    await sweepAll(this.#database, this.#groups)
  }

  #countOf(group: number | undefined): number {
    return group === undefined ? 0 : this.#groups.count(group)
  }

  #renew(): void {
    const { staging } = this.#database.tables
    for (const group of [this.#people, this.#bans]) {
      if (staging.get(group) === undefined) {
        throw new StagingLost(
          `nothing was changed: what was staged for ${this.#address} is gone; begin again`,
        )
      }
      staging.put(group, this.#clock() + STAGING_MS)
    }
  }
}

function kindOf(live: string | undefined, staged: string): keyof Sums {
  if (live === undefined) return 'added'
  return live === staged ? 'unchanged' : 'changed'
}
