/** The sender may not post to the list: refused, with the list's name and its own words. */
import { entryInWords } from '../standing.ts'
import { ownWords, type RecipientCase, type Rule, rule } from './rule.ts'

/** The poster's standing and action, in words. */
export function positionInWords(c: Pick<RecipientCase, 'position'>): string {
  if (c.position === undefined || !c.position.ok) return 'no standing'
  const { standing, by, action } = c.position.value
  return `${standing}${by === undefined ? '' : ` (${entryInWords(c.position.value)})`}: ${action}`
}

export const senderPermitted: Rule<RecipientCase> = {
  name: 'sender-permitted',
  sees: positionInWords,
  judge: c =>
    c.position?.ok === true && c.position.value.action === 'reject'
      ? rule('reject', 'sender-not-permitted', c.target, ownWords(c.target))
      : undefined,
}
