/** An accepted message's way from the queue to its list's delivery, and what comes of it. */

import { chosenDelivery } from '../../core/chosen-delivery.ts'
import type { ListSettings } from '../../core/list.ts'
import type { Reply } from '../../core/reply.ts'
import type { ListAddress } from '../../core/transaction.ts'
import { done, type Outcome, refused } from '../administration/problem.ts'
import type { HeldClaim } from '../held.ts'
import type { Delivery, DeliveryOutcome, DeliveryRecipient } from '../message.ts'
import type { Directory } from '../ports.ts'

/** The delivery of a name, or the site's for none. */
export type DeliveryFor = (name: string | undefined) => Delivery | undefined

export type HandedOn =
  | { readonly kind: 'delivered'; readonly delivery: string; readonly reply?: Reply }
  /** Whoever the mail was handed to has refused it: the message waits again. */
  | { readonly kind: 'refused'; readonly delivery: string; readonly reply: Reply }
  /** The message waits again, or `isAccepted` and it will be tried again. */
  | { readonly kind: 'failed'; readonly cause: unknown; readonly isAccepted: boolean }

export interface HandOnParts {
  readonly directory: Directory
  readonly deliveryFor: DeliveryFor
}

/** A list's settings, which have to be there and in order. */
export async function settingsOf(directory: Directory, list: ListAddress): Promise<Outcome<ListSettings>> {
  const record = await directory.getList(list)
  if (record === undefined) return refused('list-unknown', `there is no list ${list}`)
  return record.settings.ok
    ? done(record.settings.value)
    : refused('list-unreadable', `the settings of ${list} cannot be understood: ${record.settings.problem}`)
}

/** The name of the delivery that a list's mail goes to; undefined is the site's. */
async function deliveryName(
  directory: Directory,
  list: ListAddress,
  settings: ListSettings,
): Promise<string | undefined> {
  const at = list.lastIndexOf('@')
  const domain = await directory.getDomain(list.slice(at + 1) as Parameters<Directory['getDomain']>[0])
  return chosenDelivery(settings, domain)?.name
}

async function deliver(delivery: Delivery, claim: HeldClaim): Promise<DeliveryOutcome> {
  const { id, post, message } = claim
  const { envelope, to } = post
  const recipient: DeliveryRecipient = { ...to, disposition: 'deliver' }
  if (delivery.deliverOnce !== undefined) {
    return delivery.deliverOnce(envelope, message, recipient, {
      key: id,
      noted: claim.noted?.text,
      note: text => claim.note(delivery.name, text),
    })
  }
  const [outcome] = await delivery.deliver(envelope, message, [recipient])
  return outcome ?? { kind: 'failed', cause: new Error(`${delivery.name} says nothing of the copy`) }
}

/** What the delivery makes of it. */
async function tried(
  { directory, deliveryFor }: HandOnParts,
  claim: HeldClaim,
  settings: ListSettings | undefined,
): Promise<{ readonly delivery: string; readonly outcome: DeliveryOutcome }> {
  try {
    // What was noted is that delivery's, whatever the list has chosen since.
    const chosen = settings && (await deliveryName(directory, claim.post.to.list, settings))
    const name = claim.noted?.delivery ?? chosen
    const delivery = deliveryFor(name)
    if (delivery === undefined) throw new Error(`the configuration has no delivery ${name ?? ''}`)
    return { delivery: delivery.name, outcome: await deliver(delivery, claim) }
  } catch (cause) {
    return { delivery: '', outcome: { kind: 'failed', cause } }
  }
}

/**
 * Hands a claimed message on, and ends the claim. `settings` are needed where nothing was noted. Rejects if the claim
 * cannot be ended; the next try then finds it.
 */
export async function handOn(
  parts: HandOnParts,
  claim: HeldClaim,
  settings: ListSettings | undefined,
): Promise<HandedOn> {
  const { delivery, outcome } = await tried(parts, claim, settings)
  switch (outcome.kind) {
    case 'delivered': {
      const { reply } = outcome
      await claim.finish()
      return { kind: 'delivered', delivery, ...(reply !== undefined && { reply }) }
    }
    case 'refused':
      await claim.release()
      return { kind: 'refused', delivery, reply: outcome.reply }
    case 'failed': {
      const { isNoted } = claim
      await claim.release()
      return { kind: 'failed', cause: outcome.cause, isAccepted: isNoted }
    }
  }
}
