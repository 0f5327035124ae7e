/** List domains: the domains whose addresses Postern answers for. */
import { type Domain, parseDomain } from '../../core/domain.ts'
import { FLAVOURS, type Flavour, SETTINGS } from '../../core/list.ts'
import type { ListDomain } from '../../core/list-domain.ts'
import { type Parsed, problem } from '../../core/parsed.ts'
import type { Change, Directory } from '../ports.ts'
import { inOrder } from './in-order.ts'
import { done, type Outcome, outcomeOf, refused } from './problem.ts'

export interface DomainEntry {
  readonly domain: Domain
  readonly record: ListDomain
}

/** Reads a flavour's name. */
export function readFlavour(text: string): Outcome<Flavour> {
  const found = FLAVOURS.find(flavour => flavour === text)
  return found === undefined
    ? refused('flavour-invalid', `${JSON.stringify(text)}: expected one of ${FLAVOURS.join(', ')}`)
    : done(found)
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

/** Puts a domain in place: with the flavour given, else with the one it has, else with the initial one. */
export async function putDomain(
  directory: Directory,
  domain: Domain,
  flavour: Flavour | undefined,
): Promise<DomainEntry & { readonly change: Change }> {
  const record = {
    flavour: flavour ?? (await directory.getDomain(domain))?.flavour ?? SETTINGS.flavour.initial,
  }
  return { domain, record, change: await directory.putDomain(domain, record) }
}

/** Every domain, by name. */
export function domainsInOrder(directory: Directory): AsyncIterable<DomainEntry> {
  return inOrder<DomainEntry>(() => directory.domains(), {
    key: ({ domain }) => domain,
    write: ({ record }) => record.flavour,
    read: (domain, flavour) => ({ domain: domain as Domain, record: { flavour: flavour as Flavour } }),
  })
}

export class Domains {
  readonly #directory: Directory

  constructor(directory: Directory) {
    this.#directory = directory
  }

  /** Adds a domain, or changes its flavour if one is given. Lists that are there keep theirs. */
  async add(text: string, flavourText?: string): Promise<Outcome<DomainEntry & { readonly change: Change }>> {
    const domain = readDomain(text)
    if (!domain.ok) return domain
    const flavour = flavourText === undefined ? done(undefined) : readFlavour(flavourText)
    if (!flavour.ok) return flavour
    return done(await putDomain(this.#directory, domain.value, flavour.value))
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
