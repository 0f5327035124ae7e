/** The fields of a stream's entry, in their order. `docs/delivery.md` describes them to whoever reads the stream. */
import type { DeliveryRecipient, Envelope } from '../app/message.ts'

/** Field, value, field, value, …. What is not known is empty. */
export function entryFields(
  envelope: Envelope,
  octets: Buffer,
  to: DeliveryRecipient,
): readonly (string | Buffer)[] {
  const { client } = envelope
  const fields = {
    id: envelope.id,
    sender: envelope.sender.text,
    recipient: to.recipient.text,
    list: to.list,
    service: to.service ?? '',
    received: String(envelope.receivedAt),
    client_address: client.ip?.text ?? '',
    client_name: client.name ?? '',
    client_helo: client.helo ?? '',
    client_user: client.user ?? '',
    smtputf8: envelope.smtputf8 ? '1' : '0',
    size: String(octets.length),
    message: octets,
  }
  return Object.entries(fields).flat()
}
