/**
 * Administration over Redis. A change within one hash tag is one command or one script. What spans two tags, a list and
 * its place in the site's index of lists, is written in an order that a crash or a race between two nodes leaves right
 * for decisions, which never look at the index: it may name a list that is gone, and a listing passes over that.
 */
import type {
  BanScope,
  Change,
  Directory,
  ListRecord,
  MtaList,
  PersonEntry,
  StagedPeople,
} from '../app/ports.ts'
import type { Domain } from '../core/domain.ts'
import type { ListSettings } from '../core/list.ts'
import { formatDomainRecord, type ListDomain } from '../core/list-domain.ts'
import type { MtaKey } from '../core/mta.ts'
import { type Parsed, problem } from '../core/parsed.ts'
import { formatPerson, type Person, parsePerson } from '../core/person.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { Who } from '../core/who.ts'
import type { Keys } from './keys.ts'
import { CREATE_LIST, PUT_ENTRY, REMOVE_LIST, UPDATE_LIST } from './redis/scripts.ts'
import type { RedisConnection } from './redis-connection.ts'
import { checkSchema } from './redis-facts.ts'
import { settingsArguments, settingsOfReply } from './redis-settings.ts'
import { RedisStaging } from './redis-staging.ts'
import { SCHEMA_VERSION, StoredDataError } from './store-errors.ts'
import { readDomain, readStoredWho } from './stored-texts.ts'

/** How many entries one round trip of a listing brings, about. */
const PAGE = 500

/** Lists a page: each brings all its settings. */
const LISTS_PAGE = 100

export class RedisDirectory implements Directory {
  protected readonly connection: RedisConnection
  protected readonly keys: Keys
  #schemaWritten: Promise<void> | undefined

  constructor(connection: RedisConnection, keys: Keys) {
    this.connection = connection
    this.keys = keys
    connection.onLoss(() => {
      this.#schemaWritten = undefined
    })
  }

  /**
   * Writes the schema version with the first change, and changes nothing in a store of another version. Looked at
   * again after every loss of the connection: it may be another server then.
   */
  protected async prepare(): Promise<void> {
    const written = this.#schemaWritten ?? this.#writeSchema()
    this.#schemaWritten = written
    try {
      await written
    } catch (error) {
      if (this.#schemaWritten === written) this.#schemaWritten = undefined
      throw error
    }
  }

  async #writeSchema(): Promise<void> {
    const { tag, schema } = this.keys.site
    const commands = [['SET', schema, SCHEMA_VERSION, 'NX'] as const, ['GET', schema] as const]
    const [[, version] = []] = await this.connection.ask([{ tag, commands }])
    checkSchema(version)
  }

