/**
 * IP addresses and networks as values (RFC 4291 §2.2 text forms, RFC 4632 prefixes). An IPv4-mapped IPv6
 * address is the IPv4 address: a dual-stack MTA must not turn one client into two.
 *
 * Shorthand that some libraries take for an address (`127.1`, `0x7f.1`, `010.0.0.1`) is refused.
 */
import { type Parsed, parsed, problem } from './parsed.ts'

declare const ipBrand: unique symbol

/** An IP address: 4 or 16 bytes, and its canonical text (RFC 5952 for IPv6). Made by `parseIpAddress` only. */
export interface IpAddress {
  readonly [ipBrand]: true
  readonly version: 4 | 6
  readonly bytes: readonly number[]
  readonly text: string
}

/** A network: an address whose host bits are zero, and a prefix length. Made by `parseNetwork` only. */
export interface Network {
  readonly address: IpAddress
  readonly prefix: number
  readonly text: string
}

const V4 = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/
const V6_GROUP = /^[0-9a-f]{1,4}$/i

function parseV4(text: string): number[] | undefined {
  const match = V4.exec(text)
  if (match === null) return undefined
  const octets = [Number(match[1]), Number(match[2]), Number(match[3]), Number(match[4])]
  return octets.every(octet => octet <= 255) ? octets : undefined
}

/** Groups between colons; only the last of the whole address may be written as IPv4. */
function parseV6Groups(text: string, ends: 'address' | 'half'): number[] | undefined {
  if (text === '') return []
  const groups: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    if (ends === 'address' && index === parts.length - 1 && part.includes('.')) {
      const v4 = parseV4(part)
      if (v4 === undefined) return undefined
      groups.push(((v4[0] ?? 0) << 8) | (v4[1] ?? 0), ((v4[2] ?? 0) << 8) | (v4[3] ?? 0))
    } else {
      if (!V6_GROUP.test(part)) return undefined
      groups.push(Number.parseInt(part, 16))
    }
  }
  return groups
}

function parseV6(text: string): number[] | undefined {
  if (text.length > 45) return undefined
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const head = parseV6Groups(halves[0] ?? '', halves.length === 2 ? 'half' : 'address')
  const tail = halves.length === 2 ? parseV6Groups(halves[1] ?? '', 'address') : []
  if (head === undefined || tail === undefined) return undefined
  const missing = 8 - head.length - tail.length
  if (halves.length === 1 ? missing !== 0 : missing < 1) return undefined
  return [...head, ...new Array<number>(missing).fill(0), ...tail].flatMap(group => [group >> 8, group & 255])
}

function formatV6(bytes: readonly number[]): string {
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0))
  let longest = { start: 0, length: 0 }
  for (let start = 0; start < 8; start++) {
    let length = 0
    while (start + length < 8 && groups[start + length] === 0) length++
    if (length > longest.length) longest = { start, length }
  }
  const hex = groups.map(group => group.toString(16))
  if (longest.length < 2) return hex.join(':')
  return `${hex.slice(0, longest.start).join(':')}::${hex.slice(longest.start + longest.length).join(':')}`
}

function fromBytes(bytes: readonly number[]): IpAddress {
  const version = bytes.length === 4 ? 4 : 6
  const mapped = version === 6 && bytes[10] === 255 && bytes[11] === 255
  if (mapped && bytes.slice(0, 10).every(byte => byte === 0)) return fromBytes(bytes.slice(12))
  const text = version === 4 ? bytes.join('.') : formatV6(bytes)
  return Object.freeze({ version, bytes: Object.freeze([...bytes]), text }) as IpAddress
}

/**
 * Parses an address as MTAs write it: bare, or with Sendmail's and RFC 5321's `IPv6:` prefix. A zone
 * (`fe80::1%eth0`) is refused: it means nothing outside the host that wrote it.
 */
export function parseIpAddress(text: string): Parsed<IpAddress> {
  const bare = /^ipv6:/i.test(text) ? text.slice(5) : text
  const bytes = bare.includes(':') ? parseV6(bare) : parseV4(bare)
  return bytes === undefined ? problem('not an IP address') : parsed(fromBytes(bytes))
}

function masked(address: IpAddress, prefix: number): IpAddress {
  return fromBytes(
    address.bytes.map((byte, index) => {
      const kept = Math.min(8, Math.max(0, prefix - 8 * index))
      return byte & (0xff00 >> kept) & 0xff
    }),
  )
}

/**
 * Parses `192.0.2.0/24`, `2001:db8::/32` or a single address. Host bits must be zero: `192.0.2.1/24` is more
 * often a slip than a wish, and taking it for either meaning would surprise somebody.
 */
export function parseNetwork(text: string): Parsed<Network> {
  const [host = '', length, ...rest] = text.split('/')
  const address = parseIpAddress(host)
  if (!address.ok) return problem('not an IP address or network')
  const bits = address.value.version === 4 ? 32 : 128
  if (rest.length > 0 || (length !== undefined && !/^\d{1,3}$/.test(length))) {
    return problem('not an IP address or network')
  }
  const prefix = length === undefined ? bits : Number(length)
  if (prefix > bits) return problem(`a prefix of at most /${bits} is expected`)
  const base = masked(address.value, prefix)
  if (base.text !== address.value.text) {
    return problem(`the host part must be zero: did you mean ${base.text}/${prefix} or ${address.value.text}`)
  }
  return parsed(networkOf(base, prefix))
}

function networkOf(address: IpAddress, prefix: number): Network {
  const bits = address.version === 4 ? 32 : 128
  return { address, prefix, text: prefix === bits ? address.text : `${address.text}/${prefix}` }
}

/** Whether the network holds the address. Families never match each other. */
export function contains(network: Network, address: IpAddress): boolean {
  return (
    network.address.version === address.version &&
    masked(address, network.prefix).text === network.address.text
  )
}

/** The same as for IPv6, in whole numbers: this is done for every client. */
function v4NetworksOf({ bytes: [a = 0, b = 0, c = 0, d = 0], text }: IpAddress): readonly string[] {
  const whole = (a << 24) | (b << 16) | (c << 8) | d
  const networks = [text]
  for (let prefix = 31; prefix >= 0; prefix--) {
    const base = prefix === 0 ? 0 : whole & (-1 << (32 - prefix))
    networks.push(`${base >>> 24}.${(base >>> 16) & 255}.${(base >>> 8) & 255}.${base & 255}/${prefix}`)
  }
  return networks
}

/**
 * Every network that holds the address, as its canonical text, narrowest first: 33 of them for IPv4 and 129 for
 * IPv6. A store can thus find a client among any number of networks by keys, without reading them all.
 */
export function networksOf(address: IpAddress): readonly string[] {
  if (address.version === 4) return v4NetworksOf(address)
  const bits = 128
  return Array.from({ length: bits + 1 }, (_, i) => networkOf(masked(address, bits - i), bits - i).text)
}
