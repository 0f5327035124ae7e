/** Mail for tests of deliveries: an envelope, a message, and copies of it. */
import type { DeliveryRecipient, Envelope, Message } from '../../src/app/message.ts'
import { address } from '../support/vectors.ts'

export const ENVELOPE: Envelope = {
  sender: address('alice@example.net'),
  client: {},
  id: 'ID1',
  receivedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
  smtputf8: false,
  mta: { name: 'mx.example.org', address: '192.0.2.1' },
}

/** A message that is read in pieces of so many octets. */
export function message(content: string | Uint8Array, piece = 50_000): Message {
  const bytes = Buffer.from(content as string)
  return {
    size: bytes.length,
    async *read() {
      for (let at = 0; at < bytes.length; at += piece) yield bytes.subarray(at, at + piece)
    },
  }
}

/** A copy for a recipient; the list is the recipient itself unless `more` says otherwise. */
export function to(recipient: string, more: Partial<DeliveryRecipient> = {}): DeliveryRecipient {
  const parsed = address(recipient)
  return { recipient: parsed, list: parsed.key, service: undefined, disposition: 'deliver', ...more }
}
