/**
 * `+detail`: in many domains ann+anything@ is the mailbox ann@ (RFC 5233 calls it a detail, Postfix an extension). Which
 * domains do so, and by which characters, nobody outside can know: a site names them.
 */
import { type Address, addressOf } from '../address.ts'

/** An address cut at its detail. */
export interface Undetailed {
  readonly to: Address
  /** With the character that begins it. */
  readonly detail: string
  /**
   * The detail holds `=`, as VERP and forwarding do (Gmail's `ann+caf_=team=example.org@`): what is sent so comes from
   * ann's mailbox, and need not be hers.
   */
  readonly forwarded: boolean
}

/** Cuts the address at the first of the characters; undefined if none of them is in it, or only at its beginning. */
export function withoutDetail(address: Address, characters: string): Undetailed | undefined {
  const { localPart } = address
  let at = -1
  for (const character of characters) {
    const found = localPart.indexOf(character, 1)
    if (found !== -1 && (at === -1 || found < at)) at = found
  }
  if (at === -1) return undefined
  const plain = addressOf(localPart.slice(0, at), address.domain)
  const detail = localPart.slice(at)
  return plain.ok ? { to: plain.value, detail, forwarded: detail.includes('=') } : undefined
}
