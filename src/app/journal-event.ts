/**
 * Events: made of decisions, written as flat fields in plain words and read back, and asked again. What came from the network is
 * cut to a bounded length and has no control characters.
 */
import { internalReversePath, parseAddress } from '../core/address.ts'
import { parseIpAddress } from '../core/network.ts'
import { REASONS, type Reason } from '../core/reason.ts'
import { formatReply } from '../core/reply.ts'
import {
  type Client,
  type Front,
  type ListAddress,
  PHASES,
  type Phase,
  type Transaction,
} from '../core/transaction.ts'
import { VERDICT_KINDS, type VerdictKind } from '../core/verdict.ts'
import type { Decided } from './gate.ts'

/** A decision, as it is kept. What was not known is absent. Texts are of bounded length. */
export interface JournalEvent {
  /** When it was answered; milliseconds since the epoch. */
  readonly time: number
  /** Which Postern decided. */
  readonly node: string
  readonly front: Front
  readonly phase: Phase
  readonly verdict: VerdictKind
  readonly reason: Reason
  readonly rule: string
  /** As on the wire. */
  readonly reply?: string
  /** Milliseconds from question to answer. */
  readonly latency: number
  readonly client?: string
  readonly clientName?: string
  readonly helo?: string
  readonly user?: string
  /** The envelope sender; empty is the null sender. `user`, `sender`, `recipient` and `authors` may be hashes. */
  readonly sender?: string
  readonly senderDomain?: string
  readonly recipient?: string
  /** The mailboxes of From:, where the message's end was judged. */
  readonly authors?: readonly string[]
  readonly list?: ListAddress
  readonly service?: string
  readonly queueId?: string
  /** What ties the questions of one message together where there is no queue id yet. */
  readonly message?: string
  readonly size?: number
  readonly recipientsBefore?: number
  readonly settledAtRcpt?: boolean
  readonly afterAcceptance?: boolean
  /** In shadow mode: what would have been said. */
  readonly would?: VerdictKind
  readonly wouldReason?: Reason
  /** After acceptance: the refusal in whose place this stands. */
  readonly inPlaceOf?: Reason
  /** The reason id that the reply ends with. */
  readonly ref?: string
}

/** How people's addresses are shown. */
export type AddressChoice = 'full' | 'hashed' | 'none'

/** Shows addresses, or hashes in their place. `undefined` shows none at all. */
export type AddressShown =
  | {
      /** An address, or what stands where one is expected. */
      address(text: string): string
      /** Running text, in which addresses other than `list` are replaced. */
      text(text: string, list?: string): string
    }
  | undefined

const MAX_TEXT = 512
const MAX_AUTHORS = 5
const UNSAFE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu
const PLAIN = /^[ -~]*$/

function clean(text: string): string {
  const cut = text.length > MAX_TEXT ? text.slice(0, MAX_TEXT) : text
  return PLAIN.test(cut) ? cut : cut.replace(UNSAFE, '\ufffd')
}

/** Whether a decision belongs into the journal: those about mail that is not for lists do not. */
export function isNoted({ verdict }: Pick<Decided, 'verdict'>): boolean {
  return verdict.kind !== 'none' && verdict.reason !== 'nothing-to-object'
}

/** Parts of an event that are there. */
type Draft = { -readonly [K in keyof JournalEvent]?: JournalEvent[K] | undefined }

function people({ tx }: Decided, shown: AddressShown): Draft {
  if (shown === undefined) return {}
  const { user } = tx.client
  const draft: Draft = { user: user === undefined ? undefined : clean(shown.address(user)) }
  if ('sender' in tx) {
    draft.sender = clean(shown.address(tx.sender.text))
    const domain = tx.sender.kind === 'address' ? tx.sender.domain : undefined
    if (domain !== undefined) draft.senderDomain = clean(shown.address(domain))
  }
  if ('recipient' in tx) draft.recipient = clean(shown.address(tx.recipient.text))
  if (tx.phase === 'END-OF-MESSAGE' && tx.authorship !== undefined) {
    draft.authors = tx.authorship.from.slice(0, MAX_AUTHORS).map(({ text }) => clean(shown.address(text)))
  }
  return draft
}

