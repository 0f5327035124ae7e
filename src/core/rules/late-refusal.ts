/**
 * Not a rule but an answer that several share: what becomes of a message that should be refused when an MTA has
 * already taken it. A refusal would make the MTA send a bounce to a return path that nobody has proven.
 */
import type { Target } from '../target.ts'
import { type Ruling, rule } from './rule.ts'

/** Holds or discards, as the list says. */
export function lateRefusal(target: Target & { readonly kind: 'posting' }): Ruling {
  return target.settings.late_refusal === 'hold'
    ? rule('hold', 'late-refusal-held', target)
    : rule('discard', 'late-refusal-discarded', target)
}
