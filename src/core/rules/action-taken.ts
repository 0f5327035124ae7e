/** The last rule at RCPT: whoever got here may post, and the action of their standing says how the post is taken. */
import { type RecipientCase, type Rule, rule } from './rule.ts'
import { positionInWords } from './sender-permitted.ts'

export const actionTaken: Rule<RecipientCase> = {
  name: 'action-taken',
  sees: positionInWords,
  judge: c => {
    const action = c.position?.ok === true ? c.position.value.action : 'accept'
    if (action === 'hold') return rule('hold', 'sender-moderated', c.target)
    if (action === 'discard') return rule('discard', 'sender-discarded', c.target)
    return rule('accept', 'sender-permitted', c.target)
  },
}
