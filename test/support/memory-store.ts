/**
 * A store in memory: the shortest adapter that keeps the port's promises. It serves tests that are about something
 * else, and goes through the same conformance suite as the real ones.
 */
import type {
  Admission,
  BanScope,
  Change,
  CountedPost,
  ListRecord,
  ListReplacement,
  MtaList,
  PeopleChange,
  PersonEntry,
  StagedPeople,
  Store,
} from '../../src/app/ports.ts'
import type { Domain } from '../../src/core/domain.ts'
import type { Facts, FactsQuery, ListFacts } from '../../src/core/facts.ts'
import type { ListSettings } from '../../src/core/list.ts'
import { formatDomainRecord, type ListDomain } from '../../src/core/list-domain.ts'
import type { MtaKey } from '../../src/core/mta.ts'
import { type Parsed, parsed } from '../../src/core/parsed.ts'
import { formatPerson, type Person } from '../../src/core/person.ts'
import type { ListAddress } from '../../src/core/transaction.ts'
import type { Who } from '../../src/core/who.ts'

interface StoredList {
  settings: ListSettings
  people: Map<Who, Person>
  bans: Set<Who>
  posts: Map<Who, { readonly until: number; readonly messages: Set<string> }>
  /** Until when it is remembered that a sender was let in. */
  admissions: Map<Who, number>
}

function addTo<T>(set: Set<T>, entry: T): Change {
  const change = set.has(entry) ? 'unchanged' : 'added'
  set.add(entry)
  return change
}

function found<T>(keys: readonly T[], set: ReadonlySet<T>): Set<T> {
  return new Set(keys.filter(key => set.has(key)))
}

