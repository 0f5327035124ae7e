/**
 * A query as Redis commands, and their replies as facts. Everything goes out at once and is found by exact keys: fields
 * that are named, a cardinality, and the settings of at most three lists. Nothing here grows with a list.
 *
 * The schema version comes along, so that a store that a newer version has taken over is never misread.
 */
import type { Facts, FactsQuery, ListFacts } from '../core/facts.ts'
import { parseDomainForDecision } from '../core/list-domain.ts'
import { problem } from '../core/parsed.ts'
import { parsePerson } from '../core/person.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { Keys } from './keys.ts'
import type { Command, CommandGroup } from './redis-connection.ts'
import { settingsOfReply } from './redis-settings.ts'
import { SCHEMA_VERSION, StoredDataError, schemaError } from './store-errors.ts'

/** A query's commands, and how to read the replies to them, group by group. */
export interface FactsPlan {
  readonly groups: readonly CommandGroup[]
  /** @throws StoreSchemaError, StoredDataError */
  readonly read: (replies: readonly (readonly unknown[])[]) => Facts
}

/** Commands as they are added; each gives a way to find its own reply. */
class Asked {
  readonly commands: Command[] = []

  /** Adds a command, unless `wanted` is false: then there is no reply to find. */
  add(wanted: boolean, ...command: Command): (replies: readonly unknown[]) => unknown {
    if (!wanted) return () => undefined
    const index = this.commands.push(command) - 1
    return replies => replies[index]
  }

  /** Adds an HMGET, and finds the fields that are there, in the order asked, with their values. */
  fields<F extends string>(
    key: string,
    fields: readonly F[],
  ): (replies: readonly unknown[]) => Map<F, string> {
    const reply = this.add(fields.length > 0, 'HMGET', key, ...fields)
    return replies => {
      const values = understood(reply(replies)) as readonly (string | null)[] | undefined
      return new Map(
        fields.flatMap((field, index) => {
          const value = values?.[index] ?? null
          return value === null ? [] : [[field, value] as const]
        }),
      )
    }
  }
}

function understood(reply: unknown): unknown {
  if (reply instanceof StoredDataError) throw reply
  return reply
}

/** A version that is not written yet is ours to write. */
export function checkSchema(reply: unknown): void {
  const version = understood(reply)
  if (version !== null && version !== String(SCHEMA_VERSION)) throw schemaError(String(version))
}

/** What a query asks of the site. */
function siteAsked(
  keys: Keys,
  query: FactsQuery,
): { asked: Asked; read: (replies: readonly unknown[]) => Omit<Facts, 'lists'> } {
  const asked = new Asked()
  const { site } = keys
  const mtas = [...query.provenMtas, ...query.claimedMtas]
  const schema = asked.add(true, 'GET', site.schema)
  const kept = asked.add(mtas.length > 0, 'HLEN', site.mtas.known)
  const known = asked.fields(site.mtas.known, query.provenMtas)
  const refused = asked.fields(site.mtas.refused, mtas)
  const forbidden = asked.fields(site.forbidden, query.sender)
  const bans = asked.fields(site.bans, peopleKeys(query))
  const domain = asked.fields(site.domains, query.domain === undefined ? [] : [query.domain])
  return {
    asked,
    read: replies => {
      checkSchema(schema(replies))
      const [record] = domain(replies).values()
      return {
        knownMtasKept: Number(understood(kept(replies)) ?? 0) > 0,
        knownMta: known(replies).keys().next().value,
        refusedMta: refused(replies).keys().next().value,
        forbidden: new Set(forbidden(replies).keys()),
        siteBans: new Set(bans(replies).keys()),
        domain: record === undefined ? undefined : parseDomainForDecision(record),
      }
    },
  }
}

function peopleKeys(query: FactsQuery): FactsQuery['sender'] {
  return [...new Set([...query.sender, ...query.authors])]
}

/** Whether a score, in seconds, is later than the reply to TIME. */
function isLater(score: unknown, time: unknown): boolean {
  return score !== null && Number(score) > Number((time as readonly unknown[])[0])
}

/** What a query asks of a list. */
function listAsked(
  keys: Keys,
  query: FactsQuery,
  address: ListAddress,
): { tag: string; asked: Asked; read: (replies: readonly unknown[]) => ListFacts | undefined } {
  const asked = new Asked()
  const list = keys.list(address)
  const { poster, message, admitted } = query
  const counts = message !== undefined && poster !== undefined
  const posts = counts ? list.postsOf(poster) : ''
  const settings = asked.add(true, 'HGETALL', list.list)
  const people = asked.fields(list.people, peopleKeys(query))
  const bans = asked.fields(list.bans, peopleKeys(query))
  const made = asked.add(counts, 'SCARD', posts)
  const counted = asked.add(counts, 'SISMEMBER', posts, message ?? '')
  // Those that have ended are still there until the next one is written.
  const admittedUntil = asked.add(admitted !== undefined, 'ZSCORE', list.admitted, admitted ?? '')
  const time = asked.add(admitted !== undefined, 'TIME')
  return {
    tag: list.tag,
    asked,
    read: replies => {
      try {
        const found = settingsOfReply(understood(settings(replies)) as readonly string[])
        if (found === undefined) return undefined
        return {
          address,
          settings: found,
          people: new Map([...people(replies)].map(([who, text]) => [who, parsePerson(text)])),
          bans: new Set(bans(replies).keys()),
          posts: {
            made: Number(understood(made(replies)) ?? 0),
            counted: Number(understood(counted(replies)) ?? 0) === 1,
          },
          ...(admitted !== undefined && {
            admitted: isLater(understood(admittedUntil(replies)), understood(time(replies))),
          }),
        }
      } catch (error) {
        if (!(error instanceof StoredDataError)) throw error
        // A key that somebody made another type is this list's trouble and no other's.
        return {
          address,
          settings: problem(error.message),
          people: new Map(),
          bans: new Set(),
          posts: { made: 0, counted: false },
        }
      }
    },
  }
}

/** Plans a query. */
export function planFacts(keys: Keys, query: FactsQuery): FactsPlan {
  const site = siteAsked(keys, query)
  const lists = query.lists.map(address => listAsked(keys, query, address))
  return {
    groups: [
      { tag: keys.site.tag, commands: site.asked.commands },
      ...lists.map(({ tag, asked }) => ({ tag, commands: asked.commands })),
    ],
    read: ([siteReplies = [], ...listReplies]) => {
      const facts = site.read(siteReplies)
      const found = lists.flatMap((list, index) => list.read(listReplies[index] ?? []) ?? [])
      return { ...facts, lists: new Map(found.map(list => [list.address, list])) }
    },
  }
}
