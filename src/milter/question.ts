/**
 * How milter events are worked on: a generator asks the gate question after question and returns what is answered. It
 * waits for nothing itself; whoever drives it may have the verdicts at hand, or wait for them.
 */
import type { Transaction } from '../core/transaction.ts'
import type { Verdict } from '../core/verdict.ts'
import type { Macros } from './macros.ts'
import type { Answer } from './translate.ts'

/** A question for the gate, and what the MTA calls the message, where it has said so. */
export interface Question {
  readonly tx: Transaction
  readonly queueId: string | undefined
}

/** Work on one event. */
export type Work<A = Answer> = Generator<Question, A, Verdict>

/** What the site chose. */
export interface Conduct {
  /**
   * What is done about a message that is to be held: it goes on to the sink, which holds it by the same law; or the MTA
   * keeps it (SMFIR_QUARANTINE), where it is held for all of its recipients.
   */
  readonly hold: 'sink' | 'quarantine'
  /** Whether messages to lists get a header field that says how they were judged. */
  readonly traceHeader: boolean
  /** Whether bodies are counted; otherwise a message has the size that was declared. */
  readonly countBodies: boolean
  /** What is answered when the store is away or we have failed ourselves. */
  readonly onStoreFailure: 'defer' | 'pass' | 'disconnect'
}

/** What the front has seen since it was made. */
export interface MilterCounts {
  connections: number
  /** Messages that MAIL was accepted for. */
  messages: number
  /** Messages that were none of ours, and were let go at DATA or at the header. */
  otherMessages: number
  /** Recipients that the MTA refused itself, where it tells us. */
  refusedByMta: number
}

/** The counts of a front that has just been made. */
export function milterCounts(): MilterCounts {
  return { connections: 0, messages: 0, otherMessages: 0, refusedByMta: 0 }
}

/** What the MTA calls the message: its queue id, once it has one. */
export function queueIdOf(macros: Macros): string | undefined {
  return macros.get('i') || undefined
}
