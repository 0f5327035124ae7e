/**
 * Settles at the end of the message what RCPT left to the author. The position is that of the identities the list goes
 * by. Who may not post is refused before anything is looked at in the message; how the others' posts are taken comes
 * when nothing in it stands against them.
 */
import type { Position } from '../standing.ts'
import type { EndOfMessageTransaction } from '../transaction.ts'
import { firstPostSeen, noEmergency } from './moderated.ts'
import { ownWords, type RecipientCase, type Rule, rule } from './rule.ts'
import { positionInWords } from './sender-permitted.ts'

type EndCase = RecipientCase<EndOfMessageTransaction>

/** The position, where it is still to be settled. */
function openPosition(c: EndCase): Position | undefined {
  if (c.tx.settledAtRcpt || c.target.kind !== 'posting' || c.position?.ok !== true) return undefined
  return c.position.value
}

const inWords = (c: EndCase): string => (c.tx.settledAtRcpt ? 'settled at RCPT' : positionInWords(c))

export const authorPermitted: Rule<EndCase> = {
  name: 'author-permitted',
  sees: inWords,
  judge: c => {
    const position = openPosition(c)
    if (position?.action !== 'reject') return undefined
    const reason = position.standing === 'banned' ? 'sender-banned' : 'sender-not-permitted'
    return rule('reject', reason, c.target, ownWords(c.target))
  },
}

export const authorSettles: Rule<EndCase> = {
  name: 'author-settles',
  sees: inWords,
  judge: c => {
    const position = openPosition(c)
    switch (position?.action) {
      case undefined:
      case 'reject':
        return undefined
      case 'discard':
        return rule('discard', 'sender-discarded', c.target)
      case 'hold':
        return rule('hold', 'sender-moderated', c.target)
      case 'accept':
      case 'defer':
        return noEmergency.judge(c) ?? firstPostSeen.judge(c) ?? rule('accept', 'sender-permitted', c.target)
    }
  },
}
