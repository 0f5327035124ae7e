/** The list's own rules over the header: the first one that fits says what happens. */
import { formatHeaderRule, type HeaderRule, ruleThatFits } from '../header-rules.ts'
import type { EndOfMessageTransaction } from '../transaction.ts'
import { contentRuling } from './content-ruling.ts'
import type { RecipientCase, Rule } from './rule.ts'

type EndCase = RecipientCase<EndOfMessageTransaction>

function fitting({ tx: { content }, target }: EndCase): HeaderRule | undefined {
  return target.kind === 'posting' && content !== undefined
    ? ruleThatFits(target.settings.header_rules, content.fields)
    : undefined
}

export const headerPermitted: Rule<EndCase> = {
  name: 'header-permitted',
  sees: c => {
    const found = fitting(c)
    return found === undefined ? 'none of the list’s rules fits' : formatHeaderRule(found)
  },
  judge: c => {
    const found = fitting(c)
    return found === undefined || c.target.kind !== 'posting'
      ? undefined
      : contentRuling(found.action, 'header-rule', c.target)
  },
}
