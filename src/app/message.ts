/**
 * A message that the sink has taken in, and the ports that carry it further. Bodies are never whole in memory.
 */
import type { Address, ReversePath } from '../core/address.ts'
import type { Reason } from '../core/reason.ts'
import type { Reply } from '../core/reply.ts'
import type { Client, ListAddress } from '../core/transaction.ts'

/** A message, kept until it is disposed of. */
export interface Message {
  /** In octets. */
  readonly size: number
  /** The bytes as received, dot-unstuffed, once for each call, in chunks. */
  read(): AsyncIterable<Uint8Array>
}

/** What the sink knows of a message beside its bytes. */
export interface Envelope {
  readonly sender: ReversePath
  readonly client: Client
  /** Names this message in the log and in its Received line. */
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  /** Whether MAIL said SMTPUTF8. */
  readonly smtputf8: boolean
  /** The MTA that handed it over, for the Received line: what it calls itself, and its address if it has one. */
  readonly mta?: { readonly name: string; readonly address?: string }
}

/** Where one recipient's copy goes. */
export interface DeliveryRecipient {
  /** The recipient as the MTA wrote it. */
  readonly recipient: Address
  readonly list: ListAddress
  /** The service, for a service address. */
  readonly service: string | undefined
  /** `hold` keeps the copy for a moderator. */
  readonly disposition: 'deliver' | 'hold'
  /** Of a copy that is held: why. */
  readonly grounds?: HoldGrounds
}

/** How far it is known that mail to the return path reaches whoever sent the message. */
export type ReturnPath = 'authenticated' | 'admitted' | 'unproven'

/** Why a copy waits for a moderator. */
export interface HoldGrounds {
  readonly reason: Reason
  /** The rule that said so. */
  readonly rule: string
  /** The refusal in whose place the copy is held, because it would be a bounce. */
  readonly inPlaceOf?: Reason
  readonly returnPath: ReturnPath
}

/** What became of one recipient's copy. `delivered` means that it will be there after a power cut. */
export type DeliveryOutcome =
  /** `reply` is what the next hop said, where there is one: a 2xx, for the log and the MTA. */
  | { readonly kind: 'delivered'; readonly reply?: Reply }
  /** Nothing was kept, and whoever the mail was handed to said so: a 4xx or 5xx, which the MTA is told. */
  | { readonly kind: 'refused'; readonly reply: Reply; readonly cause?: unknown }
  /** Nothing was kept; the MTA is told to try again. `cause` is for the log. */
  | { readonly kind: 'failed'; readonly cause: unknown }

/** Nothing was noted: the disk did not take it, or another process has taken the copy over. */
export class NotNoted extends Error {
  readonly code = 'POSTERN_NOT_NOTED'
  override readonly name = 'NotNoted'
}

/** One copy's way to a delivery, which may be tried again by another process after the first one has died. */
export interface HandOver {
  /** Names the copy: the same each time it is tried, and never another's. */
  readonly key: string
  /** What a try before has noted. */
  readonly noted: string | undefined
  /**
   * Keeps a note, durably, before the copy can be seen by anybody. If it rejects, the copy must not be handed on here.
   * @throws NotNoted if nothing was noted; after any other error it may have been
   */
  note(text: string): Promise<void>
}

/** A way to hand accepted mail on. */
export interface Delivery {
  /** Its name in the configuration and in the log. */
  readonly name: string
  /**
   * Delivers a copy for each recipient and reports each one's fate, in order. Two recipients that are the same
   * address are two copies. Does not reject: a failure is an outcome.
   */
  deliver(
    envelope: Envelope,
    message: Message,
    recipients: readonly DeliveryRecipient[],
  ): Promise<readonly DeliveryOutcome[]>
  /**
   * Delivers one copy exactly once, however often it is tried with the same hand-over, and whenever a try was cut short.
   * Not there where it cannot be known whether a try that was cut short has been taken. Does not reject.
   */
  readonly deliverOnce?:
    | ((
        envelope: Envelope,
        message: Message,
        recipient: DeliveryRecipient,
        handOver: HandOver,
      ) => Promise<DeliveryOutcome>)
    | undefined
  /** Lets go of what it keeps open, such as idle connections. What is under way is finished first. */
  close?(): Promise<void>
}
