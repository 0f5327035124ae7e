/**
 * Drives a dialogue with no socket: bytes in any chunks, the law asked at once, every message settled by the law and
 * kept in memory. What comes out is what a client would read.
 */

import { decide } from '../../src/core/decide.ts'
import { factsNeeded, INITIAL_SITE } from '../../src/core/facts.ts'
import type { Reply } from '../../src/core/reply.ts'
import type { Transaction } from '../../src/core/transaction.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import { Dialogue } from '../../src/lmtp/dialogue.ts'
import { REPLIES, takenReply } from '../../src/lmtp/replies.ts'
import type { CompleteMail, SessionSettings } from '../../src/lmtp/session-events.ts'
import { type AcceptedAtRcpt, endOfMessageTransaction, fateOf } from '../../src/lmtp/translate.ts'
import { LISTS } from '../support/lmtp-sink.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { readingOf } from '../support/messages.ts'
import { putState, type StateDocument } from '../support/vectors.ts'

export const SETTINGS: SessionSettings = {
  hostname: 'sink.example.org',
  door: 'delivery',
  maxSize: 1000,
  maxRecipients: 5,
  xforward: true,
}

export type Judge = (tx: Transaction) => Verdict

/** The real law over a store in memory. */
export async function lawOver(state: StateDocument = LISTS): Promise<Judge> {
  const store = new MemoryStore()
  await putState(store, state)
  return tx => decide(tx, store.load(factsNeeded(tx, INITIAL_SITE)), INITIAL_SITE)
}

export interface Spoken {
  /** Everything the server said. */
  readonly output: string
  readonly mails: readonly { readonly mail: CompleteMail; readonly bytes: string }[]
  /** Whether the server closed. */
  readonly closed: boolean
}

export class Driven {
  readonly #dialogue: Dialogue
  readonly #judge: Judge
  #pieces: Uint8Array[] = []
  output = ''
  closed = false
  readonly mails: { mail: CompleteMail; bytes: string }[] = []

  constructor(judge: Judge, settings: Partial<SessionSettings> = {}) {
    this.#judge = judge
    this.#dialogue = new Dialogue({ ...SETTINGS, ...settings })
    this.#dialogue.tell({ kind: 'connected' })
    this.#run()
  }

  /** Sends bytes, and gives what the server says to them. */
  push(bytes: string | Buffer): string {
    const before = this.output.length
    // A copy, as sockets give chunks that are nobody else's.
    this.#dialogue.push(Buffer.from(bytes as Buffer))
    this.#run()
    return this.output.slice(before)
  }

  #run(): void {
    for (let effect = this.#dialogue.next(); effect !== undefined; effect = this.#dialogue.next()) {
      switch (effect.kind) {
        case 'reply':
          this.output += effect.text
          break
        case 'ask':
          this.#dialogue.tell({ kind: 'verdict', verdict: this.#judge(effect.tx) })
          break
        case 'begin-message':
        case 'drop-message':
          this.#pieces = []
          break
        case 'append':
          this.#pieces.push(...effect.data)
          break
        case 'settle': {
          const { mail } = effect
          const bytes = Buffer.concat(this.#pieces)
          this.mails.push({ mail, bytes: bytes.toString('latin1') })
          const replies = mail.recipients.map(accepted =>
            mail.kept ? this.#replyAtEnd(mail, accepted, bytes) : tooBig(accepted),
          )
          this.#dialogue.tell({ kind: 'settled', replies })
          break
        }
        case 'close':
          this.closed = true
          break
      }
    }
  }

  #replyAtEnd(mail: CompleteMail, accepted: AcceptedAtRcpt, bytes: Buffer): Reply {
    const tx = endOfMessageTransaction(mail, accepted, mail.size, readingOf(bytes))
    const fate = fateOf(accepted.verdict, this.#judge(tx))
    if (fate.kind === 'refuse') return fate.reply
    return takenReply(accepted.recipient.text, 'ID', fate.kind === 'keep' && fate.disposition === 'hold')
  }
}

/** The reply to one recipient of a message that was larger than what is taken. */
function tooBig({ recipient, verdict }: AcceptedAtRcpt): Reply {
  return verdict.lateRefusal === undefined ? REPLIES.tooBig : takenReply(recipient.text, 'ID', false)
}

/** Speaks a whole session, in chunks that end at the given places. */
export function speak(
  judge: Judge,
  bytes: Buffer,
  cuts: readonly number[] = [],
  settings: Partial<SessionSettings> = {},
): Spoken {
  const driven = new Driven(judge, settings)
  const ends = [...new Set(cuts.map(cut => Math.min(cut, bytes.length))), bytes.length].sort((a, b) => a - b)
  let at = 0
  for (const end of ends) {
    if (end > at) driven.push(bytes.subarray(at, end))
    at = end
  }
  return driven
}

/** The codes of everything said, one for each reply line. */
export function linesOf(output: string): readonly string[] {
  return output.split('\r\n').slice(0, -1)
}
