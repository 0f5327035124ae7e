/**
 * Between LMTP and the law: a session's state becomes the transactions that the gate judges, and its verdicts become
 * replies and, at the end of the message, each recipient's fate.
 */
import type { MessageReading } from '../app/message-reader.ts'
import type { Address, ReversePath } from '../core/address.ts'
import type { Reason } from '../core/reason.ts'
import type { Reply } from '../core/reply.ts'
import type {
  Client,
  EndOfMessageTransaction,
  MailTransaction,
  RcptTransaction,
} from '../core/transaction.ts'
import type { Verdict, VerdictKind } from '../core/verdict.ts'
import type { Door } from './door.ts'
import { REPLIES } from './replies.ts'

/**
 * The phases that LMTP asks at: MAIL at the callout door, the end of a message at the delivery door, RCPT at both. LHLO
 * tells of the MTA, which is ours and is not judged, and at DATA nobody is to be refused any more.
 */
export const ASKED_PHASES = ['MAIL', 'RCPT', 'END-OF-MESSAGE'] as const
export type AskedPhase = (typeof ASKED_PHASES)[number]

/**
 * What becomes of a verdict. `go-on`: nothing is objected, the phase's own answer is given. `own-reply`: the verdict's
 * reply is the answer. `not-ours`: a recipient that the mail server should not have sent here. `hold`, `drop`: the
 * message is taken for this recipient, and kept for a moderator or not at all.
 */
export type Treatment = 'go-on' | 'own-reply' | 'not-ours' | 'hold' | 'drop'

/**
 * Every verdict at every phase. All seven can be said exactly: LMTP answers each recipient apart, and what it takes it
 * keeps itself. The law gives no hold, discard or later before RCPT, and no later at the end.
 */
export const TREATMENTS: {
  readonly [K in VerdictKind]: { readonly [P in AskedPhase]: Treatment }
} = {
  accept: { MAIL: 'go-on', RCPT: 'own-reply', 'END-OF-MESSAGE': 'go-on' },
  hold: { MAIL: 'go-on', RCPT: 'own-reply', 'END-OF-MESSAGE': 'hold' },
  discard: { MAIL: 'go-on', RCPT: 'own-reply', 'END-OF-MESSAGE': 'drop' },
  later: { MAIL: 'go-on', RCPT: 'own-reply', 'END-OF-MESSAGE': 'hold' },
  reject: { MAIL: 'own-reply', RCPT: 'own-reply', 'END-OF-MESSAGE': 'own-reply' },
  defer: { MAIL: 'own-reply', RCPT: 'own-reply', 'END-OF-MESSAGE': 'own-reply' },
  none: { MAIL: 'go-on', RCPT: 'not-ours', 'END-OF-MESSAGE': 'not-ours' },
}

/** The verdict that took a recipient in at RCPT. */
export type AcceptingVerdict = Extract<Verdict, { kind: 'accept' | 'hold' | 'discard' | 'later' }>

/** A recipient that RCPT took in, with the verdict that did. */
export interface AcceptedAtRcpt {
  readonly recipient: Address
  readonly verdict: AcceptingVerdict
}

/** What a session knows of a message beside its bytes. */
export interface Mail {
  readonly client: Client
  readonly sender: ReversePath
  /** SIZE= of MAIL. */
  readonly declaredSize: number | undefined
  readonly recipients: readonly AcceptedAtRcpt[]
}

export function mailTransaction(client: Client, sender: ReversePath): MailTransaction {
  return { phase: 'MAIL', front: 'lmtp', client, sender }
}

/** No `message`: posts are counted where the client's own MTA asks, not in the sink. */
export function rcptTransaction(mail: Mail, recipient: Address, door: Door): RcptTransaction {
  const { client, sender, declaredSize } = mail
  return {
    phase: 'RCPT',
    front: 'lmtp',
    client,
    sender,
    recipient,
    recipientsBefore: mail.recipients.length,
    // SIZE=0 is said by clients that do not know.
    ...(declaredSize !== undefined && declaredSize > 0 && { size: declaredSize }),
    ...(door === 'delivery' && { afterAcceptance: true }),
  }
}

