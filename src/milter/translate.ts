/**
 * Between milter events and the law: which questions the events ask, and what a verdict is as an answer. Knows neither
 * bytes nor sockets, so that any engine that hears the events may drive it.
 */
import type { MessageReading } from '../app/message-reader.ts'
import type { Address, ReversePath } from '../core/address.ts'
import { parseIpAddress } from '../core/network.ts'
import type { Reason } from '../core/reason.ts'
import type { Reply } from '../core/reply.ts'
import type {
  AcceptedRecipient,
  Client,
  DataTransaction,
  EndOfMessageTransaction,
  Phase,
  RcptTransaction,
} from '../core/transaction.ts'
import type { Verdict, VerdictKind } from '../core/verdict.ts'
import type { Macros } from './macros.ts'
import type { Refusal } from './reply-code.ts'

/** What is answered to an event. Changes to the message come with the answer to its end only. */
export type Answer =
  /** Go on; at the end of the message: take it. */
  | { readonly kind: 'continue' }
  /** No more events of this message: it is none of ours. */
  | { readonly kind: 'accept' }
  /** Take the message and drop it. */
  | { readonly kind: 'discard' }
  /** Refuse in the MTA's words, for now: an event that makes no sense here. */
  | { readonly kind: 'tempfail' }
  /** Refuse in our words. */
  | { readonly kind: 'refuse'; readonly refusal: Refusal }
  /** Say nothing and hang up: the MTA does what it is configured to do without us. */
  | { readonly kind: 'disconnect' }

export const CONTINUE: Answer = { kind: 'continue' }
export const ACCEPT: Answer = { kind: 'accept' }
export const DISCARD: Answer = { kind: 'discard' }
export const TEMPFAIL: Answer = { kind: 'tempfail' }
export const DISCONNECT: Answer = { kind: 'disconnect' }

/**
 * How much of a verdict the milter can do in a phase:
 *
 * - `exact`: all of it, for this recipient alone.
 * - `at-end`: all of it, at the end of the message: by deleting the recipient, or by what the header tells.
 * - `widened`: only for the whole message, and done only where the verdict is the same for all of it.
 * - `by-sink`: nothing. The recipient is let through, and the sink does it by the same law.
 * - `never`: the law gives no such verdict there.
 */
export type Fidelity = 'exact' | 'at-end' | 'widened' | 'by-sink' | 'never'

type Row = Readonly<Record<Phase, Fidelity>>

const everywhere: Row = {
  CONNECT: 'exact',
  EHLO: 'exact',
  MAIL: 'exact',
  RCPT: 'exact',
  DATA: 'exact',
  'END-OF-MESSAGE': 'exact',
}

const onlyForRecipients = (rcpt: Fidelity, endOfMessage: Fidelity): Row => ({
  CONNECT: 'never',
  EHLO: 'never',
  MAIL: 'never',
  RCPT: rcpt,
  DATA: 'never',
  'END-OF-MESSAGE': endOfMessage,
})

/** What this front can do about each kind of verdict in each phase; `docs/milter.md` has the same table in words. */
export const FIDELITY: Readonly<Record<VerdictKind, Row>> = {
  accept: everywhere,
  none: onlyForRecipients('exact', 'exact'),
  reject: { ...everywhere, 'END-OF-MESSAGE': 'widened' },
  defer: { ...everywhere, 'END-OF-MESSAGE': 'widened' },
  hold: onlyForRecipients('by-sink', 'by-sink'),
  discard: onlyForRecipients('at-end', 'exact'),
  later: onlyForRecipients('at-end', 'never'),
}

/** What a host is called that has no proven name: Postfix puts its address in brackets, others say so. */
const NO_NAME = /^(?:\[.*\]|unknown)?$/i

/**
 * The client as SMFIC_CONNECT and its macros tell. A name counts if the MTA has not said that it is unproven: Sendmail
 * shows the name that a host's address claims, and says beside it what became of the claim.
 */
export function clientOf(event: { host: string; address: string | undefined }, macros: Macros): Client {
  const client: { -readonly [K in keyof Client]: Client[K] } = {}
  const address = parseIpAddress(event.address ?? '')
  const fallback = address.ok ? address : parseIpAddress(macros.get('{client_addr}') ?? '')
  if (fallback.ok) client.ip = fallback.value
  const resolved = (macros.get('{client_resolve}') ?? 'OK').toUpperCase() === 'OK'
  const forged = /\bmay be forged\b/i.test(macros.get('_') ?? '')
  if (resolved && !forged && !NO_NAME.test(event.host)) client.name = event.host
  return client
}

