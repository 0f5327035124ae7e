/**
 * One message, from MAIL to its end: its recipients as they were judged, its authors and its size. Lives as long as the
 * mail transaction and not longer; whatever a connection keeps is in `connection.ts`.
 */
import { AuthorFields } from '../app/authorship.ts'
import { isOwnFault } from '../app/gate.ts'
import type { Address, AddressKey } from '../core/address.ts'
import { replyFor } from '../core/reason.ts'
import type { AcceptedRecipient } from '../core/transaction.ts'
import { acceptedKind, type Verdict } from '../core/verdict.ts'
import type { Macros } from './macros.ts'
import { recipientsOf } from './path.ts'
import { type Conduct, type MilterCounts, queueIdOf, type Work } from './question.ts'
import { answerIfNoneTakes, type Conclusion, judge, type Recipient, type Settling, settle } from './settle.ts'
import {
  ACCEPT,
  type Answer,
  answerTo,
  CONTINUE,
  DISCONNECT,
  dataTransaction,
  type MessageFacts,
  rcptTransaction,
  refuse,
  TEMPFAIL,
} from './translate.ts'

/** Recipients of one message that are kept in mind, whosever they are. MTAs take 1000 or so. */
export const MAX_RECIPIENTS = 10_000

/** CR LF between header and body. */
const SEPARATOR_SIZE = 2

export class Message {
  readonly #facts: MessageFacts
  readonly #conduct: Conduct
  readonly #counts: MilterCounts
  #recipients: Recipient[] = []
  /** Every recipient that was let through, ours or not. */
  readonly #accepted = new Map<AddressKey, AcceptedRecipient>()
  /** Recipients let through that are none of ours and have no address that could be named. */
  #unnamed = 0
  /** Recipients let through unjudged. */
  #unjudged = 0
  /** RCPTs that let a recipient through, repeated ones included. */
  #taken = 0
  readonly #authors = new AuthorFields()
  #size = 0
  /** Whether the header has begun: no recipient can be added any more. */
  #begun = false
  /** What settled the message at its header; it holds for all that is still said of it. */
  #over: Answer | undefined
  #counted = false

  constructor(facts: MessageFacts, conduct: Conduct, counts: MilterCounts) {
    this.#facts = facts
    this.#conduct = conduct
    this.#counts = counts
  }

