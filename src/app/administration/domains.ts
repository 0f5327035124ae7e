/** List domains: the domains whose addresses Postern answers for. */
import { type Domain, parseDomain } from '../../core/domain.ts'
import type { SettingTexts } from '../../core/list.ts'
import {
  DOMAIN_SETTING_NAMES,
  type DomainSettingName,
  formatDomainRecord,
  formatDomainSettings,
  INITIAL_DOMAIN,
  type ListDomain,
  parseDomainRecord,
  parseDomainSettings,
} from '../../core/list-domain.ts'
import { type Parsed, problem } from '../../core/parsed.ts'
import type { Change, Directory } from '../ports.ts'
import { inOrder } from './in-order.ts'
import { checkDelivery, type KnownDeliveries } from './known-deliveries.ts'
import { done, type Outcome, outcomeOf, refused } from './problem.ts'

export interface DomainEntry {
  readonly domain: Domain
  readonly record: ListDomain
}

/** Parses a list domain's name. An address literal is no domain that lists could be in. */
export function parseListDomain(text: string): Parsed<Domain> {
  const domain = parseDomain(text)
  return domain.ok && domain.value.startsWith('[')
    ? problem('lists are in named domains, not at addresses')
    : domain
}

/** The same for a use case. */
export function readDomain(text: string): Outcome<Domain> {
  return outcomeOf(parseListDomain(text), 'domain-invalid', text)
}

/** Of a record, the settings that were given a text. */
function chosen(texts: SettingTexts, record: ListDomain): Partial<ListDomain> {
  const names = DOMAIN_SETTING_NAMES.filter(name => Object.hasOwn(texts, name))
  return Object.fromEntries(names.map(name => [name, record[name]]))
}

/** A setting before and after, as text. */
export interface DomainSettingChange {
  readonly name: DomainSettingName
  readonly from: string
  readonly to: string
}

/** What a domain's record becomes when some settings are given for it, and whether that is news. */
export async function plannedDomain(
  directory: Directory,
  domain: Domain,
  given: Partial<ListDomain>,
): Promise<DomainEntry & { readonly change: Change }> {
  const before = await directory.getDomain(domain)
  const record = { ...INITIAL_DOMAIN, ...before, ...given }
  if (before === undefined) return { domain, record, change: 'added' }
  const isSame = formatDomainRecord(before) === formatDomainRecord(record)
  return { domain, record, change: isSame ? 'unchanged' : 'changed' }
}

/** Puts a domain in place: with the settings given, for the others with what it has, or what is so at first. */
export async function putDomain(
  directory: Directory,
  domain: Domain,
  given: Partial<ListDomain>,
): Promise<DomainEntry & { readonly change: Change }> {
  const { record } = await plannedDomain(directory, domain, given)
  return { domain, record, change: await directory.putDomain(domain, record) }
}

/** Every domain, by name. */
export function domainsInOrder(directory: Directory): AsyncIterable<DomainEntry> {
  return inOrder<DomainEntry>(() => directory.domains(), {
    key: ({ domain }) => domain,
    write: ({ record }) => formatDomainRecord(record),
    read: (domain, text) => {
      const record = parseDomainRecord(text)
      if (!record.ok) throw new Error(`a domain's record that was just written: ${record.problem}`)
      return { domain: domain as Domain, record: record.value }
    },
  })
}

export class Domains {
  readonly #directory: Directory
  readonly #deliveries: KnownDeliveries

  constructor(directory: Directory, deliveries?: KnownDeliveries) {
    this.#directory = directory
    this.#deliveries = deliveries
  }

  /** Adds a domain, or changes the settings that are given. Lists that are there keep their own. */
  async add(
    text: string,
    texts: SettingTexts = {},
  ): Promise<Outcome<DomainEntry & { readonly change: Change }>> {
    const domain = readDomain(text)
    if (!domain.ok) return domain
    const given = this.#read(texts, INITIAL_DOMAIN)
    if (!given.ok) return given
    return done(await putDomain(this.#directory, domain.value, chosen(texts, given.value)))
  }

  /** Changes some settings of a domain that is there. */
  async set(
    text: string,
    texts: SettingTexts,
  ): Promise<Outcome<DomainEntry & { readonly changes: readonly DomainSettingChange[] }>> {
    const domain = readDomain(text)
    if (!domain.ok) return domain
    const before = await this.#directory.getDomain(domain.value)
    if (before === undefined) return refused('domain-unknown', `there is no list domain ${domain.value}`)
    const record = this.#read(texts, before)
    if (!record.ok) return record
    const [from, to] = [formatDomainSettings(before), formatDomainSettings(record.value)]
    const changes = DOMAIN_SETTING_NAMES.map(name => ({ name, from: from[name], to: to[name] })).filter(
      change => change.from !== change.to,
    )
    if (changes.length > 0) await this.#directory.putDomain(domain.value, record.value)
    return done({ domain: domain.value, record: record.value, changes })
  }

  /** Settings over a base. */
  #read(texts: SettingTexts, base: ListDomain): Outcome<ListDomain> {
    const record = parseDomainSettings(texts, base)
    if (!record.ok) return refused('domain-setting-invalid', record.problem)
    const delivery = checkDelivery(texts, this.#deliveries)
    return delivery.ok ? record : delivery
  }

  /** Removes a domain that no list is left in. */
  async remove(text: string): Promise<Outcome<Domain>> {
    const domain = readDomain(text)
    if (!domain.ok) return domain
    for await (const { address } of this.#directory.lists(domain.value)) {
      return refused('domain-in-use', `the domain ${domain.value} still has lists, like ${address}`)
    }
    return (await this.#directory.removeDomain(domain.value))
      ? done(domain.value)
      : refused('domain-unknown', `there is no list domain ${domain.value}`)
  }

  /** Every domain, by name. */
  all(): AsyncIterable<DomainEntry> {
    return domainsInOrder(this.#directory)
  }
}
