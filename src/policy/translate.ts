/**
 * Between the policy protocol and the law: which question a request asks (protocol_state, SMTPD_POLICY_README), and
 * what a verdict is as an access(5) action.
 */
import {
  type Address,
  internalForwardPath,
  internalReversePath,
  NULL_SENDER,
  type ReversePath,
} from '../core/address.ts'
import { type IpAddress, parseIpAddress } from '../core/network.ts'
import type {
  AcceptedRecipient,
  Client,
  DataTransaction,
  EndOfMessageTransaction,
  Phase,
  RcptTransaction,
  Transaction,
} from '../core/transaction.ts'
import type { Verdict, VerdictKind } from '../core/verdict.ts'
import { type Action, DUNNO, refusal } from './action.ts'
import type { AttributeName } from './attributes.ts'
import type { Collected } from './messages.ts'

/**
 * The states in which Postfix asks, and the phase whose rules answer. BDAT is reported as DATA. VRFY asks by its
 * nature what RCPT with the null sender asks: whether the recipient exists. ETRN is about no mail of ours.
 */
export const PHASE_OF_STATE = {
  CONNECT: 'CONNECT',
  // After XCLIENT, Postfix tells of the client that it now stands for.
  XCLIENT: 'CONNECT',
  EHLO: 'EHLO',
  HELO: 'EHLO',
  MAIL: 'MAIL',
  RCPT: 'RCPT',
  VRFY: 'RCPT',
  DATA: 'DATA',
  'END-OF-MESSAGE': 'END-OF-MESSAGE',
  ETRN: undefined,
} as const satisfies Record<string, Phase | undefined>

/** A request's attributes by name, as the codec reads them. */
export interface Attributes {
  get(name: AttributeName): string | undefined
}

function clientOf(request: Attributes): Client {
  const client: { -readonly [K in keyof Client]: Client[K] } = {}
  const address = parseIpAddress(request.get('client_address') ?? '')
  if (address.ok) client.ip = address.value satisfies IpAddress
  const name = request.get('client_name')
  if (name && name !== 'unknown') client.name = name
  const helo = request.get('helo_name')
  if (helo) client.helo = helo
  const user = request.get('sasl_username')
  if (user) client.user = user
  return client
}

function senderOf(request: Attributes): ReversePath {
  return internalReversePath(request.get('sender') ?? '')
}

function recipientOf(request: Attributes): Address | undefined {
  const recipient = internalForwardPath(request.get('recipient') ?? '')
  return recipient.ok ? recipient.value : undefined
}

/** A count or a size; `undefined` if it is 0, which says that there is none, or not a number. */
function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return undefined
  return Number(text) || undefined
}

function rcptOf(request: Attributes, collected: Collected): RcptTransaction | undefined {
  const recipient = recipientOf(request)
  if (recipient === undefined) return undefined
  const client = clientOf(request)
  if (request.get('protocol_state') === 'VRFY') {
    return { front: 'policy', phase: 'RCPT', client, sender: NULL_SENDER, recipient, recipientsBefore: 0 }
  }
  const size = numberOf(request.get('size'))
  const message = request.get('instance')
  return {
    front: 'policy',
    phase: 'RCPT',
    client,
    sender: senderOf(request),
    recipient,
    recipientsBefore: collected.before(recipient.key),
    ...(size === undefined ? {} : { size }),
    ...(message ? { message } : {}),
  }
}

/**
 * All recipients of the message, if they are known for certain: Postfix names a recipient after RCPT if it is the only
 * one, and says otherwise how many there are. If that is not how many were accepted here, some recipient was
 * accepted without a question or refused by somebody else.
 */
function allRecipients(request: Attributes, collected: Collected): readonly AcceptedRecipient[] | undefined {
  const count = numberOf(request.get('recipient_count'))
  if (request.get('recipient')) {
    const only = recipientOf(request)
    const found = only === undefined ? undefined : collected.find(only.key)
    return found === undefined || (count ?? 1) !== 1 ? undefined : [found]
  }
  const { recipients } = collected
  return count === recipients.length ? recipients : undefined
}

