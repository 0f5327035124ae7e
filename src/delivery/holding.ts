/**
 * The door to the queue of held messages: whatever a delivery does with what is accepted, a copy that waits for a
 * moderator goes there, and never on as if it had been accepted.
 */
import { type HeldQueue, HeldQueueFull } from '../app/held.ts'
import type { Delivery, DeliveryOutcome, DeliveryRecipient, Envelope, Message } from '../app/message.ts'
import { makeReply, type Reply } from '../core/reply.ts'

function made(code: number, enhanced: string, text: string): Reply {
  const reply = makeReply(code, enhanced, text)
  if (!reply.ok) throw new Error(`the reply ${code} ${enhanced} ${text}: ${reply.problem}`)
  return reply.value
}

/** RFC 3463 §3.3: a mailbox is full, which passes. The mail waits where it is, until a moderator has made room. */
function fullReply(list: string): Reply {
  return made(452, '4.2.2', `Too many posts to ${list} wait for a moderator; try again later`)
}

async function hold(
  queue: HeldQueue,
  envelope: Envelope,
  message: Message,
  to: DeliveryRecipient,
): Promise<DeliveryOutcome> {
  try {
    const id = await queue.hold(envelope, message, to)
    return { kind: 'delivered', reply: made(250, '2.0.0', `held as ${id}`) }
  } catch (cause) {
    return cause instanceof HeldQueueFull
      ? { kind: 'refused', reply: fullReply(to.list), cause }
      : { kind: 'failed', cause }
  }
}

/** A delivery that hands on what is accepted, and keeps what is held. */
export function withHeldQueue(delivery: Delivery, queue: HeldQueue): Delivery {
  const { deliverOnce, close } = delivery
  return {
    name: delivery.name,
    deliverOnce,
    ...(close !== undefined && { close: () => close.call(delivery) }),
    async deliver(envelope, message, recipients) {
      const outcomes: DeliveryOutcome[] = []
      const toDeliver = [...recipients.entries()].filter(([, { disposition }]) => disposition === 'deliver')
      // Whatever goes wrong here is these copies' own: one that is held already, and was called failed, would come again.
      const deliverAll = async (): Promise<void> => {
        if (toDeliver.length === 0) return
        let fates: readonly DeliveryOutcome[] = []
        let cause: unknown = new Error(`${delivery.name} does not tell the fate of each copy`)
        try {
          const told = await delivery.deliver(
            envelope,
            message,
            toDeliver.map(([, copy]) => copy),
          )
          if (told.length === toDeliver.length) fates = told
        } catch (error) {
          cause = error
        }
        for (const [index, [place]] of toDeliver.entries()) {
          outcomes[place] = fates[index] ?? { kind: 'failed', cause }
        }
      }
      const holdEach = [...recipients.entries()].flatMap(([place, to]) =>
        to.disposition === 'hold'
          ? [
              hold(queue, envelope, message, to).then(outcome => {
                outcomes[place] = outcome
              }),
            ]
          : [],
      )
      await Promise.all([deliverAll(), ...holdEach])
      return outcomes
    },
  }
}
