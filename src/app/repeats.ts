/**
 * Questions that are asked again: Postfix asks once for each restriction list that names the policy server, and a client may
 * give a recipient twice. What was answered before is remembered for a while, within bounds.
 */
import type { Transaction } from '../core/transaction.ts'
import type { Verdict } from '../core/verdict.ts'

/** In milliseconds. */
const REMEMBERED_MS = 600_000

/** Answers that are remembered; of more, the oldest are forgotten. */
const MAX_REMEMBERED = 10_000

/**
 * What a question and its answer go by: the same for a repetition, and for nothing else. Nothing for a question that names no
 * message, as two messages cannot be told apart then.
 */
export function repeatKey(
  tx: Transaction,
  verdict: Verdict,
  queueId: string | undefined,
): string | undefined {
  const message = (tx.phase === 'RCPT' ? tx.message : undefined) ?? queueId
  if (message === undefined || !('sender' in tx)) return undefined
  const recipient = 'recipient' in tx ? tx.recipient.key : ''
  return JSON.stringify([
    tx.front,
    tx.phase,
    message,
    tx.sender.text,
    recipient,
    verdict.kind,
    verdict.reason,
  ])
}

/** Values by such keys. */
export class Repeats<T> {
  readonly #known = new Map<string, { readonly value: T; readonly at: number }>()

  /** The value of the first time; if this is it, `make` gives the value. Times are milliseconds. */
  first(key: string, at: number, make: () => T): { readonly value: T; readonly repeated: boolean } {
    const before = this.#known.get(key)
    if (before !== undefined && at - before.at < REMEMBERED_MS) return { value: before.value, repeated: true }
    const value = make()
    this.#known.delete(key)
    this.#known.set(key, { value, at })
    if (this.#known.size > MAX_REMEMBERED) {
      const [oldest] = this.#known.keys()
      if (oldest !== undefined) this.#known.delete(oldest)
    }
    return { value, repeated: false }
  }
}
