/**
 * The fields that final delivery puts before a message: Return-Path (RFC 5321 §4.4), Delivered-To, which keeps mail
 * from going round in circles, and a Received field (RFC 5321 §4.4, RFC 6531 §4.3 for the protocol's name).
 *
 * Line ends are CR LF, as in the message. Nothing that came from outside can end a line.
 */
import type { DeliveryRecipient, Envelope } from '../app/message.ts'

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

function mtaOf(envelope: Envelope): string {
  if (envelope.mta === undefined) return 'unknown'
  const { name, address } = envelope.mta
  return `${hostName(name)} (${address === undefined ? 'unix socket' : `[${hostName(address)}]`})`
}

/** The fields for one recipient's copy, by `hostname`. */
export function traceFields(envelope: Envelope, recipient: DeliveryRecipient, hostname: string): string {
  const { sender, id, receivedAt, smtputf8 } = envelope
  // A sender that is an address cannot hold any of these; one that is malformed may.
  const returnPath = sender.text.replace(/[\x00-\x1f\x7f<>\ufffd]/g, '?')
  const to = recipient.recipient.text
  return [
    `Return-Path: <${returnPath}>`,
    `Delivered-To: ${to}`,
    `Received: from ${mtaOf(envelope)}`,
    `\tby ${hostname} (Postern) with ${smtputf8 ? 'UTF8LMTP' : 'LMTP'} id ${id}`,
    `\tfor <${to}>; ${dateTime(receivedAt)}`,
    '',
  ].join('\r\n')
}
