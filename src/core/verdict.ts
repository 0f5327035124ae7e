/**
 * Verdicts: what the law says of a transaction. Every front translates the same seven kinds into its own
 * protocol.
 */
import type { Reason } from './reason.ts'
import type { Reply } from './reply.ts'
import type { ListAddress } from './transaction.ts'

interface Grounds {
  readonly reason: Reason
  /** The rule that settled it. */
  readonly rule: string
  /** The list it is about, where there is one. */
  readonly list?: ListAddress
  /** The service, if the recipient is a service address of the list. */
  readonly service?: string
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
