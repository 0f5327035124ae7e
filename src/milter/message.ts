/**
 * One message, from MAIL to its end: its recipients as they were judged, what is read of it, and its size. Lives as long as the
 * mail transaction and not longer; whatever a connection keeps is in `connection.ts`.
 */
import { isOwnFault } from '../app/gate.ts'
import type { Address, AddressKey } from '../core/address.ts'
import { replyFor } from '../core/reason.ts'
import type { AcceptedRecipient } from '../core/transaction.ts'
import { acceptedKind, type Verdict } from '../core/verdict.ts'
import type { Macros } from './macros.ts'
import { recipientsOf } from './path.ts'
import { type Conduct, type MilterCounts, queueIdOf, type Work } from './question.ts'
import { Reading } from './reading.ts'
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

/** Whether a recipient is a list's posting address, or may be one. */
function isForList({ atRcpt }: Recipient): boolean {
  return atRcpt?.service === undefined
}

/** Whether a recipient's list looks at parts, or may do so. */
function mayLookAtParts({ atRcpt }: Recipient): boolean {
  return atRcpt === undefined || atRcpt.looksAtParts === true
}

/** Whether a recipient that was let through may still not take the message; a service address does. */
function mayRefuse({ atRcpt }: Recipient): boolean {
  return atRcpt !== undefined && atRcpt.service === undefined
}

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
  readonly #reading = new Reading()
  /** Whether a list is among the recipients; found out when there can be no more of them. */
  #forList: boolean | undefined
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

  /** A field of the header, whose value is of use for lists only; `size` is in octets. */
  header(name: string, value: string, size: number): Answer {
    this.#begun = true
    this.#size += size
    if (this.#letsGo()) return ACCEPT
    this.#forList ??= this.#recipients.some(isForList)
    if (this.#forList) this.#reading.add(name, value)
    return this.#over ?? CONTINUE
  }

  *endOfHeaders(macros: Macros): Work {
    this.#begun = true
    this.#size += SEPARATOR_SIZE
    if (this.#letsGo()) return ACCEPT
    this.#reading.endHeader({ parts: this.#conduct.countBodies && this.#recipients.some(mayLookAtParts) })
    this.#over ??= yield* this.#settleByHeader(queueIdOf(macros))
    return this.#over ?? CONTINUE
  }

  /**
   * The header tells most of what there is to know: the authors, loops, replies of machines, the list's own rules. If
   * nobody can be among the recipients who takes the message whatever it says, that may settle it. The size that was
   * declared is judged along with it; the counted one is, if it turns out larger.
   */
  *#settleByHeader(queueId: string | undefined): Work<Answer | undefined> {
    if (this.#recipients.length === 0 || !this.#recipients.every(mayRefuse) || this.#hasOthers)
      return undefined
    const settling = this.#settling(Math.max(this.#size, this.#facts.declaredSize ?? 0), queueId)
    const { size } = settling.ending
    const verdicts: (Verdict | undefined)[] = []
    for (const [place, recipient] of this.#recipients.entries()) {
      const judged = yield* judge(settling, recipient, false)
      if ('answer' in judged) return judged.answer
      if (judged.verdict === undefined) return undefined
      if (judged.asked) {
        const whole = !this.#reading.wantsBody || !mayLookAtParts(recipient)
        this.#recipients[place] = { ...recipient, atHeader: { verdict: judged.verdict, size, whole } }
      }
      verdicts.push(judged.verdict)
      if (answerIfNoneTakes(verdicts) === undefined) return undefined
    }
    return answerIfNoneTakes(verdicts)
  }

  /** Whether the body's bytes are looked at. */
  get wantsBody(): boolean {
    return this.#reading.wantsBody && this.#over === undefined
  }

  /** Bytes of the body; they are counted by `body`. They are not kept. */
  bytes(bytes: Uint8Array): void {
    if (this.wantsBody) this.#reading.body(bytes)
  }

  /** So many octets of the body. */
  body(size: number): Answer {
    this.#begun = true
    this.#size += size
    return this.#over ?? CONTINUE
  }

  *endOfMessage(size: number, macros: Macros): Work<Conclusion> {
    this.body(size)
    this.#reading.end()
    if (this.#over !== undefined) return { answer: this.#over, modifications: [] }
    const declared = this.#conduct.countBodies ? 0 : (this.#facts.declaredSize ?? 0)
    return yield* settle(this.#settling(Math.max(this.#size, declared), queueIdOf(macros)))
  }

  #settling(size: number, queueId: string | undefined): Settling {
    const lists = new Set(this.#recipients.filter(isForList).map(({ atRcpt }) => atRcpt?.list))
    return {
      message: this.#facts,
      recipients: this.#recipients,
      hasOthers: this.#hasOthers,
      ending: {
        size,
        // Nothing was read for service addresses alone, which need none of it.
        ...(lists.size > 0 && { reading: this.#reading.soFar }),
        ...(this.#unjudged === 0 && { lists: lists.size }),
      },
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
