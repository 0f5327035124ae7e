/**
 * The trial MTA's dialogue, which is smtp-server's, with a question to the policy server at each phase. smtp-server
 * has no hook for EHLO and DATA, so these two handlers are wrapped on each connection. Its parser refuses local parts
 * with quoted spaces; everything else that mail is delivered to is taken.
 */
import type { Socket } from 'node:net'
import { SMTPServer, type SMTPServerAddress, type SMTPServerSession } from 'smtp-server'
import type { Log } from '../app/log.ts'
import type { Answer } from './answer.ts'
import { Call, declaredSize } from './call.ts'
import type { WireReply } from './outcome.ts'
import type { PolicyClient } from './policy-client.ts'
import type { Taken } from './take.ts'

export interface TrialServerParts {
  readonly hostname: string
  readonly log: Log
  readonly newPolicyClient: () => PolicyClient
  /** Disposes of a message whose data flows; resolves with the client's reply. */
  readonly take: (taken: Taken) => Promise<WireReply>
}

/** In octets. */
export const MAX_MESSAGE_SIZE = 10 * 1024 * 1024
export const MAX_CONNECTIONS = 20
export const MAX_RECIPIENTS = 100

/** In milliseconds; RFC 5321 §4.5.3.2.7. */
const IDLE_TIMEOUT = 300_000
/** How long a client that closed its side may stay silent, in milliseconds: it can say nothing more. */
const HALF_CLOSED_TIMEOUT = 1_000
const CLOSE_TIMEOUT = 5_000
/** In characters. RFC 5321 asks for 512, and for more with extensions. */
const MAX_COMMAND_LENGTH = 2048

const SHUTTING_DOWN = { code: 421, text: '4.3.2 The trial MTA is shutting down' }
const TOO_MANY_RECIPIENTS = { code: 452, text: '4.5.3 Too many recipients; send to the rest later' }
const OUR_FAULT = { code: 451, text: '4.3.0 Temporary failure; try again later' }

type Connection = SMTPServer['connections'] extends Set<infer C> ? C : never
type Command = Connection['handler_EHLO']
type Done = (error?: Error) => void

/** An error of which smtp-server makes this reply. */
function replyError({ code, text }: WireReply): Error {
  return Object.assign(new Error(text), { responseCode: code })
}

/**
 * Newcomers pipe whole dialogues into `nc`. smtp-server hangs up on what comes before its greeting, so it is held
 * back until then; and it writes only to a socket that is open both ways, so that a client that has closed its side
 * would wait for its replies in vain.
 */
function letDialoguesBePiped(socket: Socket): void {
  socket.pause()
  Object.defineProperty(socket, 'readyState', { get: () => (socket.writable ? 'open' : 'closed') })
  socket.once('end', () => socket.setTimeout(HALF_CLOSED_TIMEOUT))
}

export class TrialServer extends SMTPServer {
  readonly #parts: TrialServerParts
  readonly #calls = new Map<string, Call>()

