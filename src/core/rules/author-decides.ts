/**
 * A list that goes by the author cannot settle at RCPT who may post, unless the envelope alone does: `identity = any`
 * is settled by an envelope sender with a record that permits.
 */
import { type RecipientCase, type Rule, rule } from './rule.ts'

export const authorDecides: Rule<RecipientCase> = {
  name: 'author-decides',
  sees: c => (c.target.kind === 'posting' ? `the list goes by ${c.target.settings.identity}` : 'no list'),
  judge: c => {
    if (c.target.kind !== 'posting' || c.target.settings.identity === 'envelope') return undefined
    const position = c.position?.ok === true ? c.position.value : undefined
    const permitted = position?.action === 'accept' || position?.action === 'defer'
    return c.target.settings.identity === 'any' && position?.by !== undefined && permitted
      ? undefined
      : rule('later', 'author-decides', c.target)
  },
}
