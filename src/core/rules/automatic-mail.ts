/**
 * Mail that no person wrote to the list: replies of machines (RFC 3834 §5: `Auto-Submitted: auto-replied`, and what
 * was used before it), and bulk mail by its Precedence. What a machine sends on its own account (`auto-generated`, as
 * of a build or a ticket) is mail like any other.
 */
import { type MessageContent, valuesOf } from '../content.ts'
import type { EndOfMessageTransaction } from '../transaction.ts'
import { contentRuling } from './content-ruling.ts'
import type { RecipientCase, Rule } from './rule.ts'

const REPLIES = new Set(['auto-replied', 'auto-notified'])
/** Fields that only responders put, whatever they say. */
const MARKS = ['x-autoreply', 'x-autorespond', 'x-auto-reply-from', 'x-mail-autoreply']
const BULK = new Set(['bulk', 'junk', 'list'])

/** The word that a field begins with: comments and parameters follow it. */
const word = (value: string): string => /^[a-z_-]*/.exec(value.trim().toLowerCase())?.[0] ?? ''

function replySign(content: MessageContent): string | undefined {
  if (valuesOf(content, 'auto-submitted').some(value => REPLIES.has(word(value)))) return 'Auto-Submitted'
  if (valuesOf(content, 'precedence').some(value => word(value).startsWith('auto'))) return 'Precedence'
  return content.fields.find(({ name }) => MARKS.includes(name))?.name
}

const isBulk = (content: MessageContent): boolean =>
  valuesOf(content, 'precedence').some(value => BULK.has(word(value)))

export const noAutomaticReply: Rule<RecipientCase<EndOfMessageTransaction>> = {
  name: 'no-automatic-reply',
  sees: ({ tx: { content } }) =>
    content === undefined ? 'no header' : (replySign(content) ?? 'no sign of one'),
  judge: ({ tx: { content }, target }) =>
    target.kind === 'posting' && content !== undefined && replySign(content) !== undefined
      ? contentRuling(target.settings.automatic_replies, 'automatic-reply', target)
      : undefined,
}

export const noBulkMail: Rule<RecipientCase<EndOfMessageTransaction>> = {
  name: 'no-bulk-mail',
  sees: ({ tx: { content } }) => {
    if (content === undefined) return 'no header'
    return isBulk(content) ? 'bulk by its Precedence' : 'not by its Precedence'
  },
  judge: ({ tx: { content }, target }) =>
    target.kind === 'posting' && content !== undefined && isBulk(content)
      ? contentRuling(target.settings.bulk_mail, 'bulk-mail', target)
      : undefined,
}
