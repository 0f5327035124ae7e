/**
 * What becomes of a refusal when an MTA has taken the message already: refused then, it would send a bounce, and to
 * whoever is named as the sender. So nobody is refused any more but those whose return path is theirs: who was
 * authenticated, or was let in to the list while their client was on the line and is somebody to the list. A list that
 * takes posts of strangers lets in whoever is named as the sender, which proves nothing. A refusal that goes by what a
 * sender is to the list, and has come about since they were let in, gives way altogether.
 */
import { type Facts, type Site, senderForms } from './facts.ts'
import type { ListSettings } from './list.ts'
import { type Reason, replyFor } from './reason.ts'
import { asksExistenceOnly } from './rules/existence-only.ts'
import { positionOf } from './standing.ts'
import type { Target } from './target.ts'
import type { EndOfMessageTransaction, ListAddress, RcptTransaction } from './transaction.ts'
import type { RefuseVerdict, Verdict } from './verdict.ts'

type TakenTransaction = RcptTransaction | EndOfMessageTransaction

interface Ground {
  readonly facts: Facts
  readonly site: Site
}

/** Refusals that go by what the sender is. */
const BY_SENDER: ReadonlySet<Reason> = new Set<Reason>([
  'sender-forbidden',
  'sender-banned',
  'sender-not-permitted',
])

/** Refusals that go by where the message came from: it is not the one whose sender was let in from elsewhere. */
const BY_CLIENT: ReadonlySet<Reason> = new Set<Reason>(['mta-unknown', 'mta-refused'])

function settingsOf(target: Target): ListSettings | undefined {
  return target.kind === 'posting' || target.kind === 'service' ? target.settings : undefined
}

function isAdmitted(target: Target, { facts }: Ground): target is Target & { kind: 'posting' } {
  return target.kind === 'posting' && facts.lists.get(target.list.address)?.admitted === true
}

/**
 * Whether the list has a record of the envelope sender's own address. One that was found in a wrapping is of somebody
 * else, one of a whole domain says nothing of who is there, and nothing is said of authors.
 */
function hasRecord(
  tx: TakenTransaction,
  target: Target & { kind: 'posting' },
  { facts, site }: Ground,
): boolean {
  const position = positionOf(senderForms(tx.sender, site), target.list, target.settings, facts.siteBans)
  if (!position.ok || position.value.by === undefined) return false
  const { by, standing, found } = position.value
  return standing !== 'banned' && found !== 'decoded' && by.lastIndexOf('@') > 0
}

/** Whether a refusal reaches whoever sent the message. */
function isTheirs(tx: TakenTransaction, target: Target, ground: Ground): boolean {
  if (tx.sender.kind !== 'address') return false
  return tx.client.user !== undefined || (isAdmitted(target, ground) && hasRecord(tx, target, ground))
}

/**
 * Whether the truth may be told because no message can become a bounce: to the null sender, and to a probe, which an MTA
 * sends itself. What a client from elsewhere sends in a probe's name is a message.
 */
function mayBeTold(tx: TakenTransaction, site: Site): boolean {
  if (tx.phase !== 'RCPT' || !asksExistenceOnly(tx.sender, site)) return false
  return tx.sender.kind === 'null-sender' || tx.client.ip === undefined
}

/** What becomes of a copy that cannot be refused, as the list says, or the site for what is no list. */
function choiceFor(target: Target, site: Site): 'hold' | 'discard' {
  return settingsOf(target)?.late_refusal ?? site.lateRefusal
}

/** Under which name a copy is held; for no list it is the name that it was sent to. */
function nameOf(target: Target): ListAddress | undefined {
  if ('list' in target) return target.list.address
  return 'name' in target ? target.name : undefined
}

/** Holds or drops what cannot be refused. */
function withoutBounce(refusal: RefuseVerdict, target: Target, site: Site): Verdict {
  const choice = choiceFor(target, site)
  const reason = choice === 'hold' ? 'late-refusal-held' : 'late-refusal-discarded'
  const list = nameOf(target)
  return {
    ...refusal,
    kind: choice,
    reason,
    reply: replyFor(reason, list === undefined ? {} : { list }),
    ...(list !== undefined && { list }),
    ...(target.kind === 'service' && { service: target.service }),
    lateRefusal: choice,
    inPlaceOf: refusal,
  }
}

/**
 * Whether a refusal gives way because its sender was let in: what else there is to be said of the message is then judged
 * as if they might still post.
 */
export function honoursAdmission(
  verdict: Verdict,
  tx: TakenTransaction,
  target: Target,
  ground: Ground,
): boolean {
  if (tx.afterAcceptance !== true || verdict.kind !== 'reject' || !BY_SENDER.has(verdict.reason)) return false
  return isAdmitted(target, ground) && target.settings.honour_admission === 'yes'
}

/** What is said in place of a refusal that gives way, where nothing else is objected. */
export function admittedBefore(refusal: Verdict, otherwise: Verdict): Verdict {
  if (otherwise.kind !== 'accept') return otherwise
  const reply = replyFor('admitted-before')
  return { ...refusal, kind: 'accept', reason: 'admitted-before', reply }
}

/** The verdict on a message that has been taken, out of what the law says of it. */
export function afterAcceptance(
  verdict: Verdict,
  tx: TakenTransaction,
  target: Target,
  ground: Ground,
): Verdict {
  if (tx.afterAcceptance !== true || verdict.kind === 'none' || verdict.kind === 'defer') return verdict
  const { site } = ground
  if (verdict.kind === 'reject' && mayBeTold(tx, site)) return verdict
  if (!BY_CLIENT.has(verdict.reason) && isTheirs(tx, target, ground)) return verdict
  if (verdict.kind === 'reject') return withoutBounce(verdict as RefuseVerdict, target, site)
  return { ...verdict, lateRefusal: choiceFor(target, site) }
}
