/**
 * The null sender and address verification probes learn whether a list exists, and no more: a refusal here would
 * make callers of callouts believe that the list is gone (Postfix ADDRESS_VERIFICATION_README, Exim spec §44.46).
 * They get no further than RCPT: `no-null-sender.ts`.
 */
import type { ReversePath } from '../address.ts'
import type { Site } from '../facts.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

/** Whether the sender asks only for existence: the null sender, or a probe's, with or without its time stamp. */
export function asksExistenceOnly(sender: ReversePath, site: Site): boolean {
  if (sender.kind !== 'address') return sender.kind === 'null-sender'
  const localPart = sender.localPart.toLowerCase()
  return site.probeLocalParts.some(
    probe => localPart.startsWith(probe) && /^[a-z0-9]*$/.test(localPart.slice(probe.length)),
  )
}

export const existenceOnly: Rule<RecipientCase> = {
  name: 'existence-only',
  sees: c =>
    asksExistenceOnly(c.tx.sender, c.site)
      ? 'the null sender or a probe'
      : 'neither the null sender nor a probe',
  judge: c =>
    asksExistenceOnly(c.tx.sender, c.site) ? rule('accept', 'existence-only', c.target) : undefined,
}