  constructor(parts: TrialServerParts) {
    super({
      name: parts.hostname,
      banner: 'Postern trial MTA, to try things out and not for production',
      heloResponse: '%s',
      size: MAX_MESSAGE_SIZE,
      maxClients: MAX_CONNECTIONS,
      maxCommandLength: MAX_COMMAND_LENGTH,
      socketTimeout: IDLE_TIMEOUT,
      closeTimeout: CLOSE_TIMEOUT,
      allowHalfOpen: true,
      lenientAddressParsing: true,
      disableReverseLookup: true,
      authOptional: true,
      disabledCommands: ['AUTH', 'STARTTLS', 'XCLIENT', 'XFORWARD', 'WIZ', 'SHELL', 'KILL'],
      logger: false,
      onConnect: (session, done) => this.#judged(this.#connected(session), done),
      onMailFrom: (address, session, done) => this.#judged(this.#mail(address, session), done),
      onRcptTo: (address, session, done) => this.#judged(this.#rcpt(address, session), done),
      onData: (stream, session, done) => {
        const call = this.#callOf(session)
        call
          .during(this.#parts.take({ stream, session, call }))
          .then(
            reply => (reply.code < 300 ? done(null, reply.text) : done(replyError(reply))),
            (error: unknown) => done(this.#broken(error)),
          )
          .catch((error: unknown) => this.#broken(error))
      },
      onClose: session => {
        this.#calls.get(session.id)?.end()
        this.#calls.delete(session.id)
      },
    })
    this.#parts = parts
    this.on('error', error => parts.log.debug('trial connection failed', { cause: error }))
  }

  override connect(...[socket, options]: Parameters<SMTPServer['connect']>): void {
    super.connect(socket, options)
    const connection = [...this.connections].at(-1)
    if (connection === undefined) return
    this.#calls.set(connection.id, new Call(socket, this.#parts.newPolicyClient(), this.#parts.log))
    letDialoguesBePiped(socket)
    connection.handler_EHLO = this.#greeting('EHLO', connection, connection.handler_EHLO)
    connection.handler_HELO = this.#greeting('HELO', connection, connection.handler_HELO)
    connection.handler_DATA = this.#beforeData(connection, connection.handler_DATA)
  }

  /** Ends every connection; those with work under way may finish it, for a few seconds. */
  shutDown(): Promise<void> {
    return new Promise(resolve => {
      this.close(() => {
        for (const { socket } of this.#calls.values()) socket.destroy()
        resolve()
      })
      for (const connection of [...this.connections]) {
        if (this.#calls.get(connection.id)?.busy === true) continue
        connection.send(SHUTTING_DOWN.code, SHUTTING_DOWN.text)
      }
      for (const { busy, socket } of this.#calls.values()) if (!busy) socket.destroySoon()
    })
  }

  #callOf(session: SMTPServerSession): Call {
    const call = this.#calls.get(session.id)
    if (call === undefined) throw new Error('a session without a call')
    return call
  }

  #broken(error: unknown): Error {
    this.#parts.log.error('trial session failed', { cause: error })
    return replyError(OUR_FAULT)
  }

  /** Gives smtp-server a verdict, whatever becomes of the promise. */
  #judged(judgement: Promise<Answer>, done: Done): void {
    judgement
      .then(
        answer => done(answer.kind === 'refuse' ? replyError(answer) : undefined),
        (error: unknown) => done(this.#broken(error)),
      )
      .catch((error: unknown) => this.#broken(error))
  }

  async #connected(session: SMTPServerSession): Promise<Answer> {
    const call = this.#callOf(session)
    const answer = await call.ask(session, { state: 'CONNECT' })
    // The greeting goes out in this turn, before anything that is read now is looked at.
    call.socket.resume()
    return answer
  }

  async #mail(address: SMTPServerAddress, session: SMTPServerSession): Promise<Answer> {
    const call = this.#callOf(session)
    const size = declaredSize(address)
    const answer = await call.ask(session, { state: 'MAIL', sender: address.address, size })
    if (answer.kind === 'go-on') call.beginMessage()
    return answer
  }

  async #rcpt(address: SMTPServerAddress, session: SMTPServerSession): Promise<Answer> {
    if (session.envelope.rcptTo.length >= MAX_RECIPIENTS) return { kind: 'refuse', ...TOO_MANY_RECIPIENTS }
    return this.#callOf(session).ask(session, { state: 'RCPT', recipient: address.address })
  }

  #greeting(state: 'EHLO' | 'HELO', connection: Connection, original: Command): Command {
    return (command, done) => {
      const [, helo, ...more] = command.toString().trim().split(/\s+/)
      if (helo === undefined || more.length > 0) return original.call(connection, command, done)
      const proceed = (): void => original.call(connection, command, done)
      const refused = (): void => {
        connection.hostNameAppearsAs = false
        done()
      }
      this.#asked(connection, this.#callOf(connection.session).ask(connection.session, { state, helo }), {
        proceed,
        refused,
      })
    }
  }

  #beforeData(connection: Connection, original: Command): Command {
    return (command, done) => {
      const { session } = connection
      const proceed = (): void => original.call(connection, command, done)
      if (session.envelope.rcptTo.length === 0) return proceed()
      this.#asked(connection, this.#callOf(session).ask(session, { state: 'DATA' }), {
        proceed,
        refused: done,
      })
    }
  }

  #asked(
    connection: Connection,
    question: Promise<Answer>,
    then: { readonly proceed: () => void; readonly refused: () => void },
  ): void {
    question
      .then(answer => {
        if (answer.kind === 'go-on') return then.proceed()
        connection.send(answer.code, answer.text)
        return then.refused()
      })
      .catch((error: unknown) => {
        this.#broken(error)
        connection.close()
      })
  }
}