function dataOf(request: Attributes, collected: Collected): DataTransaction {
  return {
    front: 'policy',
    phase: 'DATA',
    client: clientOf(request),
    sender: senderOf(request),
    recipients: allRecipients(request, collected),
  }
}

/** The only recipient of the message, where that is known. */
function onlyRecipient(request: Attributes, collected: Collected): Address | undefined {
  if (request.get('recipient')) {
    return (numberOf(request.get('recipient_count')) ?? 1) === 1 ? recipientOf(request) : undefined
  }
  const recipients = allRecipients(request, collected)
  return recipients?.length === 1 ? recipients[0]?.recipient : undefined
}

/**
 * There is one answer for all recipients, so a message with one recipient is judged at its end for that recipient, and
 * one with several as at DATA: BDAT may have skipped DATA (it does in Exim), and the null sender must not slip through.
 * Authors are not seen here; what RCPT left to them is settled by the sink.
 */
function endOfMessageOf(
  request: Attributes,
  collected: Collected,
): EndOfMessageTransaction | DataTransaction {
  const recipient = onlyRecipient(request, collected)
  if (recipient === undefined) return dataOf(request, collected)
  return {
    front: 'policy',
    phase: 'END-OF-MESSAGE',
    client: clientOf(request),
    sender: senderOf(request),
    recipient,
    size: numberOf(request.get('size')) ?? 0,
    settledAtRcpt: true,
    afterAcceptance: false,
  }
}

/**
 * The question that a request asks, given what is known of its message. None if it asks nothing that is ours to
 * answer: a state that is not known, ETRN, a recipient without a domain.
 */
export function transactionOf(request: Attributes, collected: Collected): Transaction | undefined {
  const state = request.get('protocol_state') ?? ''
  const phase = Object.hasOwn(PHASE_OF_STATE, state)
    ? PHASE_OF_STATE[state as keyof typeof PHASE_OF_STATE]
    : undefined
  switch (phase) {
    case undefined:
      return undefined
    case 'CONNECT':
    case 'EHLO':
      return { front: 'policy', phase, client: clientOf(request) }
    case 'MAIL':
      return { front: 'policy', phase, client: clientOf(request), sender: senderOf(request) }
    case 'RCPT':
      return rcptOf(request, collected)
    case 'DATA':
      return dataOf(request, collected)
    case 'END-OF-MESSAGE':
      return endOfMessageOf(request, collected)
  }
}

/**
 * How much of a verdict an action can say:
 *
 * - `exact`: all of it.
 * - `widened`: there is a word (HOLD, DISCARD), and Postfix would do it to the whole message, all other recipients
 *   included, and not where the list's moderators look. The answer is DUNNO, and the sink does it.
 * - `impossible`: there is no word. The answer is DUNNO, and the sink settles it.
 */
export type Fidelity = 'exact' | 'widened' | 'impossible'

const everywhere = (fidelity: Fidelity): Readonly<Record<Phase, Fidelity>> => ({
  CONNECT: fidelity,
  EHLO: fidelity,
  MAIL: fidelity,
  RCPT: fidelity,
  DATA: fidelity,
  'END-OF-MESSAGE': fidelity,
})

/** What this front can say of each kind of verdict in each phase. */
export const FIDELITY: Readonly<Record<VerdictKind, Readonly<Record<Phase, Fidelity>>>> = {
  accept: everywhere('exact'),
  none: everywhere('exact'),
  reject: everywhere('exact'),
  defer: everywhere('exact'),
  hold: everywhere('widened'),
  discard: everywhere('widened'),
  later: everywhere('impossible'),
}

/** The action for a verdict. Never `OK`: it would keep the MTA from asking others. */
export function actionOf(verdict: Verdict): Action {
  switch (verdict.kind) {
    case 'reject':
    case 'defer':
      return refusal(verdict.reply)
    case 'accept':
    case 'hold':
    case 'discard':
    case 'later':
    case 'none':
      return DUNNO
  }
}
