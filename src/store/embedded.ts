/**
 * The store for a site without Redis: LMDB in a directory of its own, crash-safe, open to several processes at once.
 * A command's change is seen by the server's very next question. Its layout is nobody's interface.
 */
import type { Transaction } from 'lmdb'
import type {
  Admission,
  BanScope,
  Change,
  Clock,
  CountedPost,
  ListRecord,
  MtaList,
  PersonEntry,
  StagedPeople,
  Store,
} from '../app/ports.ts'
import type { Domain } from '../core/domain.ts'
import type { Facts, FactsQuery } from '../core/facts.ts'
import { formatSettings, type ListSettings, parseSettings } from '../core/list.ts'
import { formatDomainRecord, type ListDomain } from '../core/list-domain.ts'
import type { MtaKey } from '../core/mta.ts'
import type { Parsed } from '../core/parsed.ts'
import { formatPerson, type Person, parsePerson } from '../core/person.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { Who } from '../core/who.ts'
import { Admissions } from './embedded-admissions.ts'
import { EmbeddedDatabase } from './embedded-database.ts'
import { findFacts } from './embedded-facts.ts'
import { Groups, SITE_GROUPS, sweepAll } from './embedded-groups.ts'
import { Posts } from './embedded-posts.ts'
import { EmbeddedStaging } from './embedded-staging.ts'
import type { ListRow } from './embedded-tables.ts'
import { StoredDataError } from './store-errors.ts'
import { readDomain, settingTexts } from './stored-texts.ts'

export interface EmbeddedStoreOptions {
  /** The directory; made if it is not there. */
  readonly path: string
  readonly clock?: Clock | undefined
}

class EmbeddedStore implements Store {
  readonly description: string
  readonly #database: EmbeddedDatabase
  readonly #groups: Groups
  readonly #posts: Posts
  readonly #admissions: Admissions
  readonly #clock: Clock
  #closing: Promise<void> | undefined

  constructor(database: EmbeddedDatabase, clock: Clock) {
    this.description = `embedded store in ${database.path}`
    this.#database = database
    this.#groups = new Groups(database.tables)
    this.#posts = new Posts(database.tables, this.#groups, clock)
    this.#admissions = new Admissions(database.tables, clock)
    this.#clock = clock
  }

  async check(): Promise<void> {
    this.#database.check()
  }

  close(): Promise<void> {
    this.#closing ??= this.#database.release()
    return this.#closing
  }

  load(query: FactsQuery): Facts {
    const parts = {
      tables: this.#database.tables,
      groups: this.#groups,
      posts: this.#posts,
      admissions: this.#admissions,
    }
    return this.#database.read(() => findFacts(parts, query))
  }

