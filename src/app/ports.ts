/**
 * What the application needs of the world, as interfaces. Adapters in `store/`, `delivery/` and `daemon/` implement
 * them; nothing here knows how.
 */

import type { Domain } from '../core/domain.ts'
import type { Facts, FactsQuery } from '../core/facts.ts'
import type { ListSettings } from '../core/list.ts'
import type { ListDomain } from '../core/list-domain.ts'
import type { MtaKey } from '../core/mta.ts'
import type { Parsed } from '../core/parsed.ts'
import type { Person } from '../core/person.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { Who } from '../core/who.ts'

/** A value, at once where it is at hand, or later. */
export type PromiseOr<T> = T | Promise<T>

/** The store cannot be reached, or did not answer in time. Never a reason for a permanent refusal. */
export class StoreUnavailable extends Error {
  readonly code = 'POSTERN_STORE_UNAVAILABLE'
  override readonly name = 'StoreUnavailable'
}

/** What the gate asks of a store. */
export interface FactsStore {
  /**
   * Finds the facts of a query by exact keys, in one round trip, whatever the size of the lists.
   * @throws StoreUnavailable (or rejects with it)
   */
  load(query: FactsQuery): PromiseOr<Facts>
  /**
   * Counts a message among its sender's posts to a list, once however often it is called for it. The period of
   * `seconds` begins with the first post in it; not more than `posts` are kept.
   */
  countPost(post: CountedPost): Promise<void>
  /** Remembers for `seconds` from now that a sender was let in to a list; nothing for a list that is not there. */
  admit(admission: Admission): Promise<void>
}

export interface CountedPost {
  readonly list: ListAddress
  readonly sender: Who
  readonly message: string
  readonly posts: number
  readonly seconds: number
}

export interface Admission {
  readonly list: ListAddress
  /** The envelope sender's address as it is written. */
  readonly sender: Who
  readonly seconds: number
}

/** Admissions of one list that are remembered: of more, those that would end first are forgotten. */
export const MAX_ADMISSIONS = 100_000

/** A person's entry on a list. */
export interface PersonEntry {
  readonly who: Who
  readonly person: Person
}

/** What a change did: the entry is new, was changed, or was the same already. */
export type Change = 'added' | 'changed' | 'unchanged'

/** What replacing a list's people did. */
export interface PeopleChange {
  readonly added: number
  readonly changed: number
  readonly removed: number
  readonly unchanged: number
}

/** A whole list to be put in place of what is there. */
export interface ListReplacement {
  readonly address: ListAddress
  readonly settings: ListSettings
  readonly bans: readonly Who[]
}

/** A list's people being written aside. Nothing of it is seen by anyone before `commit`. */
export interface StagedPeople {
  /** Adds entries, a batch at a time; the later of two entries for one `who` counts. */
  add(entries: readonly PersonEntry[]): Promise<void>
  /** Puts settings, bans and people in place of the list's own, all at once, or only says what that would change. */
  commit(list: ListReplacement, options: { readonly dryRun: boolean }): Promise<PeopleChange>
  /** Forgets what was staged. Harmless after `commit`. */
  abandon(): Promise<void>
}

/** A settings record as stored: not understood if somebody wrote nonsense by hand. */
export interface ListRecord {
  readonly address: ListAddress
  readonly settings: Parsed<ListSettings>
}

/** Whose entries a ban list holds: a list's or the whole site's. */
export type BanScope = ListAddress | 'site'

/** A list of MTAs: those that are known, or those that are refused. */
export type MtaList = 'known' | 'refused'

/**
 * What administration asks of a store. Every change is atomic, and is seen by the next `load` of any process once its
 * promise is fulfilled. Every method rejects with `StoreUnavailable` if the store is away. Listings stream in
 * bounded memory, in no particular order unless one is named.
 */
export interface Directory {
  getDomain(domain: Domain): Promise<ListDomain | undefined>
  putDomain(domain: Domain, record: ListDomain): Promise<Change>
  /** False if there was none. The caller has seen to it that no list is left in it. */
  removeDomain(domain: Domain): Promise<boolean>
  domains(): AsyncIterable<{ readonly domain: Domain; readonly record: ListDomain }>

  getList(address: ListAddress): Promise<ListRecord | undefined>
  /** Makes a list, or leaves an existing one untouched and says `unchanged`. */
  createList(address: ListAddress, settings: ListSettings): Promise<'added' | 'unchanged'>
  /** Changes some settings of a list, atomically, and gives what it has now; `undefined` if there is none. */
  updateList(address: ListAddress, change: Partial<ListSettings>): Promise<ListSettings | undefined>
  /** Removes a list with its people, bans and counts. */
  removeList(address: ListAddress): Promise<boolean>
  /** All lists, or those of one domain, sorted by address. */
  lists(domain?: Domain): AsyncIterable<ListRecord>
  stagePeople(address: ListAddress): Promise<StagedPeople>

  getPerson(list: ListAddress, who: Who): Promise<Parsed<Person> | undefined>
  /** `undefined` if there is no such list. */
  putPerson(list: ListAddress, entry: PersonEntry): Promise<Change | undefined>
  removePerson(list: ListAddress, who: Who): Promise<boolean>
  people(list: ListAddress): AsyncIterable<{ readonly who: Who; readonly person: Parsed<Person> }>
  countPeople(list: ListAddress): Promise<number>

  /** `undefined` if there is no such list. */
  addBan(scope: BanScope, who: Who): Promise<Change | undefined>
  removeBan(scope: BanScope, who: Who): Promise<boolean>
  bans(scope: BanScope): AsyncIterable<Who>

  addForbidden(who: Who): Promise<Change>
  removeForbidden(who: Who): Promise<boolean>
  forbidden(): AsyncIterable<Who>

  addMta(list: MtaList, key: MtaKey): Promise<Change>
  removeMta(list: MtaList, key: MtaKey): Promise<boolean>
  mtas(list: MtaList): AsyncIterable<MtaKey>
}

/** A store: both sides, and its life. */
export interface Store extends FactsStore, Directory {
  /** What it is, for an operator: `redis at 127.0.0.1:6379`, `embedded store in var/store`. No secrets. */
  readonly description: string
  /** Resolves if the store answers and holds a schema that this version understands; rejects with the reason. */
  check(): Promise<void>
  close(): Promise<void>
}

/** The time, as a port so that tests can set it. Milliseconds since the epoch. */
export type Clock = () => number
