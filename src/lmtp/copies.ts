/**
 * Copies of a message on their way to a delivery, and what became of each. What a next hop refuses for good would become
 * a bounce; where the return path is not known to be the sender's, the copy is held or dropped in its place.
 */
import type { Delivery, DeliveryOutcome, DeliveryRecipient, Envelope, Message } from '../app/message.ts'
import type { Reply } from '../core/reply.ts'
import type { ListAddress } from '../core/transaction.ts'

/** One recipient's copy that is to be kept, and its place among all recipients. */
export interface Copy {
  readonly place: number
  readonly to: DeliveryRecipient
  /** What becomes of it if the next hop refuses it; `undefined` if a refusal may be sent. */
  readonly lateRefusal: 'hold' | 'discard' | undefined
}

/** What became of one recipient's copy. `insteadOf` is the refusal in whose place it was held or dropped at last. */
export type Outcome =
  | {
      readonly kind: 'refused'
      readonly reply: Reply
      readonly list: ListAddress | undefined
      /** The delivery that was told so by the next hop, where it was not the law, and what went wrong there. */
      readonly delivery?: string
      readonly cause?: unknown
    }
  | { readonly kind: 'discarded'; readonly list: ListAddress | undefined; readonly insteadOf?: Reply }
  | {
      readonly kind: 'delivered' | 'held'
      readonly list: ListAddress
      readonly delivery: string
      readonly reply: Reply | undefined
      readonly insteadOf?: Reply
    }
  | {
      readonly kind: 'failed'
      readonly list?: ListAddress
      readonly delivery?: string
      readonly cause: unknown
    }

async function deliverAll(
  delivery: Delivery,
  envelope: Envelope,
  message: Message,
  recipients: readonly DeliveryRecipient[],
): Promise<readonly DeliveryOutcome[]> {
  const failed = (cause: unknown): readonly DeliveryOutcome[] =>
    recipients.map(() => ({ kind: 'failed', cause }))
  try {
    const outcomes = await delivery.deliver(envelope, message, recipients)
    if (outcomes.length === recipients.length) return outcomes
    return failed(
      new Error(`${delivery.name} told the fate of ${outcomes.length} copies of ${recipients.length}`),
    )
  } catch (error) {
    return failed(error)
  }
}

function outcomeOf(
  delivered: DeliveryOutcome | undefined,
  { list, disposition }: DeliveryRecipient,
  { name }: Delivery,
): Outcome {
  switch (delivered?.kind) {
    case 'delivered':
      return {
        kind: disposition === 'hold' ? 'held' : 'delivered',
        list,
        delivery: name,
        reply: delivered.reply,
      }
    case 'refused':
      return { ...delivered, list, delivery: name }
    case 'failed':
    case undefined:
      return { kind: 'failed', list, delivery: name, cause: delivered?.cause }
  }
}

/** The copy that is held in place of one that the next hop has refused. */
function heldInPlace(to: DeliveryRecipient): DeliveryRecipient {
  const grounds = { reason: 'late-refusal-held', rule: 'next-hop', returnPath: 'unproven' } as const
  return { ...to, disposition: 'hold', grounds }
}

/** A refusal that must not be sent, and could not be avoided either: the mail waits where it is. */
function waits(outcome: Outcome, list: ListAddress, delivery: string): Outcome {
  if (outcome.kind !== 'refused' || outcome.reply.code < 500) return outcome
  return { kind: 'failed', list, delivery, cause: new Error(`refused where it was to be held`) }
}

/** Delivers copies, and gives what became of each, in order. Does not reject. */
export async function deliverCopies(
  delivery: Delivery,
  envelope: Envelope,
  message: Message,
  copies: readonly Copy[],
): Promise<readonly Outcome[]> {
  const recipients = copies.map(({ to }) => to)
  const delivered = await deliverAll(delivery, envelope, message, recipients)
  const outcomes = recipients.map((to, index) => outcomeOf(delivered[index], to, delivery))
  const toHold: { readonly index: number; readonly to: DeliveryRecipient; readonly refusal: Reply }[] = []
  for (const [index, { to, lateRefusal }] of copies.entries()) {
    const outcome = outcomes[index]
    if (outcome?.kind !== 'refused' || outcome.reply.code < 500 || lateRefusal === undefined) continue
    const { list, disposition } = to
    if (disposition === 'hold') outcomes[index] = waits(outcome, list, delivery.name)
    else if (lateRefusal === 'hold') toHold.push({ index, to: heldInPlace(to), refusal: outcome.reply })
    else outcomes[index] = { kind: 'discarded', list, insteadOf: outcome.reply }
  }
  if (toHold.length === 0) return outcomes
  const again = await deliverAll(
    delivery,
    envelope,
    message,
    toHold.map(({ to }) => to),
  )
  for (const [i, { index, to, refusal }] of toHold.entries()) {
    const outcome = waits(outcomeOf(again[i], to, delivery), to.list, delivery.name)
    outcomes[index] = outcome.kind === 'held' ? { ...outcome, insteadOf: refusal } : outcome
  }
  return outcomes
}
