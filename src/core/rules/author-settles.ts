/**
 * Settles at the end of the message what RCPT left to the author. The position is that of the identities the list
 * goes by; after acceptance a refusal turns into the list's `late_refusal`.
 */
import type { EndOfMessageTransaction } from '../transaction.ts'
import { lateRefusal } from './late-refusal.ts'
import { ownWords, type RecipientCase, type Rule, rule } from './rule.ts'
import { positionInWords } from './sender-permitted.ts'

export const authorSettles: Rule<RecipientCase<EndOfMessageTransaction>> = {
  name: 'author-settles',
  sees: c => (c.tx.settledAtRcpt ? 'settled at RCPT' : positionInWords(c)),
  judge: c => {
    if (c.tx.settledAtRcpt || c.target.kind !== 'posting' || c.position?.ok !== true) return undefined
    const { action, standing } = c.position.value
    switch (action) {
      case 'reject': {
        if (c.tx.afterAcceptance) return lateRefusal(c.target)
        const reason = standing === 'banned' ? 'sender-banned' : 'sender-not-permitted'
        return rule('reject', reason, c.target, ownWords(c.target))
      }
      case 'hold':
        return rule('hold', 'sender-moderated', c.target)
      case 'discard':
        return rule('discard', 'sender-discarded', c.target)
      case 'accept':
      case 'defer':
        return rule('accept', 'sender-permitted', c.target)
    }
  },
}
