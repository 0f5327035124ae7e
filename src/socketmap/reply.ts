/**
 * Replies of a socketmap server (socketmap_table(5)).
 */
import { replyText } from '../core/reply.ts'

export type Reply =
  | { readonly kind: 'found'; readonly data: string }
  | { readonly kind: 'not-found' }
  /** Something of ours fails: Postfix answers 451 and tries again. */
  | { readonly kind: 'temporary'; readonly reason: string }
  /** The question makes no sense: Postfix answers 451, too, and its log has the reason. */
  | { readonly kind: 'permanent'; readonly reason: string }

export const NOT_FOUND: Reply = Object.freeze({ kind: 'not-found' })

/** The store could not be asked, or we have failed ourselves. */
export const OWN_FAULT: Reply = Object.freeze({
  kind: 'temporary',
  reason: 'Postern cannot look it up now; try again later',
})

/** That something was found. Postfix takes an empty value for an error: there must be one. */
export function found(data: string): Reply {
  return { kind: 'found', data }
}

/** That the question makes no sense. */
export function senseless(reason: string): Reply {
  return { kind: 'permanent', reason }
}

/** A reply as text. Every kind has its space, even where nothing follows. */
export function formatReply(reply: Reply): string {
  switch (reply.kind) {
    case 'found':
      return `OK ${reply.data}`
    case 'not-found':
      return 'NOTFOUND '
    case 'temporary':
      return `TEMP ${replyText(reply.reason)}`
    case 'permanent':
      return `PERM ${replyText(reply.reason)}`
  }
}
