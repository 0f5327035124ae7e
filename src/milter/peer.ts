/**
 * One MTA at the milter: its socket, between frames and the session. Commands are answered strictly in order, each before
 * the next is read; what a peer may send ahead, leave unfinished or not take is bounded. While a decision on a whole message
 * takes its time the MTA is told that we are alive (SMFIR_PROGRESS).
 */
import type { Socket } from 'node:net'
import type { Gate } from '../app/gate.ts'
import type { Log } from '../app/log.ts'
import type { Verdict } from '../core/verdict.ts'
import { COMMAND_FAULTS, decodeCommand } from './command.ts'
import { encodeResponse } from './response.ts'
import type { Effect, Session } from './session.ts'
import { FRAME_FAULTS, FrameReader } from './wire.ts'

/** Bounds on what a peer may do, and on ourselves. Times are in milliseconds. */
export interface PeerLimits {
  /** Data of one frame, in bytes. */
  readonly maxData: number
  /** From the first byte of a command to its last, and for the peer to take an answer. */
  readonly commandTime: number
  /** Between commands: an MTA waits for its client, and a message may be long on its way. */
  readonly idleTime: number
  /** For the gate to decide. */
  readonly decisionTime: number
  /** Between two signs of life while the gate decides. */
  readonly progressInterval: number
}

export interface PeerParts {
  readonly session: Session
  readonly gate: Pick<Gate, 'ask'>
  readonly log: Log
  readonly limits: PeerLimits
  /** Names the peer in the log. */
  readonly name: string
}

/** Bytes of commands that a peer may send ahead of its answers before it is no longer read. */
const MAX_AHEAD = 65_536
/** Bytes of answers that are gathered for one write. */
const MAX_GATHERED = 16_384

const PROGRESS = encodeResponse({ kind: 'progress' })

/** What a peer, or we, are given a time for, and what the log says if it takes longer. */
const LATE = {
  command: 'it does not finish its command',
  answer: 'it does not take its answers',
} as const

export class Peer {
  readonly #socket: Socket
  readonly #parts: PeerParts
  readonly #reader: FrameReader
  /** The gate is looking for an answer. */
  #asking = false
  /** The command is one that a sign of life may come before the answer to: Sendmail fails on any other. */
  #bearsProgress = false
  /** The peer does not take its answers. */
  #congested = false
  /** We are about to end: what is on its way is finished. */
  #leaving = false
  /** Nothing is read or answered any more. */
  #closed = false
  #gathered: Buffer[] = []
  #gatheredLength = 0
  #deadline: keyof typeof LATE | undefined
  #timer: NodeJS.Timeout | undefined
  #progress: NodeJS.Timeout | undefined
  /** Fulfilled when the socket is closed. */
  readonly gone: Promise<void>

  constructor(socket: Socket, parts: PeerParts) {
    this.#socket = socket
    this.#parts = parts
    this.#reader = new FrameReader(parts.limits.maxData)
    socket.on('data', (chunk: Buffer) => {
      if (this.#closed) return
      this.#reader.push(chunk)
      this.#work()
    })
    socket.on('drain', () => {
      this.#congested = false
      this.#work()
    })
    socket.on('error', cause => parts.log.debug('milter connection failed', { client: parts.name, cause }))
    socket.setTimeout(parts.limits.idleTime, () => this.destroy())
    this.gone = new Promise(resolve => {
      socket.on('close', () => {
        this.#closed = true
        this.#allow(undefined)
        clearInterval(this.#progress)
        resolve()
      })
    })
  }

  /** Finishes the message that is on its way, if there is one, and closes. */
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
      while (!this.#asking && !this.#congested && !this.#closed && this.#readCommand()) {
        if (this.#gatheredLength >= MAX_GATHERED) this.#flush()
      }
      this.#flush()
      if (!this.#closed) this.#rest()
    } catch (cause) {
      this.#failed(cause)
    }
  }

  /** Reads one command and does what it asks for; false if there is none to be read. */
  #readCommand(): boolean {
    const frame = this.#reader.next()
    if (frame === undefined) return false
    if (typeof frame === 'string') {
      this.#disconnect(FRAME_FAULTS[frame])
      return false
    }
    this.#allow(undefined)
    const command = decodeCommand(frame)
    if (typeof command === 'string') this.#disconnect(COMMAND_FAULTS[command])
    else {
      this.#bearsProgress = command.kind === 'end-of-message'
      this.#carryOut(this.#parts.session.take(command))
    }
    return true
  }

  /** Carries an effect out, and those that follow from it, as far as verdicts are at hand. */
  #carryOut(first: Effect): void {
    let effect = first
    for (;;) {
      switch (effect.kind) {
        case 'nothing':
          return
        case 'send':
          this.#gathered.push(effect.bytes)
          this.#gatheredLength += effect.bytes.length
          return
        case 'close':
          if (effect.problem === undefined) this.#close()
          else this.#disconnect(effect.problem)
          return
        case 'ask': {
          const { tx, queueId } = effect.question
          const verdict = this.#parts.gate.ask(tx, { queueId })
          if (verdict instanceof Promise) {
            this.#wait(verdict)
            return
          }
          effect = this.#parts.session.verdict(verdict)
        }
      }
    }
  }

