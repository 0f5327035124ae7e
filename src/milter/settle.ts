/**
 * The end of a message, with all of its recipients in view. A milter has one answer for all of them, and can delete
 * single ones; the client is still there, and hears the answer:
 *
 * - one recipient cannot be judged now: the whole message is refused for now, and nobody gets it twice;
 * - nobody is left to take it: refused in the words of those who refuse, or dropped if nobody does;
 * - some take it, some refuse: the client cannot be told of the latter, so each is asked again as after acceptance, and
 *   the list's `late_refusal` holds or drops its copy;
 * - dropped for one of several: that recipient is deleted.
 */
import { isOwnFault } from '../app/gate.ts'
import type { Address } from '../core/address.ts'
import type { RefuseVerdict, Verdict } from '../core/verdict.ts'
import { deletionPath } from './path.ts'
import type { Conduct, Work } from './question.ts'
import { refusalOf } from './reply-code.ts'
import type { Modification } from './response.ts'
import {
  type Answer,
  CONTINUE,
  DISCARD,
  DISCONNECT,
  type Ending,
  endOfMessageTransaction,
  type MessageFacts,
  overall,
  refuse,
} from './translate.ts'

/** A recipient of ours that was let through at RCPT. */
export interface Recipient {
  /** As the MTA showed it. */
  readonly path: string
  readonly address: Address
  /** RCPT's verdict; `undefined` if it was let pass unjudged because the store was away. */
  readonly atRcpt: Verdict | undefined
  /** How it was judged at the end of the header: for which size, and whether nothing in the body can change it. */
  readonly atHeader?: { readonly verdict: Verdict; readonly size: number; readonly whole: boolean }
}

/** What settling goes by. */
export interface Settling {
  readonly message: MessageFacts
  readonly recipients: readonly Recipient[]
  /** Whether there are recipients that are none of ours. */
  readonly hasOthers: boolean
  readonly ending: Ending
  readonly queueId: string | undefined
  readonly conduct: Conduct
}

/** The answer to the end of a message, and what is changed in it. */
export interface Conclusion {
  readonly answer: Answer
  readonly modifications: readonly Modification[]
}

/** The trace field's name. Only the topmost one is ours. */
export const TRACE_HEADER = 'X-Postern'

/**
 * A verdict, and whether it is the law's; `undefined` lets pass what cannot be judged. An answer ends it for the whole
 * message.
 */
type Judged = { readonly verdict: Verdict | undefined; readonly asked: boolean } | { readonly answer: Answer }

function leavesOpen({ atRcpt }: Recipient): boolean {
  return atRcpt === undefined || atRcpt.kind === 'later'
}

/** Judges one recipient, or says why the message ends here. */
export function* judge(
  { message, ending, queueId, conduct }: Settling,
  recipient: Recipient,
  afterAcceptance: boolean,
): Work<Judged> {
  const { atRcpt, atHeader } = recipient
  if (!afterAcceptance && atHeader?.whole === true && ending.size <= atHeader.size) {
    return { verdict: atHeader.verdict, asked: true }
  }
  const about = { settledAtRcpt: !leavesOpen(recipient), afterAcceptance }
  const tx = endOfMessageTransaction(message, recipient.address, ending, about)
  const atEnd = yield { tx, queueId }
  if (isOwnFault(atEnd)) {
    if (conduct.onStoreFailure === 'disconnect') return { answer: DISCONNECT }
    if (conduct.onStoreFailure === 'pass') {
      return { verdict: atRcpt?.kind === 'later' ? undefined : atRcpt, asked: false }
    }
  }
  if (atEnd.kind === 'defer') return { answer: refuse(atEnd.reply) }
  return { verdict: atRcpt === undefined ? atEnd : overall(atRcpt, atEnd), asked: true }
}

const isRefusal = (verdict: Verdict | undefined): verdict is RefuseVerdict => verdict?.kind === 'reject'
const isDropped = (verdict: Verdict | undefined): boolean => verdict?.kind === 'discard'

/** The answer for a message that none of these verdicts takes; `undefined` if one does. */
export function answerIfNoneTakes(verdicts: readonly (Verdict | undefined)[]): Answer | undefined {
  const refused = verdicts.filter(isRefusal)
  if (!verdicts.every(verdict => isRefusal(verdict) || isDropped(verdict))) return undefined
  const [first, ...others] = refused.map(({ reply }) => reply)
  return first === undefined ? DISCARD : { kind: 'refuse', refusal: refusalOf([first, ...others]) }
}

const plain = (answer: Answer): Conclusion => ({ answer, modifications: [] })

/** Settles a message that is whole. */
export function* settle(settling: Settling): Work<Conclusion> {
  const { recipients, hasOthers } = settling
  const verdicts: (Verdict | undefined)[] = []
  for (const recipient of recipients) {
    const judged = yield* judge(settling, recipient, false)
    if ('answer' in judged) return plain(judged.answer)
    verdicts.push(judged.verdict)
  }
  const answer = hasOthers || recipients.length === 0 ? undefined : answerIfNoneTakes(verdicts)
  if (answer !== undefined) return plain(answer)
  for (const [place, recipient] of recipients.entries()) {
    if (!isRefusal(verdicts[place])) continue
    const judged = yield* judge(settling, recipient, true)
    if ('answer' in judged) return plain(judged.answer)
    verdicts[place] = judged.verdict
  }
  return { answer: CONTINUE, modifications: modificationsFor(settling, verdicts) }
}

function modificationsFor(
  { recipients, hasOthers, conduct }: Settling,
  verdicts: readonly (Verdict | undefined)[],
): readonly Modification[] {
  const modifications: Modification[] = []
  for (const [place, { path }] of recipients.entries()) {
    if (isDropped(verdicts[place])) modifications.push({ kind: 'delete-recipient', path: deletionPath(path) })
  }
  const staying = verdicts.filter(verdict => !isDropped(verdict))
  const trace = traceOf(staying)
  if (conduct.traceHeader && trace !== '') {
    modifications.push({ kind: 'insert-header', index: 0, name: TRACE_HEADER, value: trace })
  }
  const held = staying.flatMap(verdict => (verdict?.kind === 'hold' ? [verdict.reason] : []))
  if (conduct.hold === 'quarantine' && !hasOthers && held.length > 0 && held.length === staying.length) {
    modifications.push({ kind: 'quarantine', reason: `Postern: ${[...new Set(held)].join(', ')}` })
  }
  return modifications
}

/** How those who get the message were judged: words of the law, no addresses, each once. */
function traceOf(verdicts: readonly (Verdict | undefined)[]): string {
  const words = verdicts.flatMap(verdict =>
    verdict?.kind === 'accept' || verdict?.kind === 'hold' ? [`${verdict.kind} (${verdict.reason})`] : [],
  )
  return [...new Set(words)].sort().join(', ')
}
