/** A header that is larger than anybody looks at: what stands in it cannot be judged, and no list takes it. */
import { MAX_HEADER_FIELDS, MAX_HEADER_SIZE } from '../content.ts'
import type { EndOfMessageTransaction } from '../transaction.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

export const headerWithinLimits: Rule<RecipientCase<EndOfMessageTransaction>> = {
  name: 'header-within-limits',
  sees: ({ tx: { content } }) =>
    content === undefined
      ? 'no header was looked at'
      : `${content.fields.length} fields${content.headerTooLarge ? ', and more' : ''}; limits: ${MAX_HEADER_FIELDS} fields, ${MAX_HEADER_SIZE} bytes`,
  judge: ({ tx, target }) =>
    target.kind === 'posting' && tx.content?.headerTooLarge === true
      ? rule('reject', 'header-too-large', target)
      : undefined,
}
