/** A sender banned from the list or from all lists is refused, member or not, whoever the author is. */
import { entryInWords } from '../standing.ts'
import { ownWords, type RecipientCase, type Rule, rule } from './rule.ts'

export const senderNotBanned: Rule<RecipientCase> = {
  name: 'sender-not-banned',
  sees: c => {
    const position = c.position?.ok === true ? c.position.value : undefined
    return position?.standing === 'banned' ? `banned by ${entryInWords(position)}` : 'no ban'
  },
  judge: c =>
    c.position?.ok === true && c.position.value.standing === 'banned'
      ? rule('reject', 'sender-banned', c.target, ownWords(c.target))
      : undefined,
}
