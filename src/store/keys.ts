/**
 * The names of Redis keys, and nothing else in Postern spells one. `docs/redis-schema.md` says what each holds.
 *
 * Whatever belongs to one list carries the list's address as the hash tag, so that Redis Cluster keeps it in one slot
 * and one script may change all of it; what belongs to the site carries `{site}`. Redis takes as tag what stands
 * between the first `{` and the first `}` behind it. An address may hold braces, so there they are written as `%7B`
 * and `%7D`, and `%` as `%25`: the tag is then the whole address, and no two addresses share a key.
 */
import type { MtaList } from '../app/ports.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { Who } from '../core/who.ts'

export const DEFAULT_KEY_PREFIX = 'postern:'

/** Reads a key prefix. Braces would become the hash tag of every key. */
export function parseKeyPrefix(text: string): Parsed<string> {
  return /[{}]/.test(text) ? problem('a key prefix has no braces') : parsed(text)
}

/** The site's keys. */
export interface SiteKeys {
  readonly tag: string
  readonly schema: string
  readonly domains: string
  readonly lists: string
  readonly bans: string
  readonly forbidden: string
  readonly mtas: Readonly<Record<MtaList, string>>
}

/** One list's keys. */
export interface ListKeys {
  readonly tag: string
  /** The settings; the list exists if this does. */
  readonly list: string
  readonly people: string
  readonly bans: string
  /** Which senders have posts counted. */
  readonly posts: string
  /** A sender's posts in the current period. */
  postsOf(sender: Who): string
  /** Who was let in not long ago, by the time at which that is forgotten. */
  readonly admitted: string
  /** People and bans being written aside under an id. */
  stagedPeople(id: string): string
  stagedBans(id: string): string
}

function tagOf(list: ListAddress): string {
  return list.replace(/[%{}]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** The keys under one prefix, which `parseKeyPrefix` has let through. */
export class Keys {
  readonly site: SiteKeys
  readonly #prefix: string

  constructor(prefix: string = DEFAULT_KEY_PREFIX) {
    const checked = parseKeyPrefix(prefix)
    if (!checked.ok) throw new RangeError(checked.problem)
    this.#prefix = checked.value
    const under = `${prefix}{site}:`
    this.site = {
      tag: 'site',
      schema: `${under}schema`,
      domains: `${under}domains`,
      lists: `${under}lists`,
      bans: `${under}bans`,
      forbidden: `${under}forbidden`,
      mtas: { known: `${under}mtas:known`, refused: `${under}mtas:refused` },
    }
  }

  /** The keys of a list. Its tag is never the site's: an address has an `@`. */
  list(address: ListAddress): ListKeys {
    const tag = tagOf(address)
    const under = `${this.#prefix}{${tag}}:`
    return {
      tag,
      list: `${under}list`,
      people: `${under}people`,
      bans: `${under}bans`,
      posts: `${under}posts`,
      postsOf: sender => `${under}posts:${sender}`,
      admitted: `${under}admitted`,
      stagedPeople: id => `${under}people:staging:${id}`,
      stagedBans: id => `${under}bans:staging:${id}`,
    }
  }
}
