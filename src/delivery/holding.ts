/**
 * Posts that wait for a moderator, where a delivery has no place for them: they are kept elsewhere, and never handed on
 * as if they had been accepted.
 */
import type { Delivery, DeliveryOutcome } from '../app/message.ts'

/** A delivery that hands on what is accepted, and keeps what is held with another one, asked for when it is needed. */
export function holdElsewhere(delivery: Delivery, elsewhere: () => Delivery | undefined): Delivery {
  return {
    name: delivery.name,
    ...(delivery.close !== undefined && { close: () => delivery.close?.() ?? Promise.resolve() }),
    async deliver(envelope, message, recipients) {
      const outcomes: DeliveryOutcome[] = []
      const split = Object.entries({ deliver: delivery, hold: elsewhere() })
      await Promise.all(
        split.map(async ([disposition, by]) => {
          const places = [...recipients.entries()].filter(([, copy]) => copy.disposition === disposition)
          if (places.length === 0) return
          const cause = new Error(`${delivery.name} has no place for posts that wait for a moderator`)
          const fates = await by?.deliver(
            envelope,
            message,
            places.map(([, copy]) => copy),
          )
          for (const [index, [place]] of places.entries()) {
            outcomes[place] = fates?.[index] ?? { kind: 'failed', cause }
          }
        }),
      )
      return outcomes
    },
  }
}