  #wait(verdict: Promise<Verdict>): void {
    this.#asking = true
    const { decisionTime, progressInterval } = this.#parts.limits
    // Answers to what came before do not wait along; the MTA must not take a sign of life for one of them.
    this.#flush()
    const began = Date.now()
    clearInterval(this.#progress)
    this.#progress = setInterval(() => {
      if (Date.now() - began >= decisionTime) {
        this.#failed(new Error('the gate does not decide'))
      } else if (this.#bearsProgress && !this.#congested && !this.#closed) {
        this.#congested = !this.#socket.write(PROGRESS)
      }
    }, progressInterval)
    verdict
      .then(settled => {
        clearInterval(this.#progress)
        this.#asking = false
        if (this.#closed) return
        this.#carryOut(this.#parts.session.verdict(settled))
        this.#work()
      })
      .catch((cause: unknown) => this.#failed(cause))
  }

  #flush(): void {
    const [first] = this.#gathered
    if (first === undefined) return
    const bytes = this.#gathered.length === 1 ? first : Buffer.concat(this.#gathered)
    this.#gathered = []
    this.#gatheredLength = 0
    if (!this.#socket.write(bytes)) this.#congested = true
  }

  /** Nothing more can be done until something happens: sees to it that this does not take for ever. */
  #rest(): void {
    if (this.#asking || this.#congested) {
      if (this.#reader.unread > MAX_AHEAD) this.#socket.pause()
      this.#allow(this.#congested ? 'answer' : undefined)
    } else if (this.#leaving && !this.#parts.session.inMessage && !this.#reader.pending) {
      this.#close()
    } else {
      this.#allow(this.#reader.pending ? 'command' : undefined)
      this.#socket.resume()
    }
  }

  /** Gives the peer a limited time for something. The time runs on while it is still for the same. */
  #allow(deadline: keyof typeof LATE | undefined): void {
    if (deadline === this.#deadline) return
    clearTimeout(this.#timer)
    this.#deadline = deadline
    if (deadline === undefined) return
    this.#timer = setTimeout(() => {
      this.#complain(LATE[deadline])
      this.destroy()
    }, this.#parts.limits.commandTime)
  }

  /** The peer does not keep to the protocol, or cannot do what is needed: the MTA does its default action. */
  #disconnect(problem: string): void {
    this.#complain(problem)
    this.#close()
  }

  #complain(problem: string): void {
    this.#parts.log.warn('milter client disconnected', { client: this.#parts.name, problem })
  }

  /** A bug of ours: it costs this connection and no other. */
  #failed(cause: unknown): void {
    if (!this.#closed) this.#parts.log.error('milter session failed', { client: this.#parts.name, cause })
    this.destroy()
  }

  /** Closes when the peer has taken the answers it was given; at once if the system has them all. */
  #close(): void {
    this.#flush()
    this.#closed = true
    if (this.#socket.writableLength === 0) {
      this.#socket.destroy()
      return
    }
    this.#allow('answer')
    this.#socket.destroySoon()
  }
}
