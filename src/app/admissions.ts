/**
 * Admissions: the gate remembers who was let in to a list while their client was on the line, so that no refusal after
 * that becomes a bounce to somebody who never wrote (`core/after-acceptance.ts`). Off the answer path; and one that was
 * written a moment ago is not written again.
 */
import { admissionKey, type Site } from '../core/facts.ts'
import type { Reason } from '../core/reason.ts'
import type { Transaction } from '../core/transaction.ts'
import type { Verdict } from '../core/verdict.ts'
import type { Admission, Clock, FactsStore } from './ports.ts'

/** In milliseconds: so long the store is not told again. Little beside the days for which it remembers. */
const REMEMBERED_MS = 300_000

/** Admissions that are remembered here; of more, the oldest are forgotten, and told again. */
const MAX_REMEMBERED = 10_000

const SECONDS_OF_DAY = 86_400

/** Permission is all that RCPT says with these. */
const LETS_IN_AT_RCPT: ReadonlySet<Reason> = new Set<Reason>([
  'sender-permitted',
  'sender-moderated',
  'list-in-emergency',
  'first-post',
])

/** Whether a verdict lets somebody in to a list who could still have been refused. */
function letsIn(tx: Transaction, { kind, reason, service }: Verdict): boolean {
  if ((kind !== 'accept' && kind !== 'hold') || service !== undefined) return false
  // The command line's questions are nobody's mail.
  if (tx.front === 'cli') return false
  switch (tx.phase) {
    case 'RCPT':
      return tx.afterAcceptance !== true && LETS_IN_AT_RCPT.has(reason)
    case 'END-OF-MESSAGE':
      // In shadow mode they would have been refused: nothing was found that lets them in.
      return !tx.afterAcceptance && !tx.settledAtRcpt && reason !== 'shadow'
    default:
      return false
  }
}

/** The admission that a verdict is, if it is one. */
export function admissionOf(tx: Transaction, verdict: Verdict, site: Site): Admission | undefined {
  if (verdict.list === undefined || !('sender' in tx) || !letsIn(tx, verdict)) return undefined
  const sender = admissionKey(tx.sender)
  if (sender === undefined) return undefined
  return { list: verdict.list, sender, seconds: site.admissionDays * SECONDS_OF_DAY }
}

/** Writes admissions into the store, each once in a while. */
export class Admissions {
  readonly #store: Pick<FactsStore, 'admit'>
  readonly #clock: Clock
  /** By list and sender, when each was written; the oldest first. */
  readonly #written = new Map<string, number>()

  constructor(store: Pick<FactsStore, 'admit'>, clock: Clock) {
    this.#store = store
    this.#clock = clock
  }

  /** Sees to it that the store remembers an admission. Rejects with `StoreUnavailable` if the store is away. */
  async admit(admission: Admission): Promise<void> {
    // No address holds a line end.
    const name = `${admission.list}\n${admission.sender}`
    const now = this.#clock()
    if (now < (this.#written.get(name) ?? Number.NEGATIVE_INFINITY) + REMEMBERED_MS) return
    this.#written.delete(name)
    this.#written.set(name, now)
    if (this.#written.size > MAX_REMEMBERED) {
      const [oldest] = this.#written.keys()
      if (oldest !== undefined) this.#written.delete(oldest)
    }
    try {
      await this.#store.admit(admission)
    } catch (error) {
      this.#written.delete(name)
      throw error
    }
  }
}
