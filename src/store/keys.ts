/**
 * The names of Redis keys, and nothing else in Postern spells one. `docs/redis-schema.md` says what each holds.
 *
 * Whatever belongs to one list carries the list's address as the hash tag, so that Redis Cluster keeps it in one slot
 * and one script may change all of it; what belongs to the site carries `{site}`, and the journal `{journal}`. Redis takes as tag what stands
 * between the first `{` and the first `}` behind it. An address may hold braces, so there they are written as `%7B`
 * and `%7D`, and `%` as `%25`: the tag is then the whole address, and no two addresses share a key.
 */
import type { LongPeriod, Period, TopKind } from '../app/counters.ts'
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

/** The journal's keys. Starts of periods are like `2026-11-22T14:25`. */
export interface JournalKeys {
  readonly tag: string
  readonly events: string
  /** Nodes by the time at which they were last heard of. */
  readonly nodes: string
  node(name: string): string
  /** The last batch of a writer. */
  batch(writer: string): string
  /** The site's counters of a period. */
  counters(period: Period, start: string): string
  /** All lists' counters of a period. */
  listCounters(period: Period, start: string): string
  /** Whom most was refused, or which list refused most. */
  top(kind: TopKind, period: LongPeriod, start: string): string
  /** Which senders there were. */
  senders(period: LongPeriod, start: string): string
}

function tagOf(list: ListAddress): string {
  return list.replace(/[%{}]/g, char => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** The keys under one prefix, which `parseKeyPrefix` has let through. */
export class Keys {
  readonly site: SiteKeys
  readonly journal: JournalKeys
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
    const noted = `${prefix}{journal}:`
    this.journal = {
      tag: 'journal',
      events: `${noted}events`,
      nodes: `${noted}nodes`,
      node: name => `${noted}node:${name}`,
      batch: writer => `${noted}batch:${writer}`,
      counters: (period, start) => `${noted}${period}:${start}`,
      listCounters: (period, start) => `${noted}${period}:${start}:lists`,
      top: (kind, period, start) => `${noted}${period}:${start}:refused:${kind}`,
      senders: (period, start) => `${noted}${period}:${start}:senders`,
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
