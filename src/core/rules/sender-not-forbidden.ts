/**
 * A sender who is forbidden to post to every list is refused: at MAIL, and again at RCPT for a posting address, for
 * MTAs that ask only there.
 */
import type { MailTransaction } from '../transaction.ts'
import { type Case, type RecipientCase, type Rule, rule } from './rule.ts'

function entryIn(c: Case): string {
  return [...c.facts.forbidden][0] ?? 'none'
}

export const senderNotForbidden: Rule<Case<MailTransaction>> = {
  name: 'sender-not-forbidden',
  sees: c => `forbidden entry for the sender: ${entryIn(c)}`,
  judge: c => (c.facts.forbidden.size === 0 ? undefined : rule('reject', 'sender-forbidden')),
}

export const senderNotForbiddenToList: Rule<RecipientCase> = {
  name: 'sender-not-forbidden',
  sees: c => `forbidden entry for the sender: ${entryIn(c)}`,
  judge: c =>
    c.target.kind === 'posting' && c.facts.forbidden.size > 0
      ? rule('reject', 'sender-forbidden', c.target)
      : undefined,
}
