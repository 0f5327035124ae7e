/**
 * What a program is told of the message beside its bytes: the values of the placeholders in its arguments, and its
 * environment, with the names that Postfix's local(8) and Exim's pipe transport give.
 *
 * Of the list, arguments have the form that is safe in a path (`path-name.ts`): the address itself where it is a usual
 * one. The environment has everything as it is, less control characters. Nothing of Postern's own environment is
 * passed on.
 */
import type { Placeholder } from '../app/argument.ts'
import type { DeliveryRecipient, Envelope } from '../app/message.ts'
import { pathName } from './path-name.ts'

/** Where programs are looked for that a script names without a path. */
const PATH = '/usr/local/bin:/usr/bin:/bin'

/** An address holds no control characters; a sender that is none may, and so may what a client calls itself. */
function clean(text: string): string {
  return text.replace(/[\x00-\x1f\x7f\ufffd]/g, '?')
}

/** What stands in the recipient's local part after the list's name and the separator: mlmmj's and Postfix's word. */
function extensionOf({ recipient, list, service }: DeliveryRecipient): string {
  if (service === undefined) return ''
  const listLocal = list.slice(0, list.lastIndexOf('@'))
  const ownLocal = recipient.key.slice(0, recipient.key.lastIndexOf('@'))
  if (!ownLocal.startsWith(listLocal)) return ''
  // As it was written, if its length tells where it stands.
  const local = ownLocal.length === recipient.localPart.length ? recipient.localPart : ownLocal
  return local.slice(listLocal.length + 1)
}

/** The values of the placeholders. */
export function placeholderValues(
  envelope: Envelope,
  { list, service, recipient }: DeliveryRecipient,
): Readonly<Record<Placeholder, string>> {
  const at = list.lastIndexOf('@')
  return {
    list: pathName(list),
    list_local: pathName(list.slice(0, at)),
    list_domain: pathName(list.slice(at + 1)),
    service: service ?? '',
    recipient: recipient.text,
    sender: clean(envelope.sender.text),
    id: envelope.id,
  }
}

/** The program's environment; `more` is what the site adds. */
export function environmentOf(
  envelope: Envelope,
  to: DeliveryRecipient,
  more: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const { client } = envelope
  const said = {
    SENDER: envelope.sender.text,
    RECIPIENT: to.recipient.text,
    LOCAL: to.recipient.localPart,
    DOMAIN: to.recipient.domain,
    EXTENSION: extensionOf(to),
    LIST: to.list,
    SERVICE: to.service ?? '',
    MESSAGE_ID: envelope.id,
    CLIENT_ADDRESS: client.ip?.text ?? '',
    CLIENT_HOSTNAME: client.name ?? '',
    CLIENT_HELO: client.helo ?? '',
    SASL_USERNAME: client.user ?? '',
  }
  const cleaned = Object.entries(said).map(([name, value]) => [name, clean(value)])
  return { PATH, ...more, ...Object.fromEntries(cleaned) }
}
