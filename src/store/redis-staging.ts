/**
 * A list's people written aside in Redis, under keys that expire by themselves if the import dies. They are counted as
 * they come, against what is live at that moment, and put in place by one script that renames them.
 */
import { randomUUID } from 'node:crypto'
import type { ListReplacement, PeopleChange, PersonEntry, StagedPeople } from '../app/ports.ts'
import { formatPerson } from '../core/person.ts'
import type { Who } from '../core/who.ts'
import type { ListKeys } from './keys.ts'
import { COMMIT, STAGE } from './redis/scripts.ts'
import type { RedisConnection } from './redis-connection.ts'
import { settingsArguments } from './redis-settings.ts'
import { StagingLost } from './store-errors.ts'

/** How long staged people are kept after the last that was added, in seconds. */
export const STAGING_SECONDS = 3600

/** Entries of one script call: some milliseconds of Redis's time. */
const BATCH = 500

export class RedisStaging implements StagedPeople {
  readonly #connection: RedisConnection
  readonly #keys: ListKeys
  readonly #index: () => Promise<void>
  readonly #people: string
  readonly #bans: string
  #added = 0
  #changed = 0
  #unchanged = 0

  /** `index` sees to it that the list is found in listings. */
  constructor(connection: RedisConnection, keys: ListKeys, index: () => Promise<void>) {
    const id = randomUUID()
    this.#connection = connection
    this.#keys = keys
    this.#index = index
    this.#people = keys.stagedPeople(id)
    this.#bans = keys.stagedBans(id)
  }

  async add(entries: readonly PersonEntry[]): Promise<void> {
    const pairs = entries.map(({ who, person }) => [who, formatPerson(person)] as const)
    await this.#stage(this.#people, this.#keys.people, pairs, ([added, changed, unchanged]) => {
      this.#added += added
      this.#changed += changed
      this.#unchanged += unchanged
    })
  }

  async commit(list: ListReplacement, options: { readonly dryRun: boolean }): Promise<PeopleChange> {
    const kept = this.#changed + this.#unchanged
    const change = (before: number): PeopleChange => ({
      added: this.#added,
      changed: this.#changed,
      unchanged: this.#unchanged,
      removed: Math.max(0, before - kept),
    })
    if (options.dryRun) {
      const before = await this.#connection.one('HLEN', this.#keys.people)
      await this.abandon()
      return change(before as number)
    }
    await this.#stage(
      this.#bans,
      this.#keys.bans,
      list.bans.map((who: Who) => [who, ''] as const),
    )
    await this.#index()
    const { list: settings, people, bans } = this.#keys
    const before = await this.#connection.run(
      COMMIT,
      [settings, people, bans, this.#people, this.#bans],
      [this.#added + kept > 0 ? 1 : 0, list.bans.length > 0 ? 1 : 0, ...settingsArguments(list.settings)],
    )
    if (before === null) {
      throw new StagingLost(
        `nothing was changed: what was staged for ${list.address} has expired; begin again`,
      )
    }
    await this.#index()
    return change(before as number)
  }

  async abandon(): Promise<void> {
    await this.#connection.one('UNLINK', this.#people, this.#bans)
  }

  async #stage(
    staged: string,
    live: string,
    pairs: readonly (readonly [string, string])[],
    count: (sums: readonly [number, number, number]) => void = () => {},
  ): Promise<void> {
    for (let from = 0; from < pairs.length; from += BATCH) {
      const batch = pairs.slice(from, from + BATCH).flat()
      const sums = await this.#connection.run(STAGE, [staged, live], [STAGING_SECONDS, ...batch])
      count(sums as readonly [number, number, number])
    }
  }
}
