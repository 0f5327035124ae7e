/** Whether the list stands in To: or Cc:, as the mail of people does and that of many others does not. */
import type { AddressKey } from '../address.ts'
import type { EndOfMessageTransaction } from '../transaction.ts'
import { contentRuling } from './content-ruling.ts'
import type { RecipientCase, Rule } from './rule.ts'

type EndCase = RecipientCase<EndOfMessageTransaction>

/** The names that count: the list's, the one that the message came to, and those that the list has besides. */
function namesOf({ tx, target }: EndCase): readonly AddressKey[] {
  return target.kind === 'posting'
    ? [target.list.address, tx.recipient.key, ...target.settings.acceptable_names]
    : []
}

function isNamed(c: EndCase): boolean {
  const { content } = c.tx
  return content === undefined || namesOf(c).some(name => content.destinations.named.has(name))
}

export const listNamed: Rule<EndCase> = {
  name: 'list-named',
  sees: c => {
    if (c.tx.content === undefined) return 'no header'
    return isNamed(c) ? 'named in To: or Cc:' : 'not in To: or Cc:'
  },
  judge: c => {
    if (c.target.kind !== 'posting' || c.target.settings.unnamed === 'accept' || isNamed(c)) return undefined
    return contentRuling(c.target.settings.unnamed, 'list-not-named', c.target)
  },
}
