/** A message names one author in From: (RFC 5322 §3.6.2): none is a fault, and several are a riddle to whoever judges. */
import type { EndOfMessageTransaction } from '../transaction.ts'
import { contentRuling } from './content-ruling.ts'
import type { RecipientCase, Rule } from './rule.ts'

export const authorClear: Rule<RecipientCase<EndOfMessageTransaction>> = {
  name: 'author-clear',
  sees: ({ tx: { content, authorship } }) =>
    content === undefined ? 'no header' : `${authorship?.from.length ?? 0} authors that can be read`,
  judge: ({ tx: { content, authorship }, target }) =>
    target.kind === 'posting' && content !== undefined && authorship?.from.length !== 1
      ? contentRuling(target.settings.unclear_author, 'author-unclear', target)
      : undefined,
}
