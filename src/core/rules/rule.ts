/**
 * What a rule is: a name for what it settles, what it looks at in words, and a judgement or none. Rules are pure and
 * know nothing of each other; their order is in `index.ts`.
 */
import type { Facts, Site } from '../facts.ts'
import type { Parsed } from '../parsed.ts'
import { type Reason, type ReplyDetails, replyFor } from '../reason.ts'
import type { Position } from '../standing.ts'
import type { Target } from '../target.ts'
import type { EndOfMessageTransaction, RcptTransaction, Transaction } from '../transaction.ts'
import type { Verdict } from '../verdict.ts'

/** What a rule is given. */
export interface Case<T extends Transaction = Transaction> {
  readonly tx: T
  readonly facts: Facts
  readonly site: Site
}

/** A case about one recipient: what it is, and who the poster is to it where it is a list. */
export interface RecipientCase<T extends RcptTransaction | EndOfMessageTransaction = RcptTransaction>
  extends Case<T> {
  readonly target: Target
  /** Only for a posting address. */
  readonly position: Parsed<Position> | undefined
}

type Unnamed<V> = V extends Verdict ? Omit<V, 'rule'> : never

/** A verdict that does not yet say which rule gave it. */
export type Ruling = Unnamed<Verdict>

export interface Rule<C extends Case> {
  /** Kebab-case; stands in the log and in explanations. */
  readonly name: string
  /** What the rule looks at in this case, in a few words, for explanations. */
  readonly sees: (c: C) => string
  /** The ruling, or nothing if the rule does not settle this case. Of two rules the first one counts. */
  readonly judge: (c: C) => Ruling | undefined
}

/** A ruling that comes with a reply, which the reason's wording gives. */
export function rule(
  kind: Exclude<Verdict['kind'], 'none'>,
  reason: Reason,
  target?: Target,
  details: ReplyDetails = {},
): Ruling {
  if (target === undefined || target.kind === 'elsewhere' || target.kind === 'postmaster') {
    return { kind, reason, reply: replyFor(reason, details) }
  }
  const list = 'name' in target ? target.name : target.list.address
  const reply = replyFor(reason, { list, ...details })
  if ('name' in target) return { kind, reason, reply }
  return target.kind === 'service'
    ? { kind, reason, reply, list, service: target.service }
    : { kind, reason, reply, list }
}

/** The list's own words for a refusal, where it has any. */
export function ownWords(target: Target): ReplyDetails {
  if (target.kind !== 'posting') return {}
  return { ownText: target.settings.reply_text, url: target.settings.reply_url }
}
