/**
 * BATV: return paths with a tag that only their domain can check, so that it knows its own bounces
 * (draft-levine-smtp-batv-01). The mailbox and the domain are the sender's own. Four spellings are in use:
 *
 * - `prvs=KDDDSSSSSS=alice@`: the draft's; Cisco's gateways write nine hexadecimal digits, others ten;
 * - `prvs=alice/KDDDSSSSSS@`: of the draft's first versions;
 * - `btv1==TTTTTTTTTTT==alice@`: Barracuda's;
 * - `msprvs1=TTTTTTTTTTTTTT=alice@`: Momentum's.
 */
import { type Address, addressOf } from '../address.ts'

const TAGGED = [
  /^prvs=[0-9a-f]{9,10}=(.+)$/is,
  /^prvs=([^/]+)\/[0-9a-f]{9,10}$/is,
  /^btv1==[0-9a-f]{10,12}==(.+)$/is,
  /^msprvs1=[0-9a-z]{10,24}=(.+)$/is,
] as const

/** The address without its tag, or undefined if it has none. The tag is not checked: it is not ours to check. */
export function withoutBatv(address: Address): Address | undefined {
  for (const form of TAGGED) {
    const mailbox = form.exec(address.localPart)?.[1]
    if (mailbox === undefined) continue
    const plain = addressOf(mailbox, address.domain)
    return plain.ok ? plain.value : undefined
  }
  return undefined
}
