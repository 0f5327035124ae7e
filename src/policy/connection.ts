/**
 * One client of the policy server: its socket, between the codec and the session. Requests are answered strictly in
 * order, each before the next is read; what a client may send ahead, leave unfinished or not take is bounded.
 */
import type { Socket } from 'node:net'
import type { Log } from '../app/log.ts'
import { type Action, formatAnswer } from './action.ts'
import { FAULTS, type RequestLimits, RequestReader } from './codec.ts'
import type { PolicySession } from './session.ts'

/** Bounds on what a client may do. Times are in milliseconds. */
export interface ConnectionLimits {
  readonly request: RequestLimits
  /** From the first byte of a request to its last. */
  readonly requestTime: number
  /** For the client to take an answer. */
  readonly answerTime: number
  /** Between requests. More than the 1000 s for which Postfix keeps a connection. */
  readonly idleTime: number
}

export interface ConnectionParts {
  readonly session: PolicySession
  readonly log: Log
  readonly limits: ConnectionLimits
  /** Names the client in the log. */
  readonly client: string
}

/** Bytes of requests that a client may send ahead of its answers before it is no longer read. */
const MAX_AHEAD = 65536
/** Characters of answers that are gathered for one write. */
const MAX_GATHERED = 16384

/** What a client is given a time for, and what the log says of one that takes longer. */
const LATE = {
  request: 'it does not finish its request',
  answer: 'it does not take its answers',
} as const

export class Connection {
  readonly #socket: Socket
  readonly #parts: ConnectionParts
  readonly #reader: RequestReader
  /** The gate is looking for an answer. */
  #asking = false
  /** The client does not take its answers. */
  #congested = false
  /** The client will send no more. */
  #ended = false
  /** We are about to end: what is here is answered. */
  #leaving = false
  /** Nothing is read or answered any more. */
  #closed = false
  #deadline: keyof typeof LATE | undefined
  #timer: NodeJS.Timeout | undefined
  /** Fulfilled when the socket is closed. */
  readonly gone: Promise<void>

  constructor(socket: Socket, parts: ConnectionParts) {
    this.#socket = socket
    this.#parts = parts
    this.#reader = new RequestReader(parts.limits.request)
    socket.on('data', (chunk: Buffer) => {
      // A client that is being left may go on sending.
      if (this.#closed) return
      this.#reader.feed(chunk)
      this.#work()
    })
    socket.on('end', () => {
      this.#ended = true
      this.#work()
    })
    socket.on('drain', () => {
      this.#congested = false
      this.#work()
    })
    socket.on('error', cause => parts.log.debug('policy connection failed', { client: parts.client, cause }))
    socket.setTimeout(parts.limits.idleTime, () => this.destroy())
    this.gone = new Promise(resolve => {
      socket.on('close', () => {
        this.#closed = true
        this.#allow(undefined)
        resolve()
      })
    })
  }

  /** Answers the requests that have been received, and closes. */
  leave(): void {
    this.#leaving = true
    this.#work()
  }

  /** Closes at once. */
  destroy(): void {
    this.#closed = true
    this.#socket.destroy()
  }

  /** Does all that can be done now. */
  #work(): void {
    if (this.#closed) return
    try {
      this.#answerRequests()
      if (!this.#closed) this.#rest()
    } catch (cause) {
      this.#failed(cause)
    }
  }

  /** Answers requests until they run out, one has to wait, or the client does not take the answers. */
  #answerRequests(): void {
    let answers = ''
    while (!this.#asking && !this.#congested) {
      const request = this.#reader.next()
      if (request === undefined) break
      if (request.kind === 'violation') {
        this.#write(answers)
        this.#disconnect(FAULTS[request.fault])
        return
      }
      this.#allow(undefined)
      const action = this.#parts.session.answer(request)
      if (action instanceof Promise) {
        this.#asking = true
        action.then(later => this.#answered(later)).catch((cause: unknown) => this.#failed(cause))
      } else if (action === undefined) {
        this.#write(answers)
        this.#close()
        return
      } else {
        answers += formatAnswer(action)
        if (answers.length < MAX_GATHERED) continue
        this.#write(answers)
        answers = ''
      }
    }
    this.#write(answers)
  }

  #answered(action: Action | undefined): void {
    this.#asking = false
    if (this.#closed) return
    if (action === undefined) {
      this.#close()
    } else {
      this.#write(formatAnswer(action))
      this.#work()
    }
  }

  #write(answers: string): void {
    if (answers !== '' && !this.#socket.write(answers, 'latin1')) this.#congested = true
  }

  /** Nothing more can be done until something happens: sees to it that this does not take for ever. */
  #rest(): void {
    const unfinished = this.#reader.unread > 0
    if (this.#asking || this.#congested) {
      if (this.#reader.unread > MAX_AHEAD) this.#socket.pause()
      this.#allow(this.#congested ? 'answer' : undefined)
    } else if (this.#ended && unfinished) {
      this.#disconnect('it left in the middle of a request')
    } else if (this.#ended || (this.#leaving && !unfinished)) {
      this.#close()
    } else {
      this.#allow(unfinished ? 'request' : undefined)
      this.#socket.resume()
    }
  }

  /** Gives the client a limited time for something. The time runs on while it is still for the same. */
  #allow(deadline: keyof typeof LATE | undefined): void {
    if (deadline === this.#deadline) return
    clearTimeout(this.#timer)
    this.#deadline = deadline
    if (deadline === undefined) return
    const { requestTime, answerTime } = this.#parts.limits
    this.#timer = setTimeout(
      () => {
        this.#complain(LATE[deadline])
        this.destroy()
      },
      deadline === 'request' ? requestTime : answerTime,
    )
  }

  /** The client does not keep to the protocol. */
  #disconnect(problem: string): void {
    this.#complain(problem)
    this.#close()
  }

  #complain(problem: string): void {
    this.#parts.log.warn('policy client disconnected', { client: this.#parts.client, problem })
  }

  /** A bug of ours: it costs this connection and no other. */
  #failed(cause: unknown): void {
    this.#parts.log.error('policy request failed', { client: this.#parts.client, cause })
    this.destroy()
  }

  /** Closes when the client has taken the answers it was given. */
  #close(): void {
    this.#closed = true
    this.#allow('answer')
    this.#socket.destroySoon()
  }
}
