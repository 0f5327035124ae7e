/**
 * A policy client's requests and answers: the codec before the session, the action after it. Touches no socket.
 */
import type { Answer, Ending, Exchange } from '../app/client-connection.ts'
import { type Action, formatAnswer } from './action.ts'
import { FAULTS, type RequestLimits, RequestReader } from './codec.ts'
import type { PolicySession } from './session.ts'

/** In trouble nothing is said: the MTA then does what it is configured to do without us. */
const UNANSWERED: Ending = { kind: 'ending' }

export class PolicyExchange implements Exchange {
  readonly #session: PolicySession
  readonly #reader: RequestReader

  constructor(session: PolicySession, limits: RequestLimits) {
    this.#session = session
    this.#reader = new RequestReader(limits)
  }

  get unread(): number {
    return this.#reader.unread
  }

  feed(chunk: Buffer): void {
    this.#reader.feed(chunk)
  }

  next(): Answer | Promise<Answer> | undefined {
    const request = this.#reader.next()
    if (request === undefined) return undefined
    if (request.kind === 'violation') return { kind: 'ending', problem: FAULTS[request.fault] }
    const action = this.#session.answer(request)
    return action instanceof Promise ? action.then(answerOf) : answerOf(action)
  }
}

function answerOf(action: Action | undefined): Answer {
  return action === undefined ? UNANSWERED : formatAnswer(action)
}