/** What the client calls itself now, which is nothing if it says nothing. */
export function withHelo({ ip, name, user }: Client, helo: string): Client {
  const client: { -readonly [K in keyof Client]: Client[K] } = {}
  if (ip !== undefined) client.ip = ip
  if (name !== undefined) client.name = name
  if (user !== undefined) client.user = user
  if (helo !== '') client.helo = helo
  return client
}

/** The SASL login of MAIL's macros. */
export function withUser(client: Client, macros: Macros): Client {
  const user = macros.get('{auth_authen}')
  return user ? { ...client, user } : client
}

/** SIZE= among MAIL's parameters (RFC 1870), in octets; `undefined` if it is not there, or says nothing. */
export function declaredSize(parameters: readonly string[]): number | undefined {
  for (const parameter of parameters) {
    const match = /^SIZE=(\d{1,15})$/i.exec(parameter)
    if (match !== null) return Number(match[1]) || undefined
  }
  return undefined
}

/** What is known of a message from MAIL on. */
export interface MessageFacts {
  readonly client: Client
  readonly sender: ReversePath
  readonly declaredSize: number | undefined
  /** Names the message among all that are on their way. */
  readonly id: string
}

export function rcptTransaction(
  message: MessageFacts,
  recipient: Address,
  recipientsBefore: number,
): RcptTransaction {
  const { client, sender, declaredSize: size, id } = message
  const tx = {
    phase: 'RCPT',
    front: 'milter',
    client,
    sender,
    recipient,
    recipientsBefore,
    message: id,
  } as const
  return size === undefined ? tx : { ...tx, size }
}

export function dataTransaction(
  { client, sender }: MessageFacts,
  recipients: readonly AcceptedRecipient[] | undefined,
): DataTransaction {
  return { phase: 'DATA', front: 'milter', client, sender, recipients }
}

/** What the end of a message, or of its header, tells about it. */
export interface Ending {
  /** In octets, as far as counted. */
  readonly size: number
  /** What the message says, as far as it is here; not there if it goes to no list. */
  readonly reading?: MessageReading
  /** How many lists it goes to, where all of its recipients were judged. */
  readonly lists?: number
}

export function endOfMessageTransaction(
  { client, sender }: MessageFacts,
  recipient: Address,
  { size, reading, lists }: Ending,
  about: { readonly settledAtRcpt: boolean; readonly afterAcceptance: boolean },
): EndOfMessageTransaction {
  return {
    phase: 'END-OF-MESSAGE',
    front: 'milter',
    client,
    sender,
    recipient,
    size,
    ...about,
    ...reading,
    ...(lists !== undefined && { lists }),
  }
}

/** Reasons by which the end of a message adds nothing to RCPT's verdict. */
const NOTHING_TO_ADD: ReadonlySet<Reason> = new Set<Reason>([
  'nothing-to-object',
  'service-address',
  'admitted-before',
])

/**
 * The verdict on a recipient after the end of the message was judged: its own, unless it only says that there is nothing
 * to add to RCPT's. What RCPT drops waits for nobody.
 */
export function overall(atRcpt: Verdict, atEnd: Verdict): Verdict {
  if (atRcpt.kind === 'later') return atEnd
  if (atEnd.kind === 'hold') return atRcpt.kind === 'discard' ? atRcpt : atEnd
  return atEnd.kind === 'accept' && NOTHING_TO_ADD.has(atEnd.reason) ? atRcpt : atEnd
}

/** Refuses with one reply. */
export function refuse(reply: Reply): Answer {
  return { kind: 'refuse', refusal: [reply] }
}

/** The answer before the end of the message: there a refusal is the only thing to say. */
export function answerTo(verdict: Verdict): Answer {
  switch (verdict.kind) {
    case 'reject':
    case 'defer':
      return refuse(verdict.reply)
    case 'accept':
    case 'hold':
    case 'discard':
    case 'later':
    case 'none':
      return CONTINUE
  }
}
