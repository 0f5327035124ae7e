/**
 * Lists that are moderated for a while: everybody's posts in an emergency, and a person's until a moderator has let
 * one through. Comes when permission is settled, so that only those who may post wait.
 */
import type { EndOfMessageTransaction, RcptTransaction } from '../transaction.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

type AnyCase = RecipientCase<RcptTransaction | EndOfMessageTransaction>

export const noEmergency: Rule<AnyCase> = {
  name: 'no-emergency',
  sees: ({ target }) => (target.kind === 'posting' ? `emergency ${target.settings.emergency}` : 'no list'),
  judge: ({ target }) =>
    target.kind === 'posting' && target.settings.emergency === 'on'
      ? rule('hold', 'list-in-emergency', target)
      : undefined,
}

export const firstPostSeen: Rule<AnyCase> = {
  name: 'first-post-seen',
  sees: ({ target, position }) => {
    if (target.kind !== 'posting' || target.settings.first_post === 'accept')
      return 'first posts are like others'
    return position?.ok === true && position.value.seen ? 'one was let through' : 'none was let through yet'
  },
  judge: ({ target, position }) => {
    if (target.kind !== 'posting' || target.settings.first_post === 'accept') return undefined
    if (position?.ok !== true || position.value.seen) return undefined
    const { standing, action } = position.value
    const waits = standing === 'member' && (action === 'accept' || action === 'defer')
    return waits ? rule('hold', 'first-post', target) : undefined
  },
}