/** How many lists a message goes to. */
export function listsOf({ recipients }: Mail): number {
  const lists = recipients.flatMap(({ verdict: { list, service } }) =>
    list === undefined || service !== undefined ? [] : [list],
  )
  return new Set(lists).size
}

/** `reading` is what the message says; service addresses need none. The authors count where RCPT left it to them. */
export function endOfMessageTransaction(
  mail: Mail,
  { recipient, verdict }: AcceptedAtRcpt,
  size: number,
  reading: MessageReading | undefined,
): EndOfMessageTransaction {
  const settledAtRcpt = verdict.kind !== 'later'
  return {
    phase: 'END-OF-MESSAGE',
    front: 'lmtp',
    client: mail.client,
    sender: mail.sender,
    recipient,
    size,
    settledAtRcpt,
    ...reading,
    lists: listsOf(mail),
    afterAcceptance: true,
  }
}

/** Mail that should not have come here waits until the mail server's configuration is put right. */
function notOurs(verdict: Verdict, door: Door): Reply {
  if (door === 'delivery') return REPLIES.misrouted
  return verdict.reason === 'postmaster' ? REPLIES.postmaster : REPLIES.recipientElsewhere
}

/** The reply to MAIL or RCPT; `undefined` where nothing is objected and the phase's own answer is due. */
export function replyTo(
  phase: Exclude<AskedPhase, 'END-OF-MESSAGE'>,
  verdict: Verdict,
  door: Door,
): Reply | undefined {
  const treatment = TREATMENTS[verdict.kind][phase]
  if (treatment === 'not-ours') return notOurs(verdict, door)
  return treatment === 'own-reply' && verdict.kind !== 'none' ? verdict.reply : undefined
}

/** Whether a recipient with this verdict at RCPT is taken in. */
export function isAccepting(verdict: Verdict): verdict is AcceptingVerdict {
  switch (verdict.kind) {
    case 'accept':
    case 'hold':
    case 'discard':
    case 'later':
      return true
    case 'reject':
    case 'defer':
    case 'none':
      return false
  }
}

/** What becomes of one recipient's copy. */
export type Fate =
  | { readonly kind: 'refuse'; readonly reply: Reply }
  | { readonly kind: 'keep'; readonly disposition: 'deliver' | 'hold' }
  | { readonly kind: 'drop' }

const HOLD: Fate = { kind: 'keep', disposition: 'hold' }
const DELIVER: Fate = { kind: 'keep', disposition: 'deliver' }
const DROP: Fate = { kind: 'drop' }

const FATE_AT_RCPT: { readonly [K in AcceptingVerdict['kind']]: Fate } = {
  accept: DELIVER,
  hold: HOLD,
  discard: DROP,
  // The end of the message settles what was left for later; if it has not, a moderator may.
  later: HOLD,
}

/** What the end of the message says where it has nothing to add to RCPT's verdict. */
const NOTHING_TO_ADD: ReadonlySet<Reason> = new Set<Reason>(['nothing-to-object', 'service-address'])

/**
 * The fate of a recipient, from the verdicts at RCPT and at the end of the message. Where the end of the message has
 * nothing to object, RCPT's verdict stands; and what RCPT drops waits for nobody.
 */
export function fateOf(atRcpt: AcceptingVerdict, atEnd: Verdict): Fate {
  switch (TREATMENTS[atEnd.kind]['END-OF-MESSAGE']) {
    case 'hold':
      return atRcpt.kind === 'discard' ? DROP : HOLD
    case 'drop':
      return DROP
    case 'not-ours':
      return { kind: 'refuse', reply: REPLIES.misrouted }
    case 'own-reply':
      return { kind: 'refuse', reply: atEnd.kind === 'none' ? REPLIES.misrouted : atEnd.reply }
    case 'go-on':
      if (atEnd.reason === 'admitted-before' && atRcpt.kind !== 'later') return FATE_AT_RCPT[atRcpt.kind]
      return NOTHING_TO_ADD.has(atEnd.reason) ? FATE_AT_RCPT[atRcpt.kind] : DELIVER
  }
}
