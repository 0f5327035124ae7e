/**
 * What an MTA has told us so far, normalised: one type for each phase of the SMTP dialogue, each with the fields
 * that are known there and no others. Phase names are Postfix's `protocol_state` words.
 */
import type { Address, AddressKey, ReversePath } from './address.ts'
import type { MessageContent } from './content.ts'
import type { IpAddress } from './network.ts'

/** The phases, in their order. */
export const PHASES = ['CONNECT', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'END-OF-MESSAGE'] as const
export type Phase = (typeof PHASES)[number]

/** The protocols spoken to MTAs, and the command line's `ask`. */
export type Front = 'policy' | 'milter' | 'lmtp' | 'cli'

/** The connecting host, as the MTA sees it. An absent field is unknown, which is not the same as empty. */
export interface Client {
  readonly ip?: IpAddress
  /** The host name that forward and reverse DNS agree on. */
  readonly name?: string
  /** What the host calls itself: proof of nothing. */
  readonly helo?: string
  /** The SASL login. */
  readonly user?: string
}

interface Situation {
  readonly front: Front
  readonly client: Client
}

export interface ConnectTransaction extends Situation {
  readonly phase: 'CONNECT'
}

export interface EhloTransaction extends Situation {
  readonly phase: 'EHLO'
}

export interface MailTransaction extends Situation {
  readonly phase: 'MAIL'
  readonly sender: ReversePath
}

export interface RcptTransaction extends Situation {
  readonly phase: 'RCPT'
  readonly sender: ReversePath
  readonly recipient: Address
  /** Other recipients of this message that were accepted before. */
  readonly recipientsBefore: number
  /** SIZE= of MAIL in octets, where the client declared one. */
  readonly size?: number
  /**
   * Names the message among all that are on their way, so that a repeated question is not counted twice. Absent
   * where posts are not counted: in the sink, whose mail the MTA has taken already.
   */
  readonly message?: string
  /** Whether an MTA has taken responsibility already, so that a refusal would become a bounce. */
  readonly afterAcceptance?: boolean
}

/** A recipient that was accepted at RCPT, and what it was found to be. */
export interface AcceptedRecipient {
  readonly recipient: Address
  readonly kind: 'posting' | 'service' | 'elsewhere'
}

export interface DataTransaction extends Situation {
  readonly phase: 'DATA'
  readonly sender: ReversePath
  /** Every recipient accepted so far; `undefined` if the front does not know them all. */
  readonly recipients: readonly AcceptedRecipient[] | undefined
}

/** Who the message's header says wrote it (RFC 5322 §3.6.2). */
export interface Authorship {
  /** The mailboxes of From:. */
  readonly from: readonly Address[]
  /** Those of From:, Sender: and Reply-To:. */
  readonly all: readonly Address[]
}

/** The whole message is here. Judged for one recipient at a time. */
export interface EndOfMessageTransaction extends Situation {
  readonly phase: 'END-OF-MESSAGE'
  readonly sender: ReversePath
  readonly recipient: Address
  /** In octets, as counted. */
  readonly size: number
  /** Whether RCPT settled who may post; what it left for later is settled now. */
  readonly settledAtRcpt: boolean
  readonly authorship?: Authorship
  /** What the message holds; absent if the front has not seen it. */
  readonly content?: MessageContent
  /** How many lists the message goes to, where the front knows all of its recipients. */
  readonly lists?: number
  /** Whether an MTA has taken responsibility already, so that a refusal would become a bounce. */
  readonly afterAcceptance: boolean
}

export type Transaction =
  | ConnectTransaction
  | EhloTransaction
  | MailTransaction
  | RcptTransaction
  | DataTransaction
  | EndOfMessageTransaction

/** The list's posting address, in canonical form: what a list is called everywhere. */
export type ListAddress = AddressKey
