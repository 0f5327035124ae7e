/**
 * One SMTP connection as a milter hears of it: who the client is, and the message that is on its way, if there is one.
 * Each event gives work to do, or its answer; what is not in its place is refused for now and harms nothing.
 *
 * When the store is away, nothing is said before RCPT: it asks again all that CONNECT, EHLO and MAIL ask, and there
 * mail that is none of ours may still be told from mail that is.
 */
import { isOwnFault } from '../app/gate.ts'
import type { Client } from '../core/transaction.ts'
import type { Verdict } from '../core/verdict.ts'
import type { Macros } from './macros.ts'
import { Message } from './message.ts'
import { senderOf } from './path.ts'
import { type Conduct, type MilterCounts, queueIdOf, type Work } from './question.ts'
import type { Conclusion } from './settle.ts'
import {
  type Answer,
  answerTo,
  CONTINUE,
  clientOf,
  declaredSize,
  type MessageFacts,
  TEMPFAIL,
  withHelo,
  withUser,
} from './translate.ts'

export interface ConnectionParts {
  /** Names the connection among all that there are and ever will be. */
  readonly id: string
  readonly conduct: Conduct
  readonly counts: MilterCounts
}

function early(verdict: Verdict): Answer {
  return isOwnFault(verdict) ? CONTINUE : answerTo(verdict)
}

/** A command of a message that there is none of. */
// biome-ignore lint/correctness/useYield: it has nothing to ask.
function* outOfPlace(): Work {
  return TEMPFAIL
}

export class Connection {
  readonly #parts: ConnectionParts
  #client: Client = {}
  #message: Message | undefined
  #messages = 0

  constructor(parts: ConnectionParts) {
    this.#parts = parts
    parts.counts.connections++
  }

  /** Whether a message is on its way. */
  get inMessage(): boolean {
    return this.#message !== undefined
  }

  /** The client has come. `host` is its name, or its address in brackets. */
  *connect(event: { host: string; address: string | undefined }, macros: Macros): Work {
    this.#message = undefined
    this.#client = clientOf(event, macros)
    const verdict = yield {
      tx: { phase: 'CONNECT', front: 'milter', client: this.#client },
      queueId: undefined,
    }
    return early(verdict)
  }

  /** HELO or EHLO, which may come more than once. */
  *helo(name: string): Work {
    this.#client = withHelo(this.#client, name)
    const verdict = yield {
      tx: { phase: 'EHLO', front: 'milter', client: this.#client },
      queueId: undefined,
    }
    return early(verdict)
  }

  *mail(path: string, parameters: readonly string[], macros: Macros): Work {
    this.#message = undefined
    const facts: MessageFacts = {
      client: withUser(this.#client, macros),
      sender: senderOf(path, macros.get('{mail_addr}')),
      declaredSize: declaredSize(parameters),
      id: `${this.#parts.id}.${++this.#messages}`,
    }
    const { client, sender } = facts
    const verdict = yield {
      tx: { phase: 'MAIL', front: 'milter', client, sender },
      queueId: queueIdOf(macros),
    }
    const answer = early(verdict)
    if (answer.kind !== 'continue') return answer
    this.#message = new Message(facts, this.#parts.conduct, this.#parts.counts)
    this.#parts.counts.messages++
    return CONTINUE
  }

  rcpt(path: string, macros: Macros): Work {
    return this.#message === undefined ? outOfPlace() : this.#message.rcpt(path, macros)
  }

  data(macros: Macros): Work {
    return this.#message === undefined ? outOfPlace() : this.#message.data(macros)
  }

  header(name: string, value: string, size: number): Answer {
    return this.#message === undefined ? TEMPFAIL : this.#message.header(name, value, size)
  }

  endOfHeaders(macros: Macros): Work {
    return this.#message === undefined ? outOfPlace() : this.#message.endOfHeaders(macros)
  }

  /** Whether the body's bytes are looked at; known once the header is whole. */
  get wantsBody(): boolean {
    return this.#message?.wantsBody === true
  }

  /** Bytes of the body, which `body` counts. They are not kept. */
  bytes(bytes: Uint8Array): void {
    this.#message?.bytes(bytes)
  }

  body(size: number): Answer {
    return this.#message === undefined ? TEMPFAIL : this.#message.body(size)
  }

  /** The message is whole; whatever is answered, it is over then. */
  *endOfMessage(size: number, macros: Macros): Work<Conclusion> {
    const message = this.#message
    if (message === undefined) return { answer: TEMPFAIL, modifications: [] }
    const conclusion = yield* message.endOfMessage(size, macros)
    this.#message = undefined
    return conclusion
  }

  /** The message is over before its end, or there was none. */
  abort(): void {
    this.#message = undefined
  }
}