/** The order in which the real stores list: that of the names' bytes in UTF-8. */
function byBytes(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

export class MemoryStore implements Store {
  readonly description = 'memory'
  readonly #domains = new Map<Domain, ListDomain>()
  readonly #lists = new Map<ListAddress, StoredList>()
  readonly #bans = new Set<Who>()
  readonly #forbidden = new Set<Who>()
  readonly #mtas = { known: new Set<MtaKey>(), refused: new Set<MtaKey>() }
  readonly #now: () => number

  constructor(now: () => number = Date.now) {
    this.#now = now
  }

  async check(): Promise<void> {}
  async close(): Promise<void> {}

  load(query: FactsQuery): Facts {
    const lists = new Map<ListAddress, ListFacts>()
    const keys = [...query.sender, ...query.authors]
    for (const address of query.lists) {
      const list = this.#lists.get(address)
      if (list === undefined) continue
      const people = new Map(
        keys.flatMap(key => {
          const person = list.people.get(key)
          return person === undefined ? [] : [[key, parsed(person)] as const]
        }),
      )
      const { poster } = query
      const asked = poster !== undefined && query.message !== undefined
      const counted = asked ? this.#counted(list, poster) : new Set<string>()
      lists.set(address, {
        address,
        settings: parsed(list.settings),
        people,
        bans: found(keys, list.bans),
        posts: {
          made: counted.size,
          counted: query.message !== undefined && counted.has(query.message),
        },
        ...(query.admitted !== undefined && {
          admitted: (list.admissions.get(query.admitted) ?? 0) > this.#now(),
        }),
      })
    }
    const mtas = [...query.provenMtas, ...query.claimedMtas]
    const domain = query.domain === undefined ? undefined : this.#domains.get(query.domain)
    return {
      knownMtasKept: mtas.length > 0 && this.#mtas.known.size > 0,
      knownMta: query.provenMtas.find(key => this.#mtas.known.has(key)),
      refusedMta: mtas.find(key => this.#mtas.refused.has(key)),
      forbidden: found(query.sender, this.#forbidden),
      siteBans: found(keys, this.#bans),
      domain: domain === undefined ? undefined : parsed(domain),
      lists,
    }
  }

  #counted(list: StoredList, sender: Who): Set<string> {
    const period = list.posts.get(sender)
    return period === undefined || period.until <= this.#now() ? new Set() : period.messages
  }

  async countPost({ list: address, sender, message, posts, seconds }: CountedPost): Promise<void> {
    const list = this.#lists.get(address)
    if (list === undefined) return
    const messages = this.#counted(list, sender)
    if (messages.size === 0) list.posts.set(sender, { until: this.#now() + seconds * 1000, messages })
    if (messages.size < posts) messages.add(message)
  }

  async admit({ list: address, sender, seconds }: Admission): Promise<void> {
    this.#lists.get(address)?.admissions.set(sender, this.#now() + seconds * 1000)
  }

  async getDomain(domain: Domain): Promise<ListDomain | undefined> {
    return this.#domains.get(domain)
  }
  async putDomain(domain: Domain, record: ListDomain): Promise<Change> {
    const before = this.#domains.get(domain)
    this.#domains.set(domain, record)
    if (before === undefined) return 'added'
    return formatDomainRecord(before) === formatDomainRecord(record) ? 'unchanged' : 'changed'
  }
  async removeDomain(domain: Domain): Promise<boolean> {
    return this.#domains.delete(domain)
  }
  async *domains(): AsyncIterable<{ domain: Domain; record: ListDomain }> {
    for (const [domain, record] of this.#domains) yield { domain, record }
  }

  async getList(address: ListAddress): Promise<ListRecord | undefined> {
    const list = this.#lists.get(address)
    return list === undefined ? undefined : { address, settings: parsed(list.settings) }
  }
  async createList(address: ListAddress, settings: ListSettings): Promise<'added' | 'unchanged'> {
    if (this.#lists.has(address)) return 'unchanged'
    this.#lists.set(address, {
      settings,
      people: new Map(),
      bans: new Set(),
      posts: new Map(),
      admissions: new Map(),
    })
    return 'added'
  }
  async updateList(address: ListAddress, change: Partial<ListSettings>): Promise<ListSettings | undefined> {
    const list = this.#lists.get(address)
    if (list === undefined) return undefined
    list.settings = { ...list.settings, ...change }
    return list.settings
  }
  async removeList(address: ListAddress): Promise<boolean> {
    return this.#lists.delete(address)
  }
  async *lists(domain?: Domain): AsyncIterable<ListRecord> {
    for (const address of [...this.#lists.keys()].sort(byBytes)) {
      const list = this.#lists.get(address)
      if (list === undefined || (domain !== undefined && !address.endsWith(`@${domain}`))) continue
      yield { address, settings: parsed(list.settings) }
    }
  }

  async stagePeople(address: ListAddress): Promise<StagedPeople> {
    const staged = new Map<Who, Person>()
    return {
      add: async entries => {
        for (const { who, person } of entries) staged.set(who, person)
      },
      commit: async (list, options) => this.#replace(address, list, staged, options.dryRun),
      abandon: async () => staged.clear(),
    }
  }

  #replace(
    address: ListAddress,
    list: ListReplacement,
    people: Map<Who, Person>,
    dryRun: boolean,
  ): PeopleChange {
    const old = this.#lists.get(address)
    const before = old?.people ?? new Map<Who, Person>()
    let added = 0
    let changed = 0
    for (const [who, person] of people) {
      const old = before.get(who)
      if (old === undefined) added++
      else if (formatPerson(old) !== formatPerson(person)) changed++
    }
    const kept = people.size - added
    if (!dryRun) {
      this.#lists.set(address, {
        settings: list.settings,
        people: new Map(people),
        bans: new Set(list.bans),
        posts: old?.posts ?? new Map(),
        admissions: old?.admissions ?? new Map(),
      })
    }
    return { added, changed, removed: before.size - kept, unchanged: kept - changed }
  }

  async getPerson(list: ListAddress, who: Who): Promise<Parsed<Person> | undefined> {
    const person = this.#lists.get(list)?.people.get(who)
    return person === undefined ? undefined : parsed(person)
  }
  async putPerson(list: ListAddress, { who, person }: PersonEntry): Promise<Change | undefined> {
    const people = this.#lists.get(list)?.people
    if (people === undefined) return undefined
    const before = people.get(who)
    people.set(who, person)
    if (before === undefined) return 'added'
    return formatPerson(before) === formatPerson(person) ? 'unchanged' : 'changed'
  }
  async removePerson(list: ListAddress, who: Who): Promise<boolean> {
    return this.#lists.get(list)?.people.delete(who) ?? false
  }
  async *people(list: ListAddress): AsyncIterable<{ who: Who; person: Parsed<Person> }> {
    for (const [who, person] of this.#lists.get(list)?.people ?? []) yield { who, person: parsed(person) }
  }
  async countPeople(list: ListAddress): Promise<number> {
    return this.#lists.get(list)?.people.size ?? 0
  }

  #banSet(scope: BanScope): Set<Who> | undefined {
    return scope === 'site' ? this.#bans : this.#lists.get(scope)?.bans
  }
  async addBan(scope: BanScope, who: Who): Promise<Change | undefined> {
    const bans = this.#banSet(scope)
    return bans === undefined ? undefined : addTo(bans, who)
  }
  async removeBan(scope: BanScope, who: Who): Promise<boolean> {
    return this.#banSet(scope)?.delete(who) ?? false
  }
  async *bans(scope: BanScope): AsyncIterable<Who> {
    yield* this.#banSet(scope) ?? []
  }

  async addForbidden(who: Who): Promise<Change> {
    return addTo(this.#forbidden, who)
  }
  async removeForbidden(who: Who): Promise<boolean> {
    return this.#forbidden.delete(who)
  }
  async *forbidden(): AsyncIterable<Who> {
    yield* this.#forbidden
  }

  async addMta(list: MtaList, key: MtaKey): Promise<Change> {
    return addTo(this.#mtas[list], key)
  }
  async removeMta(list: MtaList, key: MtaKey): Promise<boolean> {
    return this.#mtas[list].delete(key)
  }
  async *mtas(list: MtaList): AsyncIterable<MtaKey> {
    yield* this.#mtas[list]
  }
}
