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
import { INITIAL_SENDERS, type SenderSettings } from './sender-forms/settings.ts'
import { formsOf, NO_FORMS, type SenderForms } from './sender-forms.ts'
import type { Client, ListAddress, Transaction } from './transaction.ts'
import { type Who, whoIs } from './who.ts'

/** A site's settings that decisions depend on; they come from the configuration. */
export interface Site {
  /** Most recipients of one message over all lists; 0 is no limit. */
  readonly maxRecipients: number
  /** Where refused MTAs are turned away first. */
  readonly refuseMtasAt: 'CONNECT' | 'EHLO'
  /** Local parts of address verification probes, lower case; a probe's may go on with letters and digits. */
  readonly probeLocalParts: readonly string[]
  /** What is known of senders' addresses. */
  readonly senders: SenderSettings
  /** Received: fields that a message may have; 0 is no limit. */
  readonly maxHops: number
  /** What becomes of mail to no list when a refusal would be a bounce. */
  readonly lateRefusal: 'hold' | 'discard'
  /** How long it is remembered who was let in to a list: longer than MTAs keep mail in their queues. */
  readonly admissionDays: number
  /** Whether refusals end with an id by which it is found out why; and the place on the web that tells, with `{id}` in it. */
  readonly reasonIds?: { readonly url: string | undefined } | undefined
}

/** A site that was given no settings. `double-bounce` is Postfix's `address_verify_sender`. */
export const INITIAL_SITE: Site = {
  maxRecipients: 1000,
  refuseMtasAt: 'EHLO',
  probeLocalParts: ['double-bounce'],
  senders: INITIAL_SENDERS,
  maxHops: 50,
  lateRefusal: 'hold',
  admissionDays: 6,
}

/** What to look up. An absent or empty part needs no look-up. */
export interface FactsQuery {
  /** Keys that the client is proven to have: its networks and its verified name. */
  readonly provenMtas: readonly MtaKey[]
  /** Keys that it only claims by HELO. */
  readonly claimedMtas: readonly MtaKey[]
  /** Keys of the envelope sender, in all forms of the address. */
  readonly sender: readonly Who[]
  /** Keys of the message's authors, for lists that go by them; may repeat the sender's. */
  readonly authors: readonly Who[]
  readonly domain: Domain | undefined
  /** Lists that the recipient may belong to. */
  readonly lists: readonly ListAddress[]
  /** The envelope sender's own address, to find out whether it was let in to the lists before. */
  readonly admitted?: Who | undefined
  /** Whose posts to count, and the message that may be among them already. */
  readonly poster?: Who | undefined
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
  /** Whether the sender was let in to the list not long ago; absent if that was not asked. */
  readonly admitted?: boolean
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

/** The forms of an envelope sender; none for what is no address. */
export function senderForms(sender: ReversePath, site: Site): SenderForms {
  return sender.kind === 'address' ? formsOf(sender, site.senders, 'envelope') : NO_FORMS
}

/**
 * Under what it is remembered that a sender was let in: the address as it is written, and no other form of it, because a
 * refusal goes to that one.
 */
export function admissionKey(sender: ReversePath): Who | undefined {
  return sender.kind === 'address' ? whoIs(sender) : undefined
}

function listsOf(recipient: Address): readonly ListAddress[] {
  return [...new Set(candidatesOf(recipient).map(candidate => candidate.list))]
}

/** What the law needs to know to judge the transaction. */
export function factsNeeded(tx: Transaction, site: Site): FactsQuery {
  const client = { provenMtas: provenKeys(tx.client), claimedMtas: mtaKeysOfHost(tx.client.helo) }
  const nothing = {
    sender: [],
    authors: [],
    domain: undefined,
    lists: [],
    message: undefined,
  }
  switch (tx.phase) {
    case 'CONNECT':
    case 'EHLO':
      return { ...nothing, ...client }
    case 'MAIL':
      return { ...nothing, ...client, sender: senderForms(tx.sender, site).keys }
    case 'RCPT': {
      const { keys, poster } = senderForms(tx.sender, site)
      return {
        ...client,
        sender: keys,
        authors: [],
        domain: tx.recipient.domain,
        lists: listsOf(tx.recipient),
        admitted: tx.afterAcceptance === true ? admissionKey(tx.sender) : undefined,
        poster,
        message: tx.message,
      }
    }
    case 'DATA':
      return { ...nothing, provenMtas: [], claimedMtas: [] }
    case 'END-OF-MESSAGE':
      return {
        provenMtas: [],
        claimedMtas: [],
        sender: senderForms(tx.sender, site).keys,
        // Whom RCPT has settled is judged by the envelope.
        authors: (tx.settledAtRcpt ? [] : (tx.authorship?.all ?? []))
          .slice(0, MAX_AUTHORS)
          .flatMap(author => formsOf(author, site.senders, 'author').keys),
        domain: tx.recipient.domain,
        lists: listsOf(tx.recipient),
        admitted: tx.afterAcceptance ? admissionKey(tx.sender) : undefined,
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
