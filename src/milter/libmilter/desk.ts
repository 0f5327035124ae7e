/**
 * Answers the events that libmilter's thread posts, in the main thread: the same connections and messages as the native
 * engine's, asked of the same gate.
 */
import type { Gate } from '../../app/gate.ts'
import type { Log } from '../../app/log.ts'
import type { ConnectionCounts } from '../../app/meters.ts'
import { Connection } from '../connection.ts'
import type { Conduct, MilterCounts, Question, Work } from '../question.ts'
import { formatRefusal, type Refusal } from '../reply-code.ts'
import type { Conclusion } from '../settle.ts'
import { type Answer, CONTINUE } from '../translate.ts'
import type { Call, Reply } from './calls.ts'
import { SMFIS } from './status.ts'

export interface DeskParts {
  readonly gate: Pick<Gate, 'ask'>
  readonly log: Log
  readonly conduct: Conduct
  readonly counts: MilterCounts
  /** Of SMTP connections: libmilter keeps those of MTAs to itself. */
  readonly connections: ConnectionCounts
  /** Names a connection among all that there are and ever will be. */
  readonly newId: () => string
}

/** A refusal as libmilter takes it: codes and texts apart, checked and written as the native engine does it. */
function inWords(refusal: Refusal): Reply {
  const [{ code, enhanced }] = refusal
  const before = `${code} ${enhanced} `.length
  const lines = formatRefusal(refusal)
    .split('\r\n')
    .map(line => line.slice(before))
  return {
    status: code >= 500 ? SMFIS.REJECT : SMFIS.TEMPFAIL,
    words: { code: String(code), enhanced, lines },
  }
}

function replyTo(answer: Answer): Reply {
  switch (answer.kind) {
    case 'continue':
      return { status: SMFIS.CONTINUE }
    case 'accept':
      return { status: SMFIS.ACCEPT }
    case 'discard':
      return { status: SMFIS.DISCARD }
    case 'tempfail':
      return { status: SMFIS.TEMPFAIL }
    case 'disconnect':
      return { status: SMFIS.HANG_UP }
    case 'refuse':
      return inWords(answer.refusal)
  }
}

function replyToEnd({ answer, modifications }: Conclusion): Reply {
  return answer.kind === 'disconnect' ? replyTo(answer) : { ...replyTo(answer), modifications }
}

export class Desk {
  readonly #parts: DeskParts
  readonly #connections = new Map<number, Connection>()

  constructor(parts: DeskParts) {
    this.#parts = parts
  }

  /** Works on an event; `answer` is called with what is answered, at once or later. */
  take(call: Call, answer: (reply: Reply) => void): void {
    const failed = (cause: unknown): void => {
      this.#parts.log.error('milter session failed', { cause })
      answer({ status: SMFIS.HANG_UP })
    }
    try {
      this.#work(call, answer, failed)
    } catch (cause) {
      failed(cause)
    }
  }

  #connection(session: number): Connection {
    const known = this.#connections.get(session)
    if (known !== undefined) return known
    const { conduct, counts, newId } = this.#parts
    const made = new Connection({ id: newId(), conduct, counts })
    this.#connections.set(session, made)
    this.#parts.connections.accepted++
    this.#parts.connections.open = this.#connections.size
    return made
  }

  #work(
    { session, event, macros }: Call,
    answer: (reply: Reply) => void,
    failed: (cause: unknown) => void,
  ): void {
    if (event.kind === 'close') {
      this.#connections.delete(session)
      this.#parts.connections.open = this.#connections.size
      answer(replyTo(CONTINUE))
      return
    }
    const connection = this.#connection(session)
    const settle = (work: Work): void => this.#drive(work, result => answer(replyTo(result)), failed)
    switch (event.kind) {
      case 'connect':
        settle(connection.connect(event, macros))
        break
      case 'helo':
        settle(connection.helo(event.name))
        break
      case 'mail':
        settle(connection.mail(event.path, event.parameters, macros))
        break
      case 'rcpt':
        settle(connection.rcpt(event.path, macros))
        break
      case 'data':
        settle(connection.data(macros))
        break
      case 'header':
        answer(replyTo(connection.header(event.name, event.value, event.size)))
        break
      case 'end-of-headers':
        this.#drive(
          connection.endOfHeaders(macros),
          result => answer({ ...replyTo(result), wantsBody: connection.wantsBody }),
          failed,
        )
        break
      case 'body':
        if (event.bytes !== undefined) connection.bytes(event.bytes)
        answer(replyTo(connection.body(event.size)))
        break
      case 'end-of-message':
        this.#drive(connection.endOfMessage(0, macros), result => answer(replyToEnd(result)), failed)
        break
      case 'abort':
        connection.abort()
        answer(replyTo(CONTINUE))
    }
  }

  #drive<A>(work: Work<A>, finish: (result: A) => void, failed: (cause: unknown) => void): void {
    const go = (first: IteratorResult<Question, A>): void => {
      let step = first
      while (step.done !== true) {
        const { tx, queueId } = step.value
        const verdict = this.#parts.gate.ask(tx, { queueId })
        if (verdict instanceof Promise) {
          verdict.then(settled => go(work.next(settled))).catch(failed)
          return
        }
        step = work.next(verdict)
      }
      finish(step.value)
    }
    go(work.next())
  }
}
