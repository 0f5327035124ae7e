/**
 * What becomes of a refusal when an MTA has taken the message already: refused then, it would send a bounce, and to
 * whoever is named as the sender. So nobody is refused any more but those whose return path is theirs: who was
 * authenticated, or was let in to the list while their client was on the line. A refusal that goes by what a sender is to
 * the list, and has come about since they were let in, gives way altogether.
 */
import type { Facts, Site } from './facts.ts'
import type { ListSettings } from './list.ts'
import { type Reason, replyFor } from './reason.ts'
import { asksExistenceOnly } from './rules/existence-only.ts'
import type { Target } from './target.ts'
import type { EndOfMessageTransaction, RcptTransaction } from './transaction.ts'
import type { RefuseVerdict, Verdict } from './verdict.ts'

type TakenTransaction = RcptTransaction | EndOfMessageTransaction

/** Refusals that go by what the sender is. */
const BY_SENDER: ReadonlySet<Reason> = new Set<Reason>([
  'sender-forbidden',
  'sender-banned',
  'sender-not-permitted',
])

function settingsOf(target: Target): ListSettings | undefined {
  return target.kind === 'posting' || target.kind === 'service' ? target.settings : undefined
}

/** Holds or drops what cannot be refused, as the list says, or the site for what is no list. */
function withoutBounce(refusal: RefuseVerdict, target: Target, site: Site): Verdict {
  const choice = settingsOf(target)?.late_refusal ?? site.lateRefusal
  const reason = choice === 'hold' ? 'late-refusal-held' : 'late-refusal-discarded'
  // What is held for no list is kept under the name that it was sent to.
  const list = target.kind === 'unknown' ? target.name : refusal.list
  return {
    ...refusal,
    kind: choice,
    reason,
    reply: replyFor(reason, list === undefined ? {} : { list }),
    ...(list !== undefined && { list }),
    inPlaceOf: refusal,
  }
}

/** The verdict on a message that has been taken, out of what the law says of it. */
export function afterAcceptance(
  verdict: Verdict,
  tx: TakenTransaction,
  target: Target,
  { facts, site }: { readonly facts: Facts; readonly site: Site },
): Verdict {
  if (tx.afterAcceptance !== true || verdict.kind !== 'reject') return verdict
  // Whoever asks for existence gets the truth: no message of theirs can become a bounce.
  if (tx.phase === 'RCPT' && asksExistenceOnly(tx.sender, site)) return verdict
  const admitted = target.kind === 'posting' && facts.lists.get(target.list.address)?.admitted === true
  if (admitted && BY_SENDER.has(verdict.reason) && target.settings.honour_admission === 'yes') {
    const { address: list } = target.list
    return { ...verdict, kind: 'accept', reason: 'admitted-before', reply: replyFor('admitted-before'), list }
  }
  const isTheirs = tx.sender.kind === 'address' && (admitted || tx.client.user !== undefined)
  return isTheirs ? verdict : withoutBounce(verdict as RefuseVerdict, target, site)
}
