/** The address of a list, as operators type it. */
import { type Address, parseAddress } from '../../core/address.ts'
import { type Parsed, parsed, problem } from '../../core/parsed.ts'

/** RFC 5321 §4.5.3.1.1: what every MTA must take. A list's own name stays within it; senders' names may not. */
export const MAX_LIST_LOCAL_PART = 64

const encoder = new TextEncoder()

/** Parses a list's posting address. What the list is called everywhere is the address's `key`. */
export function parseListAddress(text: string): Parsed<Address> {
  const address = parseAddress(text)
  if (!address.ok) return problem(`expected a list's address: ${address.problem}`)
  const octets = encoder.encode(address.value.localPart).length
  return octets > MAX_LIST_LOCAL_PART
    ? problem(`the name of a list has at most ${MAX_LIST_LOCAL_PART} octets before the @, not ${octets}`)
    : parsed(address.value)
}
