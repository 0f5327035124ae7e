/**
 * Entries of the lists of known and of refused MTAs. Each has one key, and a client has a bounded number of keys under
 * which an entry about it may be found, so that no look-up depends on the number of entries.
 */
import { parentDomains, parseDomain } from './domain.ts'
import { type IpAddress, networksOf, parseNetwork } from './network.ts'
import { type Parsed, parsed, problem } from './parsed.ts'

declare const mtaBrand: unique symbol

/**
 * A network (`192.0.2.0/24`, `2001:db8::1`), a host (`mx.example.net`), or a domain with every host below it
 * (`.example.net`), in canonical form.
 */
export type MtaKey = string & { readonly [mtaBrand]: true }

/** Parses what an operator typed, in any case. */
export function parseMtaKey(text: string): Parsed<MtaKey> {
  const network = parseNetwork(text)
  if (network.ok) return parsed(network.value.text as MtaKey)
  if (/^[\d.]+$/.test(text) || text.includes('/') || text.includes(':')) return network
  const below = text.startsWith('.')
  const host = parseDomain(below ? text.slice(1) : text)
  if (!host.ok || host.value.startsWith('[')) {
    return problem('expected a network like 192.0.2.0/24, a host name, or .domain for every host of a domain')
  }
  return parsed((below ? `.${host.value}` : host.value) as string as MtaKey)
}

/** A connection asks several questions about one client: its networks are written out once. */
const keysOfAddress = new WeakMap<IpAddress, readonly MtaKey[]>()

/** The keys of an address: every network that holds it. */
export function mtaKeysOfAddress(ip: IpAddress | undefined): readonly MtaKey[] {
  if (ip === undefined) return []
  let keys = keysOfAddress.get(ip)
  if (keys === undefined) {
    keys = networksOf(ip) as readonly string[] as readonly MtaKey[]
    keysOfAddress.set(ip, keys)
  }
  return keys
}

/** The keys of a host name: itself, and each domain it is in. None for what is no name. */
export function mtaKeysOfHost(name: string | undefined): readonly MtaKey[] {
  const host = name === undefined ? problem('no name') : parseDomain(name)
  if (!host.ok || host.value.startsWith('[')) return []
  const levels = [host.value, ...parentDomains(host.value)].slice(-10)
  return [host.value, ...levels.map(level => `.${level}`)] as readonly string[] as readonly MtaKey[]
}
