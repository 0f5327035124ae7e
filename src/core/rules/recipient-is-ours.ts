/**
 * A recipient outside the list domains is not ours to judge, and a list domain's postmaster is the MTA's to find
 * (RFC 5321 §4.5.1).
 */
import type { EndOfMessageTransaction, RcptTransaction } from '../transaction.ts'
import type { RecipientCase, Rule } from './rule.ts'

export const recipientIsOurs: Rule<RecipientCase<RcptTransaction | EndOfMessageTransaction>> = {
  name: 'recipient-is-ours',
  sees: c =>
    c.target.kind === 'elsewhere'
      ? `${c.tx.recipient.domain} is not a list domain`
      : `${c.tx.recipient.domain} is a list domain`,
  judge: c => {
    if (c.target.kind === 'elsewhere') return { kind: 'none', reason: 'recipient-elsewhere' }
    if (c.target.kind === 'postmaster') return { kind: 'none', reason: 'postmaster' }
    return undefined
  },
}
