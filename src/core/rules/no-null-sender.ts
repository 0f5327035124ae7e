/**
 * The null sender posts to no list. It is refused at DATA if every accepted recipient is a posting address (there is
 * one reply for all of them), and at the end of the message for each one that is: BDAT has no DATA to refuse.
 * Probes, which never have data, are treated alike, or `double-bounce@` would be a way in.
 */
import type { DataTransaction, EndOfMessageTransaction } from '../transaction.ts'
import { asksExistenceOnly } from './existence-only.ts'
import { type Case, type RecipientCase, type Rule, rule } from './rule.ts'

export const noNullSenderToPostersOnly: Rule<Case<DataTransaction>> = {
  name: 'no-null-sender',
  sees: c => {
    const count = (kind: string): number => c.tx.recipients?.filter(r => r.kind === kind).length ?? 0
    const sender = asksExistenceOnly(c.tx.sender, c.site) ? 'the null sender or a probe' : 'a sender'
    return c.tx.recipients === undefined
      ? `${sender}; not all recipients are known`
      : `${sender}; ${count('posting')} posting addresses among ${c.tx.recipients.length} recipients`
  },
  judge: c => {
    const { recipients } = c.tx
    if (recipients === undefined || recipients.length === 0) return undefined
    return asksExistenceOnly(c.tx.sender, c.site) && recipients.every(({ kind }) => kind === 'posting')
      ? rule('reject', 'null-sender')
      : undefined
  },
}

export const noNullSenderToList: Rule<RecipientCase<EndOfMessageTransaction>> = {
  name: 'no-null-sender',
  sees: c => (asksExistenceOnly(c.tx.sender, c.site) ? 'the null sender or a probe' : 'a sender'),
  judge: c => {
    if (c.target.kind !== 'posting' || !asksExistenceOnly(c.tx.sender, c.site)) return undefined
    return rule('reject', 'null-sender-to-list', c.target)
  },
}
