/**
 * A sender who is forbidden to post to every list is refused: at MAIL, and again at RCPT for a posting address, for
 * MTAs that ask only there.
 */
import { senderForms } from '../facts.ts'
import { formAt } from '../sender-forms.ts'
import type { MailTransaction, RcptTransaction } from '../transaction.ts'
import { formatWho } from '../who.ts'
import { type Case, type RecipientCase, type Rule, rule } from './rule.ts'

/** The entry, and by which form of the sender it was found. */
function entryIn(c: Case<MailTransaction | RcptTransaction>): string {
  const [entry] = c.facts.forbidden
  if (entry === undefined) return 'none'
  const steps = formAt(senderForms(c.tx.sender, c.site), entry)?.steps ?? []
  return [formatWho(entry), ...steps.map(({ text }) => text)].join('; ')
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