  get #hasOthers(): boolean {
    if (this.#unnamed > 0) return true
    for (const { kind } of this.#accepted.values()) if (kind === 'elsewhere') return true
    return false
  }

  *rcpt(path: string, macros: Macros): Work {
    if (this.#begun) return TEMPFAIL
    if (macros.get('{rcpt_mailer}') === 'error') {
      // Refused by the MTA already: it tells us, and does not listen (SMFIP_RCPT_REJ).
      this.#counts.refusedByMta++
      return CONTINUE
    }
    if (this.#taken >= MAX_RECIPIENTS) return refuse(replyFor('too-many-recipients'))
    const readings = recipientsOf(path, macros.get('{rcpt_addr}'))
    const queueId = queueIdOf(macros)
    const last = readings[readings.length - 1]
    for (const address of readings) {
      const verdict = yield { tx: rcptTransaction(this.#facts, address, this.#before(address)), queueId }
      if (verdict.kind !== 'none' || address === last) return this.#judged({ path, address, atRcpt: verdict })
    }
    this.#unnamed++
    this.#taken++
    return CONTINUE
  }

  /** How many other recipients were let through; one that is repeated counts once. */
  #before(address: Address): number {
    const again = this.#accepted.has(address.key) ? 1 : 0
    return this.#accepted.size + this.#unnamed + this.#unjudged - again
  }

  #judged(recipient: Recipient & { readonly atRcpt: Verdict }): Answer {
    const { address, atRcpt: verdict } = recipient
    if (isOwnFault(verdict) && this.#conduct.onStoreFailure !== 'defer') {
      if (this.#conduct.onStoreFailure === 'disconnect') return DISCONNECT
      this.#recipients.push({ ...recipient, atRcpt: undefined })
      this.#unjudged++
      this.#taken++
      return CONTINUE
    }
    const answer = answerTo(verdict)
    if (answer.kind !== 'continue') return answer
    this.#taken++
    this.#accepted.set(address.key, { recipient: address, kind: acceptedKind(verdict) })
    if (verdict.kind !== 'none') this.#recipients.push(recipient)
    return CONTINUE
  }

  *data(macros: Macros): Work {
    if (this.#begun) return this.#over ?? TEMPFAIL
    if (this.#letsGo()) return ACCEPT
    if (this.#recipients.length === 0) return CONTINUE
    // A recipient that was let pass unjudged is of no known kind: the list of them is not whole.
    const recipients = this.#unnamed + this.#unjudged > 0 ? undefined : [...this.#accepted.values()]
    const verdict = yield { tx: dataTransaction(this.#facts, recipients), queueId: queueIdOf(macros) }
    if (isOwnFault(verdict) && this.#conduct.onStoreFailure !== 'defer') {
      return this.#conduct.onStoreFailure === 'disconnect' ? DISCONNECT : CONTINUE
    }
    return answerTo(verdict)
  }

  /** A field of the header. Its value is of use for authors only; `size` is in octets. */
  header(name: string, value: string, size: number): Answer {
    this.#begun = true
    this.#size += size
    if (this.#letsGo()) return ACCEPT
    this.#authors.add(name, value)
    return this.#over ?? CONTINUE
  }

  *endOfHeaders(macros: Macros): Work {
    this.#begun = true
    this.#size += SEPARATOR_SIZE
    if (this.#letsGo()) return ACCEPT
    this.#over ??= yield* this.#settleByHeader(queueIdOf(macros))
    return this.#over ?? CONTINUE
  }

  /**
   * The header tells the authors. If nobody can be among the recipients who takes the message whatever they are, that
   * may settle it. The size that was declared is judged along with them; the counted one is, if it turns out larger.
   */
  *#settleByHeader(queueId: string | undefined): Work<Answer | undefined> {
    const open = this.#recipients.some(({ atRcpt }) => atRcpt?.kind === 'later')
    const undecided = this.#recipients.every(
      ({ atRcpt }) => atRcpt?.kind === 'later' || atRcpt?.kind === 'discard',
    )
    if (!open || !undecided || this.#hasOthers) return undefined
    const settling = this.#settling(Math.max(this.#size, this.#facts.declaredSize ?? 0), queueId)
    const { size } = settling.ending
    const verdicts: (Verdict | undefined)[] = []
    for (const [place, recipient] of this.#recipients.entries()) {
      if (recipient.atRcpt?.kind === 'discard') {
        verdicts.push(recipient.atRcpt)
        continue
      }
      const judged = yield* judge(settling, recipient, false)
      if ('answer' in judged) return judged.answer
      if (judged.verdict === undefined) return undefined
      this.#recipients[place] = { ...recipient, atHeader: { verdict: judged.verdict, size } }
      verdicts.push(judged.verdict)
      if (answerIfNoneTakes(verdicts) === undefined) return undefined
    }
    return answerIfNoneTakes(verdicts)
  }

  /** So many octets of the body. */
  body(size: number): Answer {
    this.#begun = true
    this.#size += size
    return this.#over ?? CONTINUE
  }

  *endOfMessage(size: number, macros: Macros): Work<Conclusion> {
    this.body(size)
    if (this.#over !== undefined) return { answer: this.#over, modifications: [] }
    const declared = this.#conduct.countBodies ? 0 : (this.#facts.declaredSize ?? 0)
    return yield* settle(this.#settling(Math.max(this.#size, declared), queueIdOf(macros)))
  }

  #settling(size: number, queueId: string | undefined): Settling {
    const open = this.#recipients.some(({ atRcpt }) => atRcpt === undefined || atRcpt.kind === 'later')
    return {
      message: this.#facts,
      recipients: this.#recipients,
      hasOthers: this.#hasOthers,
      ending: { size, authorship: open ? this.#authors.authorship : undefined },
      queueId,
      conduct: this.#conduct,
    }
  }

  /** Whether the message is none of ours; then nothing more needs to be heard of it. */
  #letsGo(): boolean {
    if (this.#recipients.length > 0 || this.#taken === 0) return false
    if (!this.#counted) this.#counts.otherMessages++
    this.#counted = true
    return true
  }
}
