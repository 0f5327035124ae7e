/**
 * Not a rule but what the rules about a message's content share: the list's action for what was found, as a ruling. The
 * reason is the same whatever is done; its words are those of a refusal.
 */
import type { ContentAction } from '../content.ts'
import { type Reason, type ReplyDetails, replyFor } from '../reason.ts'
import type { Target } from '../target.ts'
import { type Ruling, rule } from './rule.ts'

/** The ruling for an action; none if the list lets it be. */
export function contentRuling(
  action: ContentAction,
  reason: Reason,
  target: Target & { readonly kind: 'posting' },
  details: ReplyDetails = {},
): Ruling | undefined {
  const list = target.list.address
  switch (action) {
    case 'accept':
      return undefined
    case 'hold':
      return { kind: 'hold', reason, list, reply: replyFor('sender-moderated', { list }) }
    case 'discard':
      return { kind: 'discard', reason, list, reply: replyFor('sender-discarded') }
    case 'reject':
      return rule('reject', reason, target, details)
  }
}
