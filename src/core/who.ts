/**
 * Whom a ban, a grant or a site rule is about: one address, everybody at a domain, or everybody at a domain and
 * below it. Always anchored: `@example.org` is not about `notexample.org`.
 *
 * Each has one key, and `whoKeysOf` lists the keys under which an address may be found. A store thus answers
 * "is any entry about this sender?" by exact keys, whatever the number of entries.
 */
import { type Address, type AddressKey, mailboxOf, parseAddress } from './address.ts'
import { parentDomains, parseDomain } from './domain.ts'
import { type Parsed, parsed, problem } from './parsed.ts'

declare const whoBrand: unique symbol

/** `alice@example.net`, `@example.net` or `@.example.net` (that domain and every one below it), canonical. */
export type Who = string & { readonly [whoBrand]: true }

/** An address as the `Who` that means it alone. */
export function whoIs(address: Address): Who {
  // An address key is never mistaken for a domain's: no local part is empty.
  return address.key as string as Who
}

/** Parses what an operator typed: an address in any notation of RFC 5321, `@domain` or `@.domain`, in any case. */
export function parseWho(text: string): Parsed<Who> {
  if (!text.startsWith('@')) {
    const address = parseAddress(text)
    return address.ok
      ? parsed(whoIs(address.value))
      : problem(`expected an address, @domain or @.domain: ${address.problem}`)
  }
  const below = text.startsWith('@.')
  const domain = parseDomain(text.slice(below ? 2 : 1))
  if (!domain.ok) return domain
  return parsed((below ? `@.${domain.value}` : `@${domain.value}`) as Who)
}

/** Whether an entry, or its stored text, is about a domain: only then is its one `@` the first character. */
export function isAboutDomain(who: string): boolean {
  return who.lastIndexOf('@') === 0
}

/** Writes an entry as operators type it; `parseWho` gives the same one back. */
export function formatWho(who: Who): string {
  return isAboutDomain(who) ? who : mailboxOf(who as string as AddressKey)
}

/** Domains have at most this many levels looked up: no real one has more, and a look-up stays small. */
const MAX_LEVELS = 10

/** Every `Who` that is about the address, the most specific first: itself, its domain, its domains above. */
export function whoKeysOf(address: Address): readonly Who[] {
  const above = [address.domain, ...parentDomains(address.domain)].slice(-MAX_LEVELS)
  return [whoIs(address), `@${address.domain}` as Who, ...above.map(domain => `@.${domain}` as Who)]
}
