/**
 * Domains as mail uses them: host names (RFC 5321 §2.3.5), internationalised names (RFC 5890, compared as
 * A-labels), and address literals (RFC 5321 §4.1.3). One canonical spelling for each, so that two spellings of one
 * domain are never two domains.
 *
 * Underscores, though no host name may have them, are taken: mail is sent from such domains every day.
 */
import { parseIpAddress } from './network.ts'
import { type Parsed, parsed, problem } from './parsed.ts'

declare const domainBrand: unique symbol

/** A domain in canonical form: lower case, A-labels, no trailing dot; or `[192.0.2.1]`, `[IPv6:2001:db8::1]`. */
export type Domain = string & { readonly [domainBrand]: true }

/** RFC 5321 §4.5.3.1.2, in octets. */
export const MAX_DOMAIN_LENGTH = 255

const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/
/** A domain as nearly all are: in canonical form already. */
const USUAL = /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z]{1,63}$/
const GENERAL_LITERAL = /^[a-z0-9-]*[a-z0-9]:[\x21-\x5a\x5e-\x7e]+$/i
const NUMERIC = /^(?:\d+|0x[0-9a-f]*)$/

function parseLiteral(text: string): Parsed<Domain> {
  const inner = text.slice(1, -1)
  const address = parseIpAddress(inner)
  if (address.ok) {
    const { version, text: canonical } = address.value
    return parsed((version === 4 ? `[${canonical}]` : `[IPv6:${canonical}]`) as Domain)
  }
  return GENERAL_LITERAL.test(inner) && !/^ipv6:/i.test(inner)
    ? parsed(`[${inner.toLowerCase()}]` as Domain)
    : problem('not an address literal')
}

/** UTS 46 through the WHATWG URL parser, which is all of IDNA that the platform gives to code without imports. */
function toAscii(name: string): string {
  // The URL parser percent-decodes, cuts at these and drops white space: none of them belongs in a domain.
  if (/[\s%/?#@:\\[\]<>^|\x00-\x20\x7f]/.test(name)) return ''
  try {
    return new URL(`http://${name}`).hostname
  } catch {
    return ''
  }
}

/** Parses a domain in either spelling, U-labels or A-labels, any case, with or without one trailing dot. */
export function parseDomain(text: string): Parsed<Domain> {
  if (text.length <= MAX_DOMAIN_LENGTH && USUAL.test(text)) return parsed(text as Domain)
  if (text.length > 4 * MAX_DOMAIN_LENGTH) return problem('the domain is too long')
  if (text.startsWith('[') && text.endsWith(']')) return parseLiteral(text)
  const name = text.endsWith('.') ? text.slice(0, -1) : text
  const ascii = /^[\x00-\x7f]*$/.test(name) ? name.toLowerCase() : toAscii(name)
  if (ascii === '') return problem('the domain is empty or not a name')
  if (ascii.length > MAX_DOMAIN_LENGTH) return problem('the domain is too long')
  const labels = ascii.split('.')
  if (!labels.every(label => LABEL.test(label))) return problem('the domain has a label that is not a name')
  // A name whose last label is a number is an address in disguise (the URL standard reads `0x7f.1` as 127.0.0.1).
  if (NUMERIC.test(labels[labels.length - 1] ?? '')) return problem('the domain ends in a number')
  return parsed(ascii as Domain)
}

/**
 * The domains above a domain, nearest first, itself excluded: `a.b.example` → `b.example`, `example`.
 * None for an address literal.
 */
export function parentDomains(domain: Domain): readonly Domain[] {
  if (domain.startsWith('[')) return []
  const labels = domain.split('.')
  return labels.slice(1).map((_, index) => labels.slice(index + 1).join('.') as Domain)
}