function circumstances(tx: Transaction): Draft {
  switch (tx.phase) {
    case 'RCPT':
      return {
        message: tx.message === undefined ? undefined : clean(tx.message),
        size: tx.size,
        recipientsBefore: tx.recipientsBefore,
        afterAcceptance: tx.afterAcceptance === true ? true : undefined,
      }
    case 'END-OF-MESSAGE':
      return {
        size: tx.size,
        settledAtRcpt: tx.settledAtRcpt,
        afterAcceptance: tx.afterAcceptance ? true : undefined,
      }
    default:
      return {}
  }
}

/** A reply without the addresses in it is its codes. */
function replyOf({ verdict }: Decided, shown: AddressShown): string | undefined {
  if (verdict.kind === 'none') return undefined
  if (shown !== undefined) return clean(shown.text(formatReply(verdict.reply), verdict.list))
  return `${verdict.reply.code} ${verdict.reply.enhanced}`
}

/** The event of a decision. */
export function eventOf(decided: Decided, node: string, shown: AddressShown): JournalEvent {
  const { tx, verdict, at, latency, queueId, ref } = decided
  const { ip, name, helo } = tx.client
  const draft: Draft = {
    time: at,
    node,
    front: tx.front,
    phase: tx.phase,
    verdict: verdict.kind,
    reason: verdict.reason,
    rule: verdict.rule,
    reply: replyOf(decided, shown),
    latency,
    client: ip?.text,
    clientName: name === undefined ? undefined : clean(name),
    helo: helo === undefined ? undefined : clean(helo),
    ...people(decided, shown),
    list: verdict.list,
    service: verdict.service,
    queueId: queueId === undefined ? undefined : clean(queueId),
    ...circumstances(tx),
    would: verdict.shadowed?.kind,
    wouldReason: verdict.shadowed?.reason,
    inPlaceOf: verdict.inPlaceOf?.reason,
    ref,
  }
  return draft as JournalEvent
}

const FRONTS: readonly Front[] = ['policy', 'milter', 'lmtp', 'cli']

/** How a field is written, and read: `undefined` is what it cannot hold. */
interface Field {
  readonly name: string
  readonly write: (value: never) => string
  readonly read: (text: string) => unknown
}

const text = { write: String, read: (value: string) => value }
const number = {
  write: String,
  read: (value: string) => (/^\d{1,16}$/.test(value) ? Number(value) : undefined),
}
const yes = {
  write: (value: boolean) => (value ? 'yes' : 'no'),
  read: (value: string) => ({ yes: true, no: false })[value],
}
const oneOf = (words: readonly string[]) => ({
  write: String,
  read: (value: string) => words.find(word => word === value),
})

/** The fields of an event, in the order in which they are written. */
const FIELDS: Readonly<Record<keyof JournalEvent, Field>> = {
  time: { name: 'time', ...number },
  node: { name: 'node', ...text },
  front: { name: 'front', ...oneOf(FRONTS) },
  phase: { name: 'phase', ...oneOf(PHASES) },
  verdict: { name: 'verdict', ...oneOf(VERDICT_KINDS) },
  reason: { name: 'reason', ...oneOf(REASONS) },
  rule: { name: 'rule', ...text },
  reply: { name: 'reply', ...text },
  latency: { name: 'latency', ...number },
  client: { name: 'client', ...text },
  clientName: { name: 'client_name', ...text },
  helo: { name: 'helo', ...text },
  user: { name: 'user', ...text },
  sender: { name: 'sender', ...text },
  senderDomain: { name: 'sender_domain', ...text },
  recipient: { name: 'recipient', ...text },
  authors: {
    name: 'authors',
    write: (addresses: readonly string[]) => addresses.join('\n'),
    read: (value: string) => (value === '' ? [] : value.split('\n')),
  },
  list: { name: 'list', ...text },
  service: { name: 'service', ...text },
  queueId: { name: 'queue_id', ...text },
  message: { name: 'message', ...text },
  size: { name: 'size', ...number },
  recipientsBefore: { name: 'recipients_before', ...number },
  settledAtRcpt: { name: 'settled_at_rcpt', ...yes },
  afterAcceptance: { name: 'after_acceptance', ...yes },
  would: { name: 'would', ...oneOf(VERDICT_KINDS) },
  wouldReason: { name: 'would_reason', ...oneOf(REASONS) },
  inPlaceOf: { name: 'in_place_of', ...oneOf(REASONS) },
  ref: { name: 'ref', ...text },
}

