/**
 * One connection's questions and answers: request in, action out, one for one and in order. Touches no socket, and
 * waits only where the gate does.
 */
import { type Gate, isOwnFault } from '../app/gate.ts'
import type { PromiseOr } from '../app/ports.ts'
import type { Transaction } from '../core/transaction.ts'
import type { Verdict } from '../core/verdict.ts'
import { type Action, DUNNO } from './action.ts'
import { type MessageKey, type Messages, messageKey } from './messages.ts'
import { type Attributes, actionOf, transactionOf } from './translate.ts'

/** What is answered when the store is away or we have failed ourselves. */
export type OnStoreFailure = 'defer' | 'pass' | 'disconnect'

export interface SessionParts {
  readonly gate: Pick<Gate, 'ask'>
  /** Looked at each time it is needed: a site may change its mind while connections live on. */
  readonly onStoreFailure: OnStoreFailure
}

export class PolicySession {
  readonly #parts: SessionParts
  /** Those of all sessions. */
  readonly #messages: Messages
  #message: MessageKey | undefined

  constructor(parts: SessionParts, messages: Messages) {
    this.#parts = parts
    this.#messages = messages
  }

  /** Answers a request; `undefined` if it is to be left unanswered and the connection closed. */
  answer(request: Attributes): PromiseOr<Action | undefined> {
    const messages = this.#messages
    const message = messageKey(request.get('instance'), request.get('client_address'))
    if (message !== undefined && message !== this.#message) {
      // SMTPD_POLICY_README: another instance on the same connection says that the message before is over.
      if (this.#message !== undefined) messages.forget(this.#message)
      this.#message = message
    }
    const tx = transactionOf(request, messages.of(message))
    if (tx === undefined) return DUNNO
    const verdict = this.#parts.gate.ask(tx, { queueId: request.get('queue_id') || undefined })
    return verdict instanceof Promise
      ? verdict.then(settled => this.#settle(tx, message, settled))
      : this.#settle(tx, message, verdict)
  }

  #settle(tx: Transaction, message: MessageKey | undefined, verdict: Verdict): Action | undefined {
    const { onStoreFailure } = this.#parts
    if (isOwnFault(verdict) && onStoreFailure !== 'defer') {
      // A recipient that is let pass unjudged is not collected: at DATA the count then tells that one is unknown.
      return onStoreFailure === 'pass' ? DUNNO : undefined
    }
    if (tx.phase === 'RCPT' && message !== undefined) this.#messages.judged(message, tx.recipient, verdict)
    return actionOf(verdict)
  }
}
