/**
 * Delivery to nowhere: counts copies and drops them, for load tests and for trying out a site's settings.
 */
import type { Delivery } from '../app/message.ts'

export interface DiscardDelivery extends Delivery {
  /** Copies dropped so far. */
  readonly dropped: number
}

export function createDiscardDelivery(): DiscardDelivery {
  let dropped = 0
  return {
    name: 'discard',
    get dropped() {
      return dropped
    },
    async deliver(_envelope, _message, recipients) {
      dropped += recipients.length
      return recipients.map(() => ({ kind: 'delivered' }))
    },
  }
}
