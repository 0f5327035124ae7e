/**
 * The recipients of each message that is on its way, as far as they were judged here. Postfix asks about one recipient
 * at a time and names none of them at DATA if there are several; what ties the questions of one message together is
 * `instance`. Postfix asks them on one connection, Exim each on a new one, so the messages of all connections are kept
 * together.
 *
 * Bounded in count and in time, oldest out first. What has been forgotten is not known, and is never guessed.
 */
import type { Clock } from '../app/ports.ts'
import type { Address, AddressKey } from '../core/address.ts'
import type { AcceptedRecipient } from '../core/transaction.ts'
import { acceptedKind, type Verdict } from '../core/verdict.ts'

declare const messageKeyBrand: unique symbol

/** What a message goes by: its instance and its client's address, as sent. */
export type MessageKey = string & { readonly [messageKeyBrand]: true }

/** The key of a message; `undefined` outside a mail transaction, where instance is empty. */
export function messageKey(instance: string | undefined, client: string | undefined): MessageKey | undefined {
  return instance ? (`${instance} ${client ?? ''}` as MessageKey) : undefined
}

/** How much is kept. */
export interface MessageLimits {
  readonly messages: number
  /** Recipients of all messages together. */
  readonly recipients: number
  /** Recipients of one message. */
  readonly recipientsOfOne: number
  /** For so many milliseconds after the last recipient was judged. */
  readonly age: number
}

export const MESSAGE_LIMITS: MessageLimits = {
  messages: 10_000,
  recipients: 100_000,
  recipientsOfOne: 10_000,
  age: 3_600_000,
}

/** What is known of one message. */
export interface Collected {
  /** How many recipients had been accepted before this one: for one that is asked about again, when it first was. */
  before(recipient: AddressKey): number
  /** A recipient that was accepted. */
  find(recipient: AddressKey): AcceptedRecipient | undefined
  /** Every recipient that was accepted, in order. */
  readonly recipients: readonly AcceptedRecipient[]
}

interface Accepted extends AcceptedRecipient {
  readonly before: number
}

class Message implements Collected {
  readonly accepted = new Map<AddressKey, Accepted>()
  lastUsed: number

  constructor(now: number) {
    this.lastUsed = now
  }

  before(recipient: AddressKey): number {
    return this.accepted.get(recipient)?.before ?? this.accepted.size
  }

  find(recipient: AddressKey): AcceptedRecipient | undefined {
    return this.accepted.get(recipient)
  }

  get recipients(): readonly AcceptedRecipient[] {
    return [...this.accepted.values()]
  }
}

/** A message of which nothing is known. */
export const NOTHING_COLLECTED: Collected = Object.freeze({
  before: () => 0,
  find: () => undefined,
  recipients: [],
})

export class Messages {
  readonly #limits: MessageLimits
  readonly #clock: Clock
  /** The one that was used last stands last. */
  readonly #messages = new Map<MessageKey, Message>()
  #recipients = 0

  constructor(clock: Clock, limits: MessageLimits = MESSAGE_LIMITS) {
    this.#clock = clock
    this.#limits = limits
  }

  /** How many messages and recipients are kept. */
  get size(): { readonly messages: number; readonly recipients: number } {
    return { messages: this.#messages.size, recipients: this.#recipients }
  }

  /** What is known of a message. */
  of(key: MessageKey | undefined): Collected {
    return (key === undefined ? undefined : this.#messages.get(key)) ?? NOTHING_COLLECTED
  }

  /**
   * Notes how a recipient was judged. The last judgement counts, as it does in the MTA when several restriction lists
   * ask: one that is refused is no recipient of the message.
   */
  judged(key: MessageKey, recipient: Address, verdict: Verdict): void {
    const message = this.#messages.get(key)
    const known = message?.accepted.get(recipient.key)
    if (verdict.kind === 'reject' || verdict.kind === 'defer') {
      if (message?.accepted.delete(recipient.key)) this.#recipients--
      return
    }
    const used = this.#use(key, message)
    if (known === undefined) {
      if (used.accepted.size >= this.#limits.recipientsOfOne) return
      this.#recipients++
    }
    used.accepted.set(recipient.key, {
      recipient,
      kind: acceptedKind(verdict),
      before: known?.before ?? used.accepted.size,
    })
    this.#evict()
  }

  /** The message is over. */
  forget(key: MessageKey): void {
    this.#recipients -= this.#messages.get(key)?.accepted.size ?? 0
    this.#messages.delete(key)
  }

  /** Makes the message the one that was used last. */
  #use(key: MessageKey, message: Message | undefined): Message {
    const now = this.#clock()
    const used = message ?? new Message(now)
    used.lastUsed = now
    this.#messages.delete(key)
    this.#messages.set(key, used)
    return used
  }

  #evict(): void {
    const expired = this.#clock() - this.#limits.age
    for (const [key, message] of this.#messages) {
      const crowded =
        this.#messages.size > this.#limits.messages || this.#recipients > this.#limits.recipients
      if (!crowded && message.lastUsed >= expired) return
      this.forget(key)
    }
  }
}
