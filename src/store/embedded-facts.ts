/**
 * A query answered from the embedded store: look-ups by exact keys, all in one read transaction, at once. Nothing here
 * grows with a list.
 */
import type { Facts, FactsQuery, ListFacts } from '../core/facts.ts'
import { parseSettings } from '../core/list.ts'
import { parseDomainForDecision } from '../core/list-domain.ts'
import { parsePerson } from '../core/person.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { Who } from '../core/who.ts'
import type { Admissions } from './embedded-admissions.ts'
import { type Groups, SITE_GROUPS } from './embedded-groups.ts'
import type { Posts } from './embedded-posts.ts'
import type { Tables } from './embedded-tables.ts'

export interface FactsParts {
  readonly tables: Tables
  readonly groups: Groups
  readonly posts: Posts
  readonly admissions: Admissions
}

/** Finds the facts of a query. Inside a read. */
export function findFacts(parts: FactsParts, query: FactsQuery): Facts {
  const { groups } = parts
  const people = [...new Set([...query.sender, ...query.authors])]
  const mtas = [...query.provenMtas, ...query.claimedMtas]
  const firstOf = <K extends string>(group: number, keys: readonly K[]): K | undefined =>
    // An IPv6 client has more than a hundred keys, and most sites keep none of these lists.
    groups.count(group) === 0 ? undefined : keys.find(key => groups.has(group, key))
  const all = <K extends string>(group: number, keys: readonly K[]): Set<K> =>
    new Set(keys.filter(key => groups.has(group, key)))
  const domain = query.domain === undefined ? undefined : groups.get(SITE_GROUPS.domains, query.domain)
  const lists = query.lists.flatMap(address => findList(parts, query, address, people) ?? [])
  return {
    knownMtasKept: mtas.length > 0 && groups.count(SITE_GROUPS.known) > 0,
    knownMta: firstOf(SITE_GROUPS.known, query.provenMtas),
    refusedMta: firstOf(SITE_GROUPS.refused, mtas),
    forbidden: all(SITE_GROUPS.forbidden, query.sender),
    siteBans: all(SITE_GROUPS.bans, people),
    domain: domain === undefined ? undefined : parseDomainForDecision(domain),
    lists: new Map(lists.map(list => [list.address, list])),
  }
}

function findList(
  { tables, groups, posts, admissions }: FactsParts,
  query: FactsQuery,
  address: ListAddress,
  people: readonly Who[],
): ListFacts | undefined {
  const row = tables.lists.get(address)
  if (row === undefined) return undefined
  const { poster, message, admitted } = query
  return {
    address,
    settings: parseSettings(row.settings),
    people: new Map(
      people.flatMap(who => {
        const text = groups.get(row.people, who)
        return text === undefined ? [] : [[who, parsePerson(text)] as const]
      }),
    ),
    bans: new Set(people.filter(who => groups.has(row.bans, who))),
    posts:
      poster === undefined || message === undefined
        ? { made: 0, counted: false }
        : posts.find(row.posts, poster, message),
    ...(admitted !== undefined && { admitted: admissions.has(row.posts, admitted) }),
  }
}