const ENTRIES = Object.entries(FIELDS) as readonly (readonly [keyof JournalEvent, Field])[]
const BY_NAME: ReadonlyMap<string, readonly [keyof JournalEvent, Field]> = new Map(
  ENTRIES.map(entry => [entry[1].name, entry]),
)

/** The names of an event's fields. */
export const EVENT_FIELDS: readonly string[] = ENTRIES.map(([, { name }]) => name)

const REQUIRED = [
  'time',
  'node',
  'front',
  'phase',
  'verdict',
  'reason',
  'rule',
  'latency',
] as const satisfies readonly (keyof JournalEvent)[]

/** An event as names and texts, one after the other. */
export function eventFields(event: JournalEvent): readonly string[] {
  const fields: string[] = []
  for (const [key, field] of ENTRIES) {
    const value = event[key]
    if (value !== undefined) fields.push(field.name, field.write(value as never))
  }
  return fields
}

/** Reads what `eventFields` wrote; `undefined` for what is no event, such as one of a version that knows more reasons. */
export function readEvent(fields: readonly string[]): JournalEvent | undefined {
  const draft: Record<string, unknown> = {}
  for (let at = 0; at + 1 < fields.length; at += 2) {
    const [key, field] = BY_NAME.get(fields[at] ?? '') ?? []
    const value = field?.read(fields[at + 1] ?? '')
    if (key !== undefined && value !== undefined) draft[key] = value
  }
  return REQUIRED.every(key => draft[key] !== undefined) ? (draft as unknown as JournalEvent) : undefined
}

function clientOf({ client, clientName, helo, user }: JournalEvent): Client {
  const ip = client === undefined ? undefined : parseIpAddress(client)
  return {
    ...(ip?.ok === true && { ip: ip.value }),
    ...(clientName !== undefined && { name: clientName }),
    ...(helo !== undefined && { helo }),
    ...(user !== undefined && { user }),
  }
}

/**
 * The question that an event answers, as far as it is kept: not where addresses are hashed or left out, not at DATA, where
 * the recipients are not kept, and without what stood in the message.
 */
export function questionOf(event: JournalEvent): Transaction | undefined {
  const { front, phase, sender, recipient } = event
  const situation = { front, client: clientOf(event) }
  if (phase === 'CONNECT' || phase === 'EHLO') return { phase, ...situation }
  if (sender === undefined || sender.startsWith('#')) return undefined
  const reversePath = sender === '' ? internalReversePath('') : parseAddress(sender)
  const path =
    'ok' in reversePath ? (reversePath.ok ? reversePath.value : internalReversePath(sender)) : reversePath
  if (phase === 'MAIL') return { phase, ...situation, sender: path }
  const to = recipient === undefined ? undefined : parseAddress(recipient)
  if (to?.ok !== true || phase === 'DATA') return undefined
  const about = { ...situation, sender: path, recipient: to.value }
  const {
    size,
    recipientsBefore = 0,
    message,
    settledAtRcpt = true,
    afterAcceptance = false,
    authors,
  } = event
  if (phase === 'RCPT') {
    return {
      phase,
      ...about,
      recipientsBefore,
      ...(size !== undefined && { size }),
      ...(message !== undefined && { message }),
      ...(afterAcceptance && { afterAcceptance }),
    }
  }
  const from = (authors ?? []).flatMap(author => {
    const address = parseAddress(author)
    return address.ok ? [address.value] : []
  })
  return {
    phase,
    ...about,
    size: size ?? 0,
    settledAtRcpt,
    afterAcceptance,
    ...(authors !== undefined && { authorship: { from, all: from } }),
  }
}
