/**
 * Facts: everything a decision looks at besides the transaction. `factsNeeded` says, from the transaction alone,
 * which exact keys have to be looked up, so that a store can fetch all of them in one round trip and never reads a
 * whole list; `Facts` is what it brings back.
 */
import type { Address, ReversePath } from './address.ts'
import type { Domain } from './domain.ts'
import type { ListSettings } from './list.ts'
import type { ListDomain } from './list-domain.ts'
import { type MtaKey, mtaKeysOfAddress, mtaKeysOfHost } from './mta.ts'
import type { Parsed } from './parsed.ts'
import type { Person } from './person.ts'
import { candidatesOf } from './recipient.ts'
import type { Client, ListAddress, Transaction } from './transaction.ts'
import { type Who, whoKeysOf } from './who.ts'

/** A site's settings that decisions depend on; they come from the configuration. */
export interface Site {
  /** Most recipients of one message over all lists; 0 is no limit. */
  readonly maxRecipients: number
  /** Where refused MTAs are turned away first. */
  readonly refuseMtasAt: 'CONNECT' | 'EHLO'
  /** Local parts of address verification probes, lower case; a probe's may go on with letters and digits. */
  readonly probeLocalParts: readonly string[]
}

/** A site that was given no settings. `double-bounce` is Postfix's `address_verify_sender`. */
export const INITIAL_SITE: Site = {
  maxRecipients: 1000,
  refuseMtasAt: 'EHLO',
  probeLocalParts: ['double-bounce'],
}

/** What to look up. An absent or empty part needs no look-up. */
export interface FactsQuery {
  /** Keys that the client is proven to have: its networks and its verified name. */
  readonly provenMtas: readonly MtaKey[]
  /** Keys that it only claims by HELO. */
  readonly claimedMtas: readonly MtaKey[]
  /** Keys of the envelope sender, the most specific first. */
  readonly sender: readonly Who[]
  /** Keys of the message's authors, for lists that go by them; may repeat the sender's. */
  readonly authors: readonly Who[]
  readonly domain: Domain | undefined
  /** Lists that the recipient may belong to. */
  readonly lists: readonly ListAddress[]
  /** Whose posts to count, and the message that may be among them already. */
  readonly message: string | undefined
}

/** One list, as far as the query asked about it. */
export interface ListFacts {
  readonly address: ListAddress
  /** A problem if what the store holds cannot be understood. */
  readonly settings: Parsed<ListSettings>
  /** Records found under the keys that were asked for. A problem if one cannot be understood. */
  readonly people: ReadonlyMap<Who, Parsed<Person>>
  /** The keys that are banned from the list. */
  readonly bans: ReadonlySet<Who>
  /** Posts that the sender has made in the current period, and whether the message asked about is one of them. */
  readonly posts: { readonly made: number; readonly counted: boolean }
}

/** What the store found. */
export interface Facts {
  /** Whether a list of known MTAs is kept at all. */
  readonly knownMtasKept: boolean
  /** Keys of the client found among known and among refused MTAs. */
  readonly knownMta: MtaKey | undefined
  readonly refusedMta: MtaKey | undefined
  /** Keys found among forbidden senders and among the site's bans. */
  readonly forbidden: ReadonlySet<Who>
  readonly siteBans: ReadonlySet<Who>
  /** A problem if what the store holds of the domain cannot be understood. */
  readonly domain: Parsed<ListDomain> | undefined
  readonly lists: ReadonlyMap<ListAddress, ListFacts>
}

/** The facts of an empty store. */
export const NO_FACTS: Facts = Object.freeze({
  knownMtasKept: false,
  knownMta: undefined,
  refusedMta: undefined,
  forbidden: new Set<Who>(),
  siteBans: new Set<Who>(),
  domain: undefined,
  lists: new Map<ListAddress, ListFacts>(),
})

/** How many authors are looked up; a message with more is judged by the first ones. */
const MAX_AUTHORS = 20

function provenKeys(client: Client): readonly MtaKey[] {
  return [...mtaKeysOfAddress(client.ip), ...mtaKeysOfHost(client.name)]
}

function senderKeys(sender: ReversePath): readonly Who[] {
  return sender.kind === 'address' ? whoKeysOf(sender) : []
}

function listsOf(recipient: Address): readonly ListAddress[] {
  return [...new Set(candidatesOf(recipient).map(candidate => candidate.list))]
}

/** What the law needs to know to judge the transaction. */
export function factsNeeded(tx: Transaction): FactsQuery {
  const client = { provenMtas: provenKeys(tx.client), claimedMtas: mtaKeysOfHost(tx.client.helo) }
  const nothing = { sender: [], authors: [], domain: undefined, lists: [], message: undefined }
  switch (tx.phase) {
    case 'CONNECT':
    case 'EHLO':
      return { ...nothing, ...client }
    case 'MAIL':
      return { ...nothing, ...client, sender: senderKeys(tx.sender) }
    case 'RCPT':
      return {
        ...client,
        sender: senderKeys(tx.sender),
        authors: [],
        domain: tx.recipient.domain,
        lists: listsOf(tx.recipient),
        message: tx.message,
      }
    case 'DATA':
      return { ...nothing, provenMtas: [], claimedMtas: [] }
    case 'END-OF-MESSAGE':
      return {
        provenMtas: [],
        claimedMtas: [],
        sender: senderKeys(tx.sender),
        authors: (tx.authorship?.all ?? []).slice(0, MAX_AUTHORS).flatMap(author => whoKeysOf(author)),
        domain: tx.recipient.domain,
        lists: listsOf(tx.recipient),
        message: undefined,
      }
  }
}

/** Whether the query asks for anything at all. */
export function isEmptyQuery(query: FactsQuery): boolean {
  return (
    query.provenMtas.length + query.claimedMtas.length + query.sender.length + query.authors.length === 0 &&
    query.domain === undefined
  )
}
