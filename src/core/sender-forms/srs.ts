/**
 * SRS, the Sender Rewriting Scheme: a forwarder puts its own domain into the return path and keeps the sender in the
 * local part. `SRS0=HHH=TT=example.net=alice@forwarder` is what the first forwarder makes of alice@example.net;
 * `SRS1=HHH=forwarder==HHH=TT=example.net=alice@next` what a later one makes of that. Behind the first word `=`, `+` and
 * `-` are alike; case means nothing. The hash only the forwarder can check, and the rest anybody can write.
 */
import { type Address, addressOf } from '../address.ts'

const SRS0 = /^srs0[=+-][^=]{1,64}=[^=]{1,64}=([^=]+)=(.+)$/is
const SRS1 = /^srs1[=+-][^=]{1,64}=([^=]+)=([=+-].+)$/is

/** The sender that the forwarder kept, of either kind one step back; undefined if the address is neither. */
export function withoutSrs(address: Address): { scheme: 'SRS0' | 'SRS1'; to: Address } | undefined {
  const first = SRS0.exec(address.localPart)
  if (first !== null) {
    const sender = addressOf(first[2] ?? '', first[1] ?? '')
    return sender.ok ? { scheme: 'SRS0', to: sender.value } : undefined
  }
  const later = SRS1.exec(address.localPart)
  if (later === null) return undefined
  const before = addressOf(`SRS0${later[2]}`, later[1] ?? '')
  return before.ok ? { scheme: 'SRS1', to: before.value } : undefined
}
