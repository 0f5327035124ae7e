/**
 * The milter protocol with one MTA, between commands and the events of an SMTP connection: the negotiation, macros, what
 * is to be answered and what is not, and how it ends. Pure and synchronous: a command in, an effect out; a question's
 * verdict in, the next effect out.
 *
 * One SMTP connection follows another where the MTA says SMFIC_QUIT_NC; each is an object of its own.
 */
import type { Verdict } from '../core/verdict.ts'
import type { Command } from './command.ts'
import { Connection } from './connection.ts'
import { MacroSets } from './macros.ts'
import { type Agreement, Negotiator, type Wishes } from './negotiate.ts'
import type { Conduct, MilterCounts, Question, Work } from './question.ts'
import { formatRefusal } from './reply-code.ts'
import { encodeResponse, type FinalResponse } from './response.ts'
import type { Conclusion } from './settle.ts'
import type { Answer } from './translate.ts'

/** What is to be done about a command. */
export type Effect =
  /** Nothing; the next command may come. */
  | { readonly kind: 'nothing' }
  /** This goes to the MTA, in one piece. */
  | { readonly kind: 'send'; readonly bytes: Buffer }
  /** The gate is to be asked, and `verdict` to be called with what it says. */
  | { readonly kind: 'ask'; readonly question: Question }
  /** The connection is to be closed. With a `problem` the MTA is at fault: a sentence for the log. */
  | { readonly kind: 'close'; readonly problem?: string }

export interface SessionParts {
  /** Names the session among all that there are and ever will be. */
  readonly id: string
  readonly conduct: Conduct
  readonly counts: MilterCounts
  /** Told once what both sides agreed on. */
  readonly agreed?: (agreement: Agreement) => void
}

const NOTHING: Effect = { kind: 'nothing' }
const CLOSE: Effect = { kind: 'close' }
/** What is sent most of the time. */
const GO_ON: Effect = { kind: 'send', bytes: encodeResponse({ kind: 'continue' }) }

/** What must be possible for the site's settings to be carried out, and what is asked for besides. */
export function wishesOf(conduct: Conduct): Wishes {
  return {
    needed: [
      ['DELRCPT', 'drop a post for one list of several'],
      ...(conduct.traceHeader ? [['ADDHDRS', 'add the trace field'] as const] : []),
      ...(conduct.hold === 'quarantine' ? [['QUARANTINE', 'hold posts'] as const] : []),
    ],
    bodies: conduct.countBodies,
  }
}

/** Sessions of one conduct wish for the same. */
const negotiators = new WeakMap<Conduct, Negotiator>()

function negotiatorOf(conduct: Conduct): Negotiator {
  let negotiator = negotiators.get(conduct)
  if (negotiator === undefined) {
    negotiator = new Negotiator(wishesOf(conduct))
    negotiators.set(conduct, negotiator)
  }
  return negotiator
}

function responseTo(answer: Exclude<Answer, { kind: 'disconnect' }>): FinalResponse {
  return answer.kind === 'refuse' ? { kind: 'reply-code', text: formatRefusal(answer.refusal) } : answer
}

function send(answer: Answer): Effect {
  if (answer.kind === 'continue') return GO_ON
  return answer.kind === 'disconnect' ? CLOSE : { kind: 'send', bytes: encodeResponse(responseTo(answer)) }
}

/** One write for all of it: with several an MTA waits for the delayed acknowledgement between them. */
function sendConclusion({ answer, modifications }: Conclusion): Effect {
  if (modifications.length === 0 || answer.kind === 'disconnect') return send(answer)
  const responses = [...modifications, responseTo(answer)]
  return { kind: 'send', bytes: Buffer.concat(responses.map(encodeResponse)) }
}

export class Session {
  readonly #parts: SessionParts
  #agreement: Agreement | undefined
  #macros = new MacroSets()
  #connection: Connection
  #connections = 0
  /** The work that waits for a verdict, and the command that it is for. */
  #work: Work<Answer | Conclusion> | undefined
  #of: Command['kind'] | undefined