  async #put(
    key: string,
    field: string,
    value: string,
    how: { keep: boolean; of?: string },
  ): Promise<Change | 'no-list'> {
    await this.prepare()
    const keys = how.of === undefined ? [key] : [key, how.of]
    return (await this.connection.run(PUT_ENTRY, keys, [field, value, how.keep ? 'keep' : 'replace'])) as
      | Change
      | 'no-list'
  }

  async #remove(key: string, field: string): Promise<boolean> {
    await this.prepare()
    return (await this.connection.one('HDEL', key, field)) === 1
  }

  /** A hash's fields and values. One that moves while its hash grows or shrinks may come twice. */
  async *#entries(key: string): AsyncGenerator<readonly [field: string, value: string]> {
    let cursor = '0'
    do {
      const reply = await this.connection.one('HSCAN', key, cursor, 'COUNT', PAGE)
      const [next, flat] = reply as readonly [string, readonly string[]]
      for (let i = 0; i < flat.length; i += 2) yield [flat[i] ?? '', flat[i + 1] ?? '']
      cursor = next
    } while (cursor !== '0')
  }

  async *#fields<F extends string>(key: string): AsyncGenerator<F> {
    for await (const [field] of this.#entries(key)) yield field as F
  }

  async getDomain(domain: Domain): Promise<ListDomain | undefined> {
    const text = (await this.connection.one('HGET', this.keys.site.domains, domain)) as string | null
    return text === null ? undefined : readDomain(domain, text)
  }

  async putDomain(domain: Domain, record: ListDomain): Promise<Change> {
    return (await this.#put(this.keys.site.domains, domain, formatDomainRecord(record), {
      keep: false,
    })) as Change
  }

  removeDomain(domain: Domain): Promise<boolean> {
    return this.#remove(this.keys.site.domains, domain)
  }

  async *domains(): AsyncGenerator<{ readonly domain: Domain; readonly record: ListDomain }> {
    for await (const [domain, text] of this.#entries(this.keys.site.domains)) {
      yield { domain: domain as Domain, record: readDomain(domain, text) }
    }
  }

  async getList(address: ListAddress): Promise<ListRecord | undefined> {
    const [record] = await this.#records([address])
    return record
  }

  async createList(address: ListAddress, settings: ListSettings): Promise<'added' | 'unchanged'> {
    await this.prepare()
    await this.#index('ZADD', address)
    const made = await this.connection.run(
      CREATE_LIST,
      [this.keys.list(address).list],
      settingsArguments(settings),
    )
    // Once more, for a list of that name that somebody was removing meanwhile.
    await this.#index('ZADD', address)
    return made === 1 ? 'added' : 'unchanged'
  }

  async updateList(address: ListAddress, change: Partial<ListSettings>): Promise<ListSettings | undefined> {
    await this.prepare()
    const reply = await this.connection.run(
      UPDATE_LIST,
      [this.keys.list(address).list],
      settingsArguments(change),
    )
    const settings = reply === null ? undefined : settingsOfReply(reply as readonly string[])
    if (settings === undefined) return undefined
    if (settings.ok) return settings.value
    throw new StoredDataError(
      `changed, but the settings of ${address} cannot be understood: ${settings.problem}`,
    )
  }

  async removeList(address: ListAddress): Promise<boolean> {
    await this.prepare()
    const { list, people, bans, admitted } = this.keys.list(address)
    const existed = await this.connection.run(REMOVE_LIST, [list, people, bans, admitted], [])
    await this.#removePosts(address)
    await this.#index('ZREM', address)
    // Somebody may have made a list of that name since.
    if ((await this.connection.one('EXISTS', list)) === 1) await this.#index('ZADD', address)
    return existed === 1
  }

  /** Removes what was counted for a list, some senders at a time. What a crash leaves expires by itself. */
  async #removePosts(address: ListAddress): Promise<void> {
    const { tag, posts, postsOf } = this.keys.list(address)
    for (;;) {
      const senders = (await this.connection.one('ZRANGE', posts, 0, PAGE - 1)) as readonly Who[]
      if (senders.length === 0) return
      const commands = [['UNLINK', ...senders.map(postsOf)] as const, ['ZREM', posts, ...senders] as const]
      await this.connection.ask([{ tag, commands }])
    }
  }

  async #index(command: 'ZADD' | 'ZREM', address: ListAddress): Promise<void> {
    await this.connection.one(command, this.keys.site.lists, ...(command === 'ZADD' ? [0] : []), address)
  }

  async *lists(domain?: Domain): AsyncGenerator<ListRecord> {
    let from = '-'
    for (;;) {
      const limit = ['LIMIT', 0, PAGE] as const
      const page = await this.connection.one('ZRANGEBYLEX', this.keys.site.lists, from, '+', ...limit)
      const addresses = page as readonly ListAddress[]
      const wanted = domain === undefined ? addresses : addresses.filter(name => name.endsWith(`@${domain}`))
      for (let i = 0; i < wanted.length; i += LISTS_PAGE)
        yield* await this.#records(wanted.slice(i, i + LISTS_PAGE))
      if (addresses.length < PAGE) return
      from = `(${addresses[addresses.length - 1]}`
    }
  }

  /** The lists of that name that are there. */
  async #records(addresses: readonly ListAddress[]): Promise<readonly ListRecord[]> {
    const groups = addresses.map(address => {
      const { tag, list } = this.keys.list(address)
      return { tag, commands: [['HGETALL', list] as const] }
    })
    const replies = await this.connection.ask(groups)
    return addresses.flatMap((address, index) => {
      const reply = replies[index]?.[0]
      const settings =
        reply instanceof StoredDataError
          ? problem(reply.message)
          : settingsOfReply(reply as readonly string[])
      return settings === undefined ? [] : [{ address, settings }]
    })
  }

  async stagePeople(address: ListAddress): Promise<StagedPeople> {
    await this.prepare()
    const index = (): Promise<void> => this.#index('ZADD', address)
    return new RedisStaging(this.connection, this.keys.list(address), index)
  }

  async getPerson(list: ListAddress, who: Who): Promise<Parsed<Person> | undefined> {
    const text = (await this.connection.one('HGET', this.keys.list(list).people, who)) as string | null
    return text === null ? undefined : parsePerson(text)
  }

  async putPerson(list: ListAddress, { who, person }: PersonEntry): Promise<Change | undefined> {
    const { people, list: of } = this.keys.list(list)
    const change = await this.#put(people, who, formatPerson(person), { keep: false, of })
    return change === 'no-list' ? undefined : change
  }

  removePerson(list: ListAddress, who: Who): Promise<boolean> {
    return this.#remove(this.keys.list(list).people, who)
  }

  async *people(list: ListAddress): AsyncGenerator<{ readonly who: Who; readonly person: Parsed<Person> }> {
    for await (const [field, text] of this.#entries(this.keys.list(list).people)) {
      const who = readStoredWho(field)
      yield { who: field as Who, person: who.ok ? parsePerson(text) : who }
    }
  }

  async countPeople(list: ListAddress): Promise<number> {
    return (await this.connection.one('HLEN', this.keys.list(list).people)) as number
  }

  async addBan(scope: BanScope, who: Who): Promise<Change | undefined> {
    const of = scope === 'site' ? {} : { of: this.keys.list(scope).list }
    const change = await this.#put(this.#bansKey(scope), who, '', { keep: true, ...of })
    return change === 'no-list' ? undefined : change
  }

  removeBan(scope: BanScope, who: Who): Promise<boolean> {
    return this.#remove(this.#bansKey(scope), who)
  }

  bans(scope: BanScope): AsyncGenerator<Who> {
    return this.#fields(this.#bansKey(scope))
  }

  #bansKey(scope: BanScope): string {
    return scope === 'site' ? this.keys.site.bans : this.keys.list(scope).bans
  }

  async addForbidden(who: Who): Promise<Change> {
    return (await this.#put(this.keys.site.forbidden, who, '', { keep: true })) as Change
  }

  removeForbidden(who: Who): Promise<boolean> {
    return this.#remove(this.keys.site.forbidden, who)
  }

  forbidden(): AsyncGenerator<Who> {
    return this.#fields(this.keys.site.forbidden)
  }

  async addMta(list: MtaList, key: MtaKey): Promise<Change> {
    return (await this.#put(this.keys.site.mtas[list], key, '', { keep: true })) as Change
  }

  removeMta(list: MtaList, key: MtaKey): Promise<boolean> {
    return this.#remove(this.keys.site.mtas[list], key)
  }

  mtas(list: MtaList): AsyncGenerator<MtaKey> {
    return this.#fields(this.keys.site.mtas[list])
  }
}
