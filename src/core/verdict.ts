/**
 * Verdicts: what the law says of a transaction. Every front translates the same seven kinds into its own
 * protocol.
 */
import type { Reason } from './reason.ts'
import type { Reply } from './reply.ts'
import type { AcceptedRecipient, ListAddress } from './transaction.ts'

interface Grounds {
  readonly reason: Reason
  /** The rule that settled it. */
  readonly rule: string
  /** The list it is about, where there is one. */
  readonly list?: ListAddress
  /** The service, if the recipient is a service address of the list. */
  readonly service?: string
  /** The name of the delivery that the list, or its domain, has chosen; absent if neither has. */
  readonly delivery?: string
  /** The list looks at the message's parts, so the body has to be read before its end is judged. */
  readonly looksAtParts?: true
  /** After acceptance: the sender was let in to the list while their client was on the line. */
  readonly admitted?: true
  /**
   * After acceptance: what becomes of the copy if it has to be refused yet, by the next hop or for its size, and the
   * return path is not known to be the sender's. Absent where a refusal may be sent.
   */
  readonly lateRefusal?: 'hold' | 'discard'
  /** After acceptance: the refusal in whose place this stands, because it would be a bounce. */
  readonly inPlaceOf?: RefuseVerdict
  /** The list is in shadow mode: whatever the verdict, nothing may be refused for its sake. */
  readonly shadow?: true
  /** In shadow mode: what would have been said. */
  readonly shadowed?: Verdict
}

/** Take it. `hold` and `discard` also take it, and differ in what the sink does. */
export interface AcceptVerdict extends Grounds {
  readonly kind: 'accept' | 'hold' | 'discard'
  readonly reply: Reply
}

/** Refuse it: for good, or for now. */
export interface RefuseVerdict extends Grounds {
  readonly kind: 'reject' | 'defer'
  readonly reply: Reply
}

/** Cannot be settled before the headers are there. */
export interface LaterVerdict extends Grounds {
  readonly kind: 'later'
  readonly reply: Reply
}

/** Not ours to judge. */
export interface NoneVerdict extends Grounds {
  readonly kind: 'none'
}

export type Verdict = AcceptVerdict | RefuseVerdict | LaterVerdict | NoneVerdict
export type VerdictKind = Verdict['kind']

/** The kinds of verdict, for tables that must know them all. */
export const VERDICT_KINDS: readonly VerdictKind[] = [
  'accept',
  'hold',
  'discard',
  'reject',
  'defer',
  'later',
  'none',
]

/**
 * What a recipient counts as once RCPT has let it through: a list in shadow mode must not be why a message is refused,
 * and so counts as none of ours.
 */
export function acceptedKind(verdict: Verdict): AcceptedRecipient['kind'] {
  if (verdict.kind === 'none' || verdict.shadow === true) return 'elsewhere'
  return verdict.service === undefined ? 'posting' : 'service'
}
