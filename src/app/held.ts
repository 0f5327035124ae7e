/**
 * Messages that wait for a moderator: what is known of one, and the queue that keeps them, as a port.
 *
 * Several processes use one queue at once: the sink puts messages in, commands and the daemon take them out. Whoever
 * wants to do something with a message claims it first; a claim is had by one at a time, and that of a process that has
 * died can be taken over.
 */
import type { Address } from '../core/address.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { DeliveryRecipient, Envelope, HoldGrounds, Message } from './message.ts'

/** Everything that is kept with a held message. */
export interface HeldPost {
  readonly envelope: Envelope
  readonly to: Pick<DeliveryRecipient, 'recipient' | 'list' | 'service'>
  readonly grounds: HoldGrounds
  /** Milliseconds since the epoch. */
  readonly heldAt: number
  /** Of the message, in octets. */
  readonly size: number
  readonly summary: HeldSummary
}

/** What a moderator sees of a message at a glance. Decoded, bounded, and without control characters. */
export interface HeldSummary {
  readonly subject: string
  /** The From: field with its names. */
  readonly author: string
  /** The mailboxes of From:, where they can be read; at most a few. */
  readonly authors: readonly Address[]
  /** With its angle brackets; empty if there is none that can be repeated. */
  readonly messageId: string
  /** A machine has written it (RFC 3834), or it is bulk mail: nobody answers it. */
  readonly automatic: boolean
}

/** What a claim is made for. `allow` is `accept`, and lets the sender post from now on. */
export const CLAIM_PURPOSES = ['accept', 'allow', 'reject'] as const
export type ClaimPurpose = (typeof CLAIM_PURPOSES)[number]

/** How a held message stands: it waits, or somebody has decided and is at it. */
export type HeldState = 'waiting' | ClaimPurpose

/** A file of the queue. */
export type HeldEntry =
  | { readonly kind: 'held'; readonly id: string; readonly state: HeldState; readonly post: HeldPost }
  /** Cannot be understood. It is left where it is. */
  | { readonly kind: 'damaged'; readonly id: string; readonly path: string; readonly problem: string }

/** A held message in one's own hands. One of `finish` and `release` ends it. */
export interface HeldClaim {
  readonly id: string
  readonly purpose: ClaimPurpose
  readonly post: HeldPost
  readonly message: Message
  /** What was noted on the way to a delivery, and which delivery that was. */
  readonly noted: { readonly delivery: string; readonly text: string } | undefined
  /** Whether something is noted now: then the message is as good as handed on, and never waits again. */
  readonly isNoted: boolean
  /** Keeps a note. @throws NotNoted */
  note(delivery: string, text: string): Promise<void>
  /** Takes the message out of the queue for good. */
  finish(): Promise<void>
  /** Lets the message wait again; one of which something is noted stays claimed, for the next try. */
  release(): Promise<void>
  /** Lets go of what is open, and leaves the message as it is: the claim can be taken over. */
  abandon(): Promise<void>
}

/** Why a message cannot be claimed. */
export type NotClaimed =
  | { readonly kind: 'unknown' }
  /** Somebody else is at it. */
  | { readonly kind: 'busy' }
  | { readonly kind: 'damaged'; readonly path: string; readonly problem: string }

/** A list has as many messages waiting as it may. */
export class HeldQueueFull extends Error {
  readonly code = 'POSTERN_HELD_FULL'
  override readonly name = 'HeldQueueFull'
}

/** The queue. Its methods reject with what the file system says. */
export interface HeldQueue {
  /**
   * Keeps a message, whole and durable, and gives its name: a short word that is its own.
   * @throws HeldQueueFull
   */
  hold(envelope: Envelope, message: Message, to: DeliveryRecipient): Promise<string>
  /** What is there, by list and then by time, of all lists or of one. */
  entries(list?: ListAddress): AsyncIterable<HeldEntry>
  /** Finds one by its name. */
  find(id: string): Promise<HeldEntry | undefined>
  /** The message, for a look at it; undefined if it has gone. */
  message(id: string): Promise<OpenMessage | undefined>
  /** Claims a message that waits, or one that a process which has died had claimed for whatever purpose. */
  claim(id: string, purpose: ClaimPurpose): Promise<HeldClaim | NotClaimed>
  /** Drops a message that waits. */
  discard(id: string): Promise<'discarded' | Exclude<NotClaimed['kind'], 'damaged'>>
  /** Takes over, one by one, what processes have claimed that have died since; each for what it was claimed for. */
  abandoned(): AsyncIterable<HeldClaim>
  /** Names of messages that have been waiting since before a time, in milliseconds since the epoch. */
  waitingSince(before: number): AsyncIterable<string>
  /** Clears away what processes that have died were writing: nobody was told that it was kept. */
  clean(): Promise<void>
}

/** A message that is open to be read. */
export interface OpenMessage {
  readonly message: Message
  close(): Promise<void>
}

/** Whether a claim was had. */
export function isClaim(result: HeldClaim | NotClaimed): result is HeldClaim {
  return 'purpose' in result
}
