/**
 * One client of a front that answers questions: its socket, and the exchange that knows the protocol. Requests are
 * answered strictly in order, each before the next is read; what a client may send ahead, leave unfinished or not take is
 * bounded.
 */
import type { Socket } from 'node:net'
import type { Log } from './log.ts'

/** A protocol of requests and answers, for one client. Touches no socket. */
export interface Exchange {
  /** Bytes that were fed and belong to no request that was read. */
  readonly unread: number
  /** Takes in bytes. They may be kept without being copied. */
  feed(chunk: Buffer): void
  /** Reads the next request and answers it; `undefined` if its bytes are not all there. */
  next(): Answer | Promise<Answer> | undefined
}

/** An answer as on the wire, one character a byte; or the end. */
export type Answer = string | Ending

/** The connection is to be closed. */
export interface Ending {
  readonly kind: 'ending'
  /** What is said before, as on the wire. */
  readonly last?: string
  /** For the log: how the client breaks the protocol, if it does. */
  readonly problem?: string
}

/** Bounds on what a client may do. Times are in milliseconds. */
export interface ConnectionLimits {
  /** From the first byte of a request to its last. */
  readonly requestTime: number
  /** For the client to take an answer. */
  readonly answerTime: number
  /** Between requests. */
  readonly idleTime: number
}

export interface ConnectionParts {
  readonly exchange: Exchange
  readonly log: Log
  readonly limits: ConnectionLimits
  /** The front's name, for the log. */
  readonly front: string
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

export class ClientConnection {
  readonly #socket: Socket
  readonly #parts: ConnectionParts
  readonly #exchange: Exchange
  /** An answer is being looked for. */
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
    this.#exchange = parts.exchange
    const { front, client, log, limits } = parts
    socket.on('data', (chunk: Buffer) => {
      // A client that is being left may go on sending.
      if (this.#closed) return
      this.#exchange.feed(chunk)
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
    socket.on('error', cause => log.debug(`${front} connection failed`, { client, cause }))
    socket.setTimeout(limits.idleTime, () => this.destroy())
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
      const answer = this.#exchange.next()
      if (answer === undefined) break
      this.#allow(undefined)
      if (answer instanceof Promise) {
        this.#asking = true
        answer.then(later => this.#answered(later)).catch((cause: unknown) => this.#failed(cause))
      } else if (typeof answer !== 'string') {
        this.#write(answers)
        this.#end(answer)
        return
      } else {
        answers += answer
        if (answers.length < MAX_GATHERED) continue
        this.#write(answers)
        answers = ''
      }
    }
    this.#write(answers)
  }

  #answered(answer: Answer): void {
    this.#asking = false
    if (this.#closed) return
    if (typeof answer !== 'string') {
      this.#end(answer)
    } else {
      this.#write(answer)
      this.#work()
    }
  }

  #write(answers: string): void {
    if (answers !== '' && !this.#socket.write(answers, 'latin1')) this.#congested = true
  }

  /** Nothing more can be done until something happens: sees to it that this does not take for ever. */
  #rest(): void {
    const { unread } = this.#exchange
    if (this.#asking || this.#congested) {
      if (unread > MAX_AHEAD) this.#socket.pause()
      this.#allow(this.#congested ? 'answer' : undefined)
    } else if (this.#ended && unread > 0) {
      this.#end({ kind: 'ending', problem: 'it left in the middle of a request' })
    } else if (this.#ended || (this.#leaving && unread === 0)) {
      this.#close()
    } else {
      this.#allow(unread > 0 ? 'request' : undefined)
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

  #end({ last, problem }: Ending): void {
    if (last !== undefined) this.#write(last)
    if (problem !== undefined) this.#complain(problem)
    this.#close()
  }

  #complain(problem: string): void {
    const { log, front, client } = this.#parts
    log.warn(`${front} client disconnected`, { client, problem })
  }

  /** A bug of ours: it costs this connection and no other. */
  #failed(cause: unknown): void {
    const { log, front, client } = this.#parts
    log.error(`${front} request failed`, { client, cause })
    this.destroy()
  }

  /** Closes when the client has taken the answers it was given. */
  #close(): void {
    this.#closed = true
    this.#allow('answer')
    this.#socket.destroySoon()
  }
}
