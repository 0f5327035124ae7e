/**
 * XFORWARD (Postfix XFORWARD_README) as its client: tells the next hop whom the message came from, as far as that is
 * known here and the next hop wants to hear of it.
 */
import type { Client } from '../core/transaction.ts'

/** In octets of UTF-8: a next hop takes values of at most 255 characters. */
const MAX_VALUE = 255

/** RFC 3461 §4. */
function xtext(value: string): string {
  const octets = Buffer.from(value, 'utf8').subarray(0, MAX_VALUE)
  return [...octets]
    .map(octet =>
      octet > 0x20 && octet < 0x7f && octet !== 0x2b && octet !== 0x3d
        ? String.fromCharCode(octet)
        : `+${octet.toString(16).toUpperCase().padStart(2, '0')}`,
    )
    .join('')
}

/** The commands, one for each attribute, so that none is too long; none if nothing is known. */
export function xforwardCommands(client: Client, wanted: ReadonlySet<string>): readonly string[] {
  const { ip } = client
  const known = {
    NAME: client.name,
    ADDR: ip === undefined || ip.version === 4 ? ip?.text : `IPv6:${ip.text}`,
    HELO: client.helo,
  }
  return Object.entries(known).flatMap(([name, value]) =>
    value === undefined || value === '' || !wanted.has(name) ? [] : [`XFORWARD ${name}=${xtext(value)}`],
  )
}