  async countPost(post: CountedPost): Promise<void> {
    await this.#database.change(() => {
      const row = this.#row(post.list)
      if (row !== undefined) this.#posts.count(row.posts, post)
    })
  }

  async admit(admission: Admission): Promise<void> {
    await this.#database.change(() => {
      const row = this.#row(admission.list)
      if (row !== undefined) this.#admissions.add(row.posts, admission)
    })
  }

  async getDomain(domain: Domain): Promise<ListDomain | undefined> {
    const text = this.#database.read(() => this.#groups.get(SITE_GROUPS.domains, domain))
    return text === undefined ? undefined : readDomain(domain, text)
  }

  putDomain(domain: Domain, record: ListDomain): Promise<Change> {
    return this.#database.change(() =>
      this.#groups.put(SITE_GROUPS.domains, domain, formatDomainRecord(record)),
    )
  }

  removeDomain(domain: Domain): Promise<boolean> {
    return this.#database.change(() => this.#groups.remove(SITE_GROUPS.domains, domain))
  }

  async *domains(): AsyncGenerator<{ readonly domain: Domain; readonly record: ListDomain }> {
    for await (const [domain, text] of this.#entries(() => SITE_GROUPS.domains)) {
      yield { domain: domain as Domain, record: readDomain(domain, text) }
    }
  }

  async getList(address: ListAddress): Promise<ListRecord | undefined> {
    const row = this.#database.read(() => this.#row(address))
    return row === undefined ? undefined : { address, settings: parseSettings(row.settings) }
  }

  createList(address: ListAddress, settings: ListSettings): Promise<'added' | 'unchanged'> {
    return this.#database.change(() => {
      if (this.#row(address) !== undefined) return 'unchanged'
      this.#database.tables.lists.put(address, {
        settings: formatSettings(settings),
        people: this.#groups.add(),
        bans: this.#groups.add(),
        posts: this.#groups.add(),
      })
      return 'added'
    })
  }

  async updateList(address: ListAddress, change: Partial<ListSettings>): Promise<ListSettings | undefined> {
    const texts = await this.#database.change(() => {
      const row = this.#row(address)
      if (row === undefined) return undefined
      const settings = { ...row.settings, ...settingTexts(change) }
      this.#database.tables.lists.put(address, { ...row, settings })
      return settings
    })
    if (texts === undefined) return undefined
    const settings = parseSettings(texts)
    if (settings.ok) return settings.value
    throw new StoredDataError(
      `changed, but the settings of ${address} cannot be understood: ${settings.problem}`,
    )
  }

  async removeList(address: ListAddress): Promise<boolean> {
    const removed = await this.#database.change(() => {
      const row = this.#row(address)
      if (row === undefined) return false
      this.#database.tables.lists.remove(address)
      this.#groups.discard(row.people)
      this.#groups.discard(row.bans)
      this.#groups.discard(row.posts, 'windows')
      return true
    })
    await sweepAll(this.#database, this.#groups)
    return removed
  }

  async *lists(domain?: Domain): AsyncGenerator<ListRecord> {
    const rows = this.#database.snapshot(transaction => this.#database.tables.lists.getRange({ transaction }))
    for await (const { key: address, value: row } of rows) {
      if (domain !== undefined && !address.endsWith(`@${domain}`)) continue
      yield { address: address as ListAddress, settings: parseSettings(row.settings) }
    }
  }

  stagePeople(address: ListAddress): Promise<StagedPeople> {
    return EmbeddedStaging.begin(this.#database, this.#groups, this.#clock, address)
  }

  async getPerson(list: ListAddress, who: Who): Promise<Parsed<Person> | undefined> {
    const text = this.#database.read(() => {
      const row = this.#row(list)
      return row === undefined ? undefined : this.#groups.get(row.people, who)
    })
    return text === undefined ? undefined : parsePerson(text)
  }

  putPerson(list: ListAddress, { who, person }: PersonEntry): Promise<Change | undefined> {
    return this.#database.change(() => {
      const row = this.#row(list)
      return row === undefined ? undefined : this.#groups.put(row.people, who, formatPerson(person))
    })
  }

  removePerson(list: ListAddress, who: Who): Promise<boolean> {
    return this.#database.change(() => {
      const row = this.#row(list)
      return row !== undefined && this.#groups.remove(row.people, who)
    })
  }

  async *people(list: ListAddress): AsyncGenerator<{ readonly who: Who; readonly person: Parsed<Person> }> {
    for await (const [who, text] of this.#entries(transaction => this.#row(list, transaction)?.people)) {
      yield { who: who as Who, person: parsePerson(text) }
    }
  }

  async countPeople(list: ListAddress): Promise<number> {
    return this.#database.read(() => {
      const row = this.#row(list)
      return row === undefined ? 0 : this.#groups.count(row.people)
    })
  }

  addBan(scope: BanScope, who: Who): Promise<Change | undefined> {
    return this.#database.change(() => {
      const group = this.#bansOf(scope)
      return group === undefined ? undefined : this.#groups.put(group, who, '')
    })
  }

  removeBan(scope: BanScope, who: Who): Promise<boolean> {
    return this.#database.change(() => {
      const group = this.#bansOf(scope)
      return group !== undefined && this.#groups.remove(group, who)
    })
  }

  async *bans(scope: BanScope): AsyncGenerator<Who> {
    const entries = this.#entries(transaction => this.#bansOf(scope, transaction))
    for await (const [who] of entries) yield who as Who
  }

  addForbidden(who: Who): Promise<Change> {
    return this.#database.change(() => this.#groups.put(SITE_GROUPS.forbidden, who, ''))
  }

  removeForbidden(who: Who): Promise<boolean> {
    return this.#database.change(() => this.#groups.remove(SITE_GROUPS.forbidden, who))
  }

  async *forbidden(): AsyncGenerator<Who> {
    for await (const [who] of this.#entries(() => SITE_GROUPS.forbidden)) yield who as Who
  }

  addMta(list: MtaList, key: MtaKey): Promise<Change> {
    return this.#database.change(() => this.#groups.put(SITE_GROUPS[list], key, ''))
  }

  removeMta(list: MtaList, key: MtaKey): Promise<boolean> {
    return this.#database.change(() => this.#groups.remove(SITE_GROUPS[list], key))
  }

  async *mtas(list: MtaList): AsyncGenerator<MtaKey> {
    for await (const [key] of this.#entries(() => SITE_GROUPS[list])) yield key as MtaKey
  }

  #row(address: ListAddress, transaction?: Transaction): ListRow | undefined {
    return this.#database.tables.lists.get(address, transaction === undefined ? {} : { transaction })
  }

  #bansOf(scope: BanScope, transaction?: Transaction): number | undefined {
    return scope === 'site' ? SITE_GROUPS.bans : this.#row(scope, transaction)?.bans
  }

  /** A group's entries as of now, however long the listing takes. */
  #entries(
    groupOf: (transaction: Transaction) => number | undefined,
  ): AsyncGenerator<readonly [name: string, value: string]> {
    return this.#database.snapshot(transaction => {
      const group = groupOf(transaction)
      return group === undefined ? [] : this.#groups.list(group, transaction)
    })
  }
}

/**
 * Opens the embedded store.
 * @throws StoreUnusable if the path cannot be used, StoreSchemaError if a newer version has written there
 */
export async function openEmbeddedStore(options: EmbeddedStoreOptions): Promise<Store> {
  return new EmbeddedStore(await EmbeddedDatabase.acquire(options.path), options.clock ?? Date.now)
}
