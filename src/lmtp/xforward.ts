/**
 * XFORWARD (Postfix XFORWARD_README): a trusted MTA tells whom it has the message from. Without it the client of a
 * message is not known to the sink, whose own client is the MTA.
 */
import { parseIpAddress } from '../core/network.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import type { Client } from '../core/transaction.ts'

/** The attributes, in the order in which LHLO names them. */
export const XFORWARD_ATTRIBUTES = ['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO', 'IDENT', 'SOURCE'] as const
type XforwardAttribute = (typeof XFORWARD_ATTRIBUTES)[number]

/** What was told, decoded; an attribute that the MTA says it does not know is absent. */
export type Forwarded = { readonly [A in XforwardAttribute]?: string }

/** In characters, decoded. */
const MAX_VALUE = 255
const ATTRIBUTE = /^([A-Za-z]+)=([\x21-\x3c\x3e-\x7e]+)$/
const UNKNOWN = new Set(['[UNAVAILABLE]', '[TEMPUNAVAIL]'])

/** Decodes xtext (RFC 3461 §4) that holds UTF-8. */
function decodeXtext(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('%', '%25').replaceAll('+', '%'))
  } catch {
    return undefined
  }
}

/** Reads the arguments of a command on top of what earlier ones of the same message told. */
export function parseXforward(text: string, before: Forwarded): Parsed<Forwarded> {
  const told: { -readonly [A in XforwardAttribute]?: string } = { ...before }
  for (const word of text.split(/ +/)) {
    const [, name = '', value = ''] = ATTRIBUTE.exec(word) ?? []
    const attribute = XFORWARD_ATTRIBUTES.find(known => known === name.toUpperCase())
    const decoded = decodeXtext(value)
    if (attribute === undefined || decoded === undefined || decoded.length > MAX_VALUE) {
      return problem('not an XFORWARD attribute')
    }
    if (/[\x00-\x1f\x7f]/.test(decoded)) return problem('a control character in an XFORWARD attribute')
    if (UNKNOWN.has(decoded.toUpperCase())) delete told[attribute]
    else told[attribute] = decoded
  }
  return parsed(told)
}

/**
 * The client that was told of. A message that was handed in on the MTA's own host (SOURCE=LOCAL) has none, and an
 * address that is no IP address is none.
 */
export function clientOf(told: Forwarded): Client {
  if (told.SOURCE?.toUpperCase() === 'LOCAL') return {}
  const ip = told.ADDR === undefined ? undefined : parseIpAddress(told.ADDR)
  return {
    ...(ip?.ok === true && { ip: ip.value }),
    ...(told.NAME !== undefined && told.NAME.toLowerCase() !== 'unknown' && { name: told.NAME }),
    ...(told.HELO !== undefined && { helo: told.HELO }),
  }
}
