/**
 * No more recipients of one message than the site takes at once (the client should send to the rest in another
 * transaction: 452 4.5.3), and no more than the list takes at all (550 5.5.3).
 */
import { type RecipientCase, type Rule, rule } from './rule.ts'

export const recipientsWithinLimits: Rule<RecipientCase> = {
  name: 'recipients-within-limits',
  sees: c => {
    const own = c.target.kind === 'posting' ? c.target.settings.max_recipients : 0
    return `recipient ${c.tx.recipientsBefore + 1}; limits: site ${c.site.maxRecipients || 'none'}, list ${own || 'none'}`
  },
  judge: c => {
    const recipients = c.tx.recipientsBefore + 1
    const own = c.target.kind === 'posting' ? c.target.settings.max_recipients : 0
    if (own > 0 && recipients > own) {
      return rule('reject', 'too-many-recipients-for-list', c.target, { detail: String(own) })
    }
    const { maxRecipients } = c.site
    return maxRecipients > 0 && recipients > maxRecipients
      ? rule('defer', 'too-many-recipients', c.target)
      : undefined
  },
}
