/**
 * The gate: a transaction in, a verdict out. Loads the facts, decides, notes the decision, remembers whom it let in, and
 * turns every failure into a temporary answer. Synchronous wherever the facts are at hand.
 */
import { decide, type TraceStep } from '../core/decide.ts'
import { type Facts, factsNeeded, isEmptyQuery, NO_FACTS, type Site, senderForms } from '../core/facts.ts'
import { type Reason, replyFor } from '../core/reason.ts'
import { NO_FORMS, type SenderForm } from '../core/sender-forms.ts'
import type { Transaction } from '../core/transaction.ts'
import type { Verdict } from '../core/verdict.ts'
import { Admissions, admissionOf } from './admissions.ts'
import { type Clock, type FactsStore, type PromiseOr, StoreUnavailable } from './ports.ts'
import { type ReasonId, ReasonIds, withReasonId } from './reason-id.ts'

/** A decision, as it is noted. */
export interface Decided {
  readonly tx: Transaction
  readonly verdict: Verdict
  /** Milliseconds since the epoch. */
  readonly at: number
  /** Milliseconds from question to answer. */
  readonly latency: number
  /** What the MTA calls the message, where it said so. */
  readonly queueId: string | undefined
  /** The reason id that the reply ends with, if it has one. */
  readonly ref?: ReasonId | undefined
}

/** Where the gate notes what it does. Must not throw and must not wait. */
export interface Recorder {
  decided(decision: Decided): void
  /** The store failed, or works again. Called at every failure; saying it once is the recorder's business. */
  storeState(state: 'up' | 'down', cause?: unknown): void
  /** A bug of ours, already turned into a temporary answer. */
  internalError(error: unknown, tx: Transaction): void
}

/** A verdict with every rule that was tried. */
export interface Explanation {
  readonly verdict: Verdict
  readonly trace: readonly TraceStep[]
  /** The envelope sender's address, and the other forms under which it was looked up; none where there is no address. */
  readonly forms: readonly SenderForm[]
}

export interface GateParts {
  readonly store: FactsStore
  readonly site: Site
  readonly recorder: Recorder
  readonly clock: Clock
}

/** How long a question has waited already, and what the MTA calls the message. */
export interface Asking {
  readonly queueId?: string | undefined
}

function ownFault(reason: Extract<Reason, 'store-unavailable' | 'internal-error'>): Verdict {
  return { kind: 'defer', reason, rule: 'own-fault', reply: replyFor(reason) }
}

/** Whether a verdict comes from our own failure and not from the law: fronts may then do as the site chose. */
export function isOwnFault(verdict: Verdict): boolean {
  return verdict.reason === 'store-unavailable' || verdict.reason === 'internal-error'
}

export class Gate {
  readonly #parts: GateParts
  readonly #admissions: Admissions
  readonly #reasonIds = new ReasonIds()

  constructor(parts: GateParts) {
    this.#parts = parts
    this.#admissions = new Admissions(parts.store, parts.clock)
  }

  /** Judges a transaction. Never throws and never rejects. */
  ask(tx: Transaction, asking: Asking = {}): PromiseOr<Verdict> {
    const started = this.#parts.clock()
    try {
      const query = factsNeeded(tx, this.#parts.site)
      const facts = isEmptyQuery(query) ? NO_FACTS : this.#parts.store.load(query)
      if (!(facts instanceof Promise)) return this.#judge(tx, facts, asking, started)
      return facts.then(
        loaded => this.#judge(tx, loaded, asking, started),
        (error: unknown) => this.#failed(tx, error, asking, started),
      )
    } catch (error) {
      return this.#failed(tx, error, asking, started)
    }
  }

  /** Judges a transaction and tells how, without noting it. Rejects with `StoreUnavailable` if the store is away. */
  async explain(tx: Transaction): Promise<Explanation> {
    const trace: TraceStep[] = []
    const query = factsNeeded(tx, this.#parts.site)
    const facts = isEmptyQuery(query) ? NO_FACTS : await this.#parts.store.load(query)
    const { site } = this.#parts
    const { forms } = 'sender' in tx ? senderForms(tx.sender, site) : NO_FORMS
    return { verdict: decide(tx, facts, site, trace), trace, forms }
  }

  #judge(tx: Transaction, facts: Facts, asking: Asking, started: number): Verdict {
    let verdict: Verdict
    // What needed no look-up says nothing about the store.
    if (facts !== NO_FACTS) this.#parts.recorder.storeState('up')
    try {
      verdict = decide(tx, facts, this.#parts.site)
    } catch (error) {
      return this.#failed(tx, error, asking, started)
    }
    this.#count(tx, verdict, facts)
    const told = this.#note(tx, verdict, asking, started)
    this.#admit(tx, verdict)
    return told
  }

  #failed(tx: Transaction, error: unknown, asking: Asking, started: number): Verdict {
    if (error instanceof StoreUnavailable) {
      this.#parts.recorder.storeState('down', error)
      return this.#note(tx, ownFault('store-unavailable'), asking, started)
    }
    this.#parts.recorder.internalError(error, tx)
    return this.#note(tx, ownFault('internal-error'), asking, started)
  }

  #note(tx: Transaction, verdict: Verdict, asking: Asking, started: number): Verdict {
    const at = this.#parts.clock()
    const { queueId } = asking
    const { reasonIds } = this.#parts.site
    const ref = reasonIds === undefined ? undefined : this.#reasonIds.idOf(tx, verdict, queueId, at)
    if (ref === undefined || verdict.kind === 'none') {
      this.#parts.recorder.decided({ tx, verdict, at, latency: at - started, queueId })
      return verdict
    }
    const told = { ...verdict, reply: withReasonId(verdict.reply, ref, reasonIds?.url) }
    this.#parts.recorder.decided({ tx, verdict: told, at, latency: at - started, queueId, ref })
    return told
  }

  /** Remembers whom a verdict lets in; off the answer path. */
  #admit(tx: Transaction, verdict: Verdict): void {
    const admission = admissionOf(tx, verdict, this.#parts.site)
    if (admission === undefined) return
    this.#admissions
      .admit(admission)
      .catch((error: unknown) => this.#parts.recorder.storeState('down', error))
  }

  /** Counts a post that was let through to a list with a rate; off the answer path. */
  #count(tx: Transaction, verdict: Verdict, facts: Facts): void {
    if (tx.phase !== 'RCPT' || tx.message === undefined) return
    if (verdict.list === undefined || verdict.service !== undefined) return
    if (verdict.kind === 'reject' || verdict.kind === 'defer' || verdict.reason === 'existence-only') return
    const list = facts.lists.get(verdict.list)
    const rate = list?.settings.ok === true ? list.settings.value.rate : undefined
    if (rate === undefined || list?.posts.counted === true) return
    const { poster } = senderForms(tx.sender, this.#parts.site)
    if (poster === undefined) return
    this.#parts.store
      .countPost({ list: verdict.list, sender: poster, message: tx.message, ...rate })
      .catch((error: unknown) => this.#parts.recorder.storeState('down', error))
  }
}
