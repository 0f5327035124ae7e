/** How many mailboxes To: and Cc: name, all of them together, and to how many lists one message goes at once. */
import type { MessageContent } from '../content.ts'
import type { EndOfMessageTransaction } from '../transaction.ts'
import { contentRuling } from './content-ruling.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

type EndCase = RecipientCase<EndOfMessageTransaction>

function inWords(content: MessageContent | undefined): string {
  if (content === undefined) return 'an unknown number'
  const { count, tooMany } = content.destinations
  return tooMany ? 'more than are looked at' : String(count)
}

export const destinationsWithinLimit: Rule<EndCase> = {
  name: 'destinations-within-limit',
  sees: ({ tx: { content }, target }) => {
    const limit = target.kind === 'posting' ? target.settings.max_destinations : 0
    return `${inWords(content)} in To: and Cc:; the list's limit: ${limit || 'none'}`
  },
  judge: ({ tx: { content }, target }) => {
    if (target.kind !== 'posting' || content === undefined) return undefined
    const { max_destinations: limit, destinations_action: action } = target.settings
    if (limit === 0) return undefined
    const { count, tooMany } = content.destinations
    const details = { detail: String(limit) }
    if (tooMany) return rule('reject', 'too-many-destinations', target, details)
    return count > limit ? contentRuling(action, 'too-many-destinations', target, details) : undefined
  },
}

export const listsWithinLimit: Rule<EndCase> = {
  name: 'lists-within-limit',
  sees: ({ tx, target }) => {
    const limit = target.kind === 'posting' ? target.settings.max_lists : 0
    return `${tx.lists ?? 'an unknown number of'} lists; the list's limit: ${limit || 'none'}`
  },
  judge: ({ tx, target }) => {
    if (target.kind !== 'posting' || tx.lists === undefined) return undefined
    const { max_lists: limit } = target.settings
    return limit > 0 && tx.lists > limit
      ? rule('reject', 'too-many-lists', target, { detail: String(limit) })
      : undefined
  },
}
