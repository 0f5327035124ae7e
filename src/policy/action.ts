/**
 * Answers of a policy server: `action=` with an access(5) action, LF, and an empty line.
 *
 * Postfix takes an empty action, spaces alone and digits alone for a permission, reads a leading space as a list of
 * restrictions, waits for ever after a CR, and shows leftovers of an older reply after a code without a text. None
 * of these is an `Action`. Nor is `OK`, which would end the restriction list: a policy server has no business to let
 * anybody pass the restrictions that follow it.
 */
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import { formatReply, type Reply } from '../core/reply.ts'

declare const actionBrand: unique symbol

/** `DUNNO`, or a refusal as `code enhanced-code text` in printable ASCII. */
export type Action = string & { readonly [actionBrand]: true }

/** No objection: what follows in the MTA's restrictions decides. */
export const DUNNO: Action = 'DUNNO' as Action

const REFUSAL = /^(?:4\d\d 4|5\d\d 5)\.\d{1,3}\.\d{1,3} [\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

/** Takes a text for an action if it is one that may be sent. */
export function parseAction(text: string): Parsed<Action> {
  return text === DUNNO || REFUSAL.test(text)
    ? parsed(text as Action)
    : problem('expected DUNNO, or a 4xx or 5xx code, an enhanced code of its class and a text')
}

/** A refusal, with the reply's own codes and text. Throws if the reply does not refuse: that is a bug. */
export function refusal(reply: Reply): Action {
  const action = parseAction(formatReply(reply))
  if (!action.ok) throw new Error(`a refusal cannot say ${formatReply(reply)}: ${action.problem}`)
  return action.value
}

/** An answer as on the wire: ASCII. */
export function formatAnswer(action: Action): string {
  return `action=${action}\n\n`
}
