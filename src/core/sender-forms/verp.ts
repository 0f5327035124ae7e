/**
 * VERP: return paths with another address in the local part. Mailing lists write the recipient there, so that a bounce
 * tells who it is about, and then it says nothing of the sender. Some services write the person for whom they send;
 * a site names them, and only their addresses are taken apart.
 *
 * Spellings: `anything+alice=example.net@` (Postfix, Mailman, Sympa), `anything-return-123-alice=example.net@` (ezmlm),
 * `bounce-alice=example.net@`, and `bounces` or `return` in place of `bounce`. The last `=` stands for the `@`.
 */
import { type Address, addressOf } from '../address.ts'

const NUMBERED = /-return-\d{1,20}-/i
const BOUNCE = /^(?:bounces?|return)-/i

function wrappedIn(localPart: string): string | undefined {
  const numbered = NUMBERED.exec(localPart)
  if (numbered !== null && numbered.index > 0) return localPart.slice(numbered.index + numbered[0].length)
  const plus = localPart.indexOf('+')
  if (plus > 0) return localPart.slice(plus + 1)
  const bounce = BOUNCE.exec(localPart)
  return bounce === null ? undefined : localPart.slice(bounce[0].length)
}

/** The address in the local part, or undefined if there is none. */
export function withoutVerp(address: Address): Address | undefined {
  const wrapped = wrappedIn(address.localPart)
  const sign = wrapped?.lastIndexOf('=') ?? -1
  if (wrapped === undefined || sign < 1) return undefined
  const inner = addressOf(wrapped.slice(0, sign), wrapped.slice(sign + 1))
  return inner.ok ? inner.value : undefined
}
