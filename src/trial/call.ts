/**
 * One client's call to the trial MTA: what is kept of it beside smtp-server's own session, and the questions that are
 * asked about it, filled in as Postfix fills them in at each phase.
 */
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import type { SMTPServerAddress, SMTPServerSession } from 'smtp-server'
import type { Log } from '../app/log.ts'
import { type Answer, NO_ANSWER, readAction } from './answer.ts'
import type { PolicyClient } from './policy-client.ts'
import { formatRequest, type ProtocolState, type Situation } from './request.ts'

/** SIZE= of MAIL, 0 where it was not given. */
export function declaredSize(mailFrom: SMTPServerAddress | false): number {
  const size = mailFrom === false || mailFrom.args === false ? undefined : mailFrom.args['SIZE']
  return typeof size === 'string' ? Number(size) : 0
}

export function protocolOf(session: SMTPServerSession): 'SMTP' | 'ESMTP' {
  return session.openingCommand === 'EHLO' ? 'ESMTP' : 'SMTP'
}

export class Call {
  readonly socket: Socket
  readonly #policy: PolicyClient
  readonly #log: Log
  #underWay = 0
  #messages = 0
  #instance = ''
  #queueId = ''

  constructor(socket: Socket, policy: PolicyClient, log: Log) {
    this.socket = socket
    this.#policy = policy
    this.#log = log
  }

  /** Whether a question or a message is under way. */
  get busy(): boolean {
    return this.#underWay > 0
  }

  /** What the current message is called, in the log and in its trace line. */
  get queueId(): string {
    return this.#queueId
  }

  /** Counts a piece of work as under way until its promise is settled. */
  async during<T>(work: Promise<T>): Promise<T> {
    this.#underWay++
    try {
      return await work
    } finally {
      this.#underWay--
    }
  }

  /** MAIL was taken: another message begins. */
  beginMessage(): void {
    const now = Date.now()
    const parts = [process.pid, Math.floor(now / 1000), (now % 1000) * 1000, this.#messages++]
    this.#instance = parts.map(part => part.toString(16)).join('.')
    this.#queueId = randomBytes(6).toString('hex').toUpperCase()
  }

  /** Asks the policy server. Never rejects: that the server is away is an answer, too. */
  async ask(session: SMTPServerSession, now: Pick<Situation, 'state'> & Partial<Situation>): Promise<Answer> {
    const request = formatRequest({ ...this.#situation(session, now.state), ...now })
    try {
      return readAction(await this.during(this.#policy.ask(request)))
    } catch (error) {
      this.#log.warn('trial policy server away', { cause: error })
      return NO_ANSWER
    }
  }

  /** The client has gone. */
  end(): void {
    this.#policy.close()
  }

  #situation(session: SMTPServerSession, state: ProtocolState): Situation {
    const { mailFrom, rcptTo } = session.envelope
    const beforeMail = state === 'CONNECT' || state === 'EHLO' || state === 'HELO'
    const afterRcpt = state === 'DATA' || state === 'END-OF-MESSAGE'
    return {
      state,
      protocol: beforeMail ? 'SMTP' : protocolOf(session),
      client: { address: session.remoteAddress, port: session.remotePort },
      server: { address: session.localAddress, port: session.localPort },
      helo: session.hostNameAppearsAs || '',
      sender: mailFrom === false ? '' : mailFrom.address,
      recipient: afterRcpt && rcptTo.length === 1 ? (rcptTo[0]?.address ?? '') : '',
      recipientCount: afterRcpt ? rcptTo.length : 0,
      queueId: rcptTo.length > 0 ? this.#queueId : '',
      instance: mailFrom === false ? '' : this.#instance,
      size: declaredSize(mailFrom),
    }
  }
}
