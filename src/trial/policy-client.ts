/**
 * The trial MTA's side of the policy delegation protocol: one question at a time on a connection that is kept, as
 * each of Postfix's smtpd processes does it. A question is asked twice, the second time on a new connection, before
 * the server counts as unreachable (`smtpd_policy_service_try_limit`).
 */
import { connect, type Socket } from 'node:net'
import type { Endpoint } from '../app/endpoint.ts'

/** The policy server cannot be reached, closed the connection, took too long, or broke the protocol. */
export class PolicyServerAway extends Error {
  readonly code = 'POSTERN_TRIAL_POLICY_AWAY'
  override readonly name = 'PolicyServerAway'
}

const TRIES = 2

/** In characters; an answer of ours has at most an SMTP reply line's length. */
const MAX_ANSWER_LENGTH = 4096

export class PolicyClient {
  readonly #endpoint: Endpoint
  readonly #timeoutMs: number
  #socket: Socket | undefined
  #closed = false

  /** @param timeoutMs for connecting and answering, at each try */
  constructor(endpoint: Endpoint, timeoutMs: number) {
    this.#endpoint = endpoint
    this.#timeoutMs = timeoutMs
  }

  /**
   * Sends a request and gives the value of the answer's `action`. One call at a time.
   * @throws PolicyServerAway
   */
  async ask(request: string): Promise<string> {
    let failure: unknown
    for (let attempt = 1; attempt <= TRIES; attempt++) {
      try {
        return await this.#exchange(request)
      } catch (error) {
        failure = error
        this.#socket?.destroy()
        this.#socket = undefined
      }
    }
    throw new PolicyServerAway('the policy server does not answer', { cause: failure })
  }

  /** Closes the connection; a question under way fails. */
  close(): void {
    this.#closed = true
    this.#socket?.destroy()
  }

  #exchange(request: string): Promise<string> {
    if (this.#closed) return Promise.reject(new Error('closed'))
    const socket = this.#connected()
    let received = ''
    return new Promise((resolve, reject) => {
      const settle = (outcome: () => void): void => {
        clearTimeout(timer)
        socket.off('data', read).off('error', failed).off('close', gone)
        outcome()
      }
      const failed = (error: Error): void => settle(() => reject(error))
      const gone = (): void => failed(new Error('the policy server closed the connection'))
      const read = (chunk: string): void => {
        received += chunk
        const end = received.indexOf('\n\n')
        if (end === -1) {
          if (received.length > MAX_ANSWER_LENGTH) failed(new Error('the answer is too long'))
          return
        }
        const action = /^action=(.*)$/m.exec(received.slice(0, end))?.[1]
        if (action === undefined) failed(new Error('the answer has no action'))
        else settle(() => resolve(action))
      }
      const timer = setTimeout(() => failed(new Error('the policy server took too long')), this.#timeoutMs)
      socket.on('data', read).on('error', failed).on('close', gone)
      socket.write(request)
    })
  }

  #connected(): Socket {
    if (this.#socket !== undefined && !this.#socket.destroyed && this.#socket.writable) return this.#socket
    const endpoint = this.#endpoint
    const socket =
      endpoint.kind === 'unix'
        ? connect(endpoint.path)
        : connect({ host: endpoint.host, port: endpoint.port })
    socket.setEncoding('utf8').setNoDelay(true)
    // Between two questions nobody listens for errors; the next question finds the socket destroyed.
    socket.on('error', () => {})
    this.#socket = socket
    return socket
  }
}