  constructor(parts: SessionParts) {
    this.#parts = parts
    this.#connection = this.#newConnection()
  }

  /** Whether a message is on its way: the MTA would have to be told of our end in the middle of it. */
  get inMessage(): boolean {
    return this.#connection.inMessage
  }

  /** Bytes of a body, whose command comes when they are all there. They are not kept. */
  bodyBytes(bytes: Uint8Array): void {
    this.#connection.bytes(bytes)
  }

  #newConnection(): Connection {
    const { id, conduct, counts } = this.#parts
    return new Connection({ id: `${id}.${++this.#connections}`, conduct, counts })
  }

  /** Takes a command in. Not to be called while a question waits for its verdict. */
  take(command: Command): Effect {
    const agreement = this.#agreement
    if (command.kind === 'quit') return CLOSE
    if (command.kind === 'negotiate') return this.#negotiate(command)
    if (agreement === undefined) return { kind: 'close', problem: 'a command came before the negotiation' }
    const connection = this.#connection
    const macros = this.#macros
    switch (command.kind) {
      case 'macros':
        macros.put(command.of, command.data)
        return NOTHING
      case 'connect':
        return this.#begin(command, connection.connect(command, macros.forConnect()))
      case 'helo':
        return this.#begin(command, connection.helo(command.name))
      case 'mail':
        return this.#begin(command, connection.mail(command.path, command.parameters, macros.for('M')))
      case 'rcpt':
        return this.#begin(command, connection.rcpt(command.path, macros.for('R')))
      case 'data':
        return this.#begin(command, connection.data(macros.for('T')))
      case 'header': {
        const answer = connection.header(command.name, command.value, command.size)
        return agreement.answers.header ? send(answer) : NOTHING
      }
      case 'end-of-headers':
        return this.#begin(command, connection.endOfHeaders(macros.for('T')))
      case 'body': {
        const answer = connection.body(command.size)
        return agreement.answers.body ? send(answer) : NOTHING
      }
      case 'end-of-message':
        connection.bytes(command.data)
        return this.#begin(command, connection.endOfMessage(command.size, macros.for('E')))
      case 'unknown-command':
        return agreement.answers.unknownCommand ? GO_ON : NOTHING
      case 'abort':
        connection.abort()
        macros.endMessage()
        return NOTHING
      case 'quit-new-connection':
        this.#connection = this.#newConnection()
        this.#macros = new MacroSets()
        return NOTHING
    }
  }

  /** Goes on with what the gate said to the question that was asked. */
  verdict(verdict: Verdict): Effect {
    if (this.#work === undefined) throw new Error('no question waits for a verdict')
    return this.#follow(this.#work, this.#work.next(verdict))
  }

  #negotiate(offer: Extract<Command, { kind: 'negotiate' }>): Effect {
    if (this.#agreement !== undefined) return { kind: 'close', problem: 'a negotiation came after the first' }
    const agreed = negotiatorOf(this.#parts.conduct).agree(offer)
    if (!agreed.ok) return { kind: 'close', problem: agreed.problem }
    const { agreement, bytes } = agreed.value
    this.#agreement = agreement
    this.#parts.agreed?.(agreement)
    return { kind: 'send', bytes }
  }

  #begin({ kind }: Command, work: Work<Answer | Conclusion>): Effect {
    this.#of = kind
    return this.#follow(work, work.next())
  }

  #follow(work: Work<Answer | Conclusion>, step: IteratorResult<Question, Answer | Conclusion>): Effect {
    if (step.done !== true) {
      this.#work = work
      return { kind: 'ask', question: step.value }
    }
    this.#work = undefined
    if (this.#of === 'rcpt') this.#macros.endRecipient()
    if (this.#of === 'end-of-message') this.#macros.endMessage()
    const result = step.value
    return 'modifications' in result ? sendConclusion(result) : send(result)
  }
}
