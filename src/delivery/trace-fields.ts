/**
 * The fields that final delivery puts before a message: Return-Path (RFC 5321 §4.4), Delivered-To, which keeps mail
 * from going round in circles, and a Received field (RFC 5321 §4.4, RFC 6531 §4.3 for the protocol's name).
 *
 * Line ends are CR LF, as in the message. Nothing that came from outside can end a line.
 */
import type { DeliveryRecipient, Envelope } from '../app/message.ts'
import type { Address } from '../core/address.ts'

const DAYS = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']

function twoDigits(number: number): string {
  return String(number).padStart(2, '0')
}

/** RFC 5322 §3.3, in UTC. */
function dateTime(at: number): string {
  const date = new Date(at)
  const day = `${DAYS[date.getUTCDay()]}, ${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`
  const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()].map(twoDigits).join(':')
  return `${day} ${time} +0000`
}

/** An MTA may call itself anything; only what a host name or an address literal is made of is repeated. */
function hostName(name: string): string {
  return name.slice(0, 255).replace(/[^A-Za-z0-9.:_[\]-]/g, '?') || 'unknown'
}

function mtaOf(mta: Envelope['mta']): string {
  if (mta === undefined) return 'unknown'
  const { name, address } = mta
  return `${hostName(name)} (${address === undefined ? 'unix socket' : `[${hostName(address)}]`})`
}

/**
 * The Received field by `hostname`, with its line end. It names the recipient where there is only one: who the others
 * are is none of a recipient's business (RFC 5321 §7.2).
 */
export function receivedField(
  { id, receivedAt, smtputf8, mta }: Envelope,
  recipient: Address | undefined,
  hostname: string,
): string {
  const by = `\tby ${hostname} (Postern) with ${smtputf8 ? 'UTF8LMTP' : 'LMTP'} id ${id}`
  const at = dateTime(receivedAt)
  const rest = recipient === undefined ? [`${by};`, `\t${at}`] : [by, `\tfor <${recipient.text}>; ${at}`]
  return [`Received: from ${mtaOf(mta)}`, ...rest, ''].join('\r\n')
}

/** The fields for one recipient's copy, by `hostname`. */
export function traceFields(envelope: Envelope, { recipient }: DeliveryRecipient, hostname: string): string {
  // A sender that is an address cannot hold any of these; one that is malformed may.
  const returnPath = envelope.sender.text.replace(/[\x00-\x1f\x7f<>\ufffd]/g, '?')
  return [
    `Return-Path: <${returnPath}>`,
    `Delivered-To: ${recipient.text}`,
    receivedField(envelope, recipient, hostname),
  ].join('\r\n')
}
