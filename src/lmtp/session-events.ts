/**
 * The words between a session and whoever drives it: what it is told, and what it wants done.
 */
import type { Reply } from '../core/reply.ts'
import type { MailTransaction, RcptTransaction } from '../core/transaction.ts'
import type { Verdict } from '../core/verdict.ts'
import type { Incoming } from './codec.ts'
import type { Offer } from './replies.ts'
import type { Mail } from './translate.ts'

export interface SessionSettings extends Offer {
  /** RCPT commands of one transaction that are looked at. */
  readonly maxRecipients: number
}

/** A message that has come to its end. */
export interface CompleteMail extends Mail {
  /** In octets, as counted. */
  readonly size: number
  /** Whether its bytes are here: not if it is larger than what is taken. */
  readonly kept: boolean
  readonly smtputf8: boolean
  /** What the MTA called itself at LHLO. */
  readonly mtaName: string
  /** What the MTA calls the message, where it said so. */
  readonly queueId: string | undefined
}

/** Why a session ends from our side. */
export type EndReason = 'shutdown' | 'idle' | 'data-too-slow' | 'fault'

export type SessionEvent =
  | Incoming
  | { readonly kind: 'connected' }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  /** The replies to a settled message: one for each of its recipients, in order. */
  | { readonly kind: 'settled'; readonly replies: readonly Reply[] }
  | { readonly kind: 'end'; readonly reason: EndReason }

export type AskedTransaction = MailTransaction | RcptTransaction

export type Effect =
  /** One reply with its line ends, to be sent in order. */
  | { readonly kind: 'reply'; readonly text: string }
  | { readonly kind: 'ask'; readonly tx: AskedTransaction; readonly queueId: string | undefined }
  | { readonly kind: 'begin-message' }
  | { readonly kind: 'append'; readonly data: readonly Uint8Array[] }
  /** What was kept of the message so far is not needed. */
  | { readonly kind: 'drop-message' }
  | { readonly kind: 'settle'; readonly mail: CompleteMail }
  | { readonly kind: 'close' }

/** What the session is ready for. */
export type Wanted = 'line' | 'data' | 'answer' | 'nothing'
