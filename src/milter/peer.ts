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
import type { Placed } from './crowd.ts'
import { Patience, type PeerLimits } from './patience.ts'
import type { Reception } from './receive.ts'
import { encodeResponse } from './response.ts'
import type { Counting, Rounds } from './rounds.ts'
import type { Effect, Session } from './session.ts'
import { FRAME_FAULTS, FrameReader } from './wire.ts'

/** What all peers of a front have in common. */
export interface PeerParts {
  readonly gate: Pick<Gate, 'ask'>
  readonly log: Log
  readonly limits: PeerLimits
  readonly rounds: Rounds
  readonly reception: Reception
  /** Told of each peer's end. */
  readonly gone: (peer: Peer) => void
}

/** Bytes of commands that a peer may send ahead of its answers before it is no longer read. */
const MAX_AHEAD = 65_536
/** Bytes of answers that are gathered for one write. */
const MAX_GATHERED = 16_384

const PROGRESS = encodeResponse({ kind: 'progress' })

export class Peer implements Counting, Placed {
  place = 0
  readonly #socket: Socket
  readonly #session: Session
  /** Names the peer in the log. */
  readonly #name: string
  readonly #parts: PeerParts
  readonly #reader: FrameReader
  /** The gate is looking for an answer. */
  #asking = false
  /** The command is one that a sign of life may come before the answer to: Sendmail fails on any other. */
  #bearsProgress = false
  /** The peer does not take its answers. */
  #congested = false
  /** The peer has sent so much ahead that it is not read. */
  #paused = false
  /** We are about to end: what is on its way is finished. */
  #leaving = false
  /** Nothing is read or answered any more. */
  #closed = false
  #gathered: Buffer[] = []
  #gatheredLength = 0
  readonly #patience: Patience
  /** While the gate looks for an answer: the rounds by which it must have one, and of the next sign of life. */
  #decisionDue = 0
  #progressDue = 0

  constructor(socket: Socket, session: Session, name: string, parts: PeerParts) {
    this.#socket = socket
    this.#session = session
    this.#name = name
    this.#parts = parts
    this.#reader = new FrameReader(parts.limits.maxData, bytes => session.bodyBytes(bytes))
    this.#patience = new Patience(parts.rounds, parts.limits)
    parts.reception.receive(socket, bytes => {
      if (this.#closed) return
      this.#reader.push(bytes)
      this.#work()
      this.#reader.keep()
    })
    socket.on('drain', () => {
      this.#congested = false
      this.#work()
    })
    socket.on('error', cause => parts.log.debug('milter connection failed', { client: name, cause }))
    socket.on('close', () => {
      this.#closed = true
      parts.gone(this)
    })
  }

  /** Fulfilled when the socket is closed, which it is not yet. */
  get gone(): Promise<void> {
    return new Promise(resolve => this.#socket.on('close', () => resolve()))
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
    this.#patience.heard()
    const command = decodeCommand(frame)
    if (typeof command === 'string') this.#disconnect(COMMAND_FAULTS[command])
    else {
      this.#bearsProgress = command.kind === 'end-of-message'
      this.#carryOut(this.#session.take(command))
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
          if (this.#gatheredLength === 0) this.#gathered = [effect.bytes]
          else this.#gathered.push(effect.bytes)
          this.#gatheredLength += effect.bytes.length
          return
        case 'close':
          if (effect.problem === undefined) this.#close()
          else this.#disconnect(effect.problem)
          return
        case 'ask': {
          const { question } = effect
          const verdict = this.#parts.gate.ask(question.tx, question)
          if (verdict instanceof Promise) {
            this.#wait(verdict)
            return
          }
          effect = this.#session.verdict(verdict)
        }
      }
    }
  }

  #wait(verdict: Promise<Verdict>): void {
    this.#asking = true
    const { limits, rounds } = this.#parts
    // Answers to what came before do not wait along; the MTA must not take a sign of life for one of them.
    this.#flush()
    this.#decisionDue = rounds.after(limits.decisionTime)
    this.#progressDue = rounds.after(limits.progressInterval)
    verdict
      .then(settled => {
        this.#asking = false
        if (this.#closed) return
        this.#carryOut(this.#session.verdict(settled))
        this.#work()
      })
      .catch((cause: unknown) => this.#failed(cause))
  }

  roundBegins(round: number): void {
    if (this.#asking && !this.#closed) this.#goOnWaiting(round)
    if (this.#socket.destroyed || !this.#patience.isOver(round)) return
    const { problem } = this.#patience
    if (problem !== undefined) this.#complain(problem)
    this.destroy()
  }

  #goOnWaiting(round: number): void {
    const { limits, rounds } = this.#parts
    if (round >= this.#decisionDue) {
      this.#failed(new Error('the gate does not decide'))
    } else if (round >= this.#progressDue) {
      this.#progressDue = rounds.after(limits.progressInterval)
      if (this.#bearsProgress && !this.#congested) this.#congested = !this.#socket.write(PROGRESS)
    }
  }

  #flush(): void {
    if (this.#gatheredLength === 0) return
    const [first] = this.#gathered
    const bytes = this.#gathered.length === 1 && first !== undefined ? first : Buffer.concat(this.#gathered)
    this.#gatheredLength = 0
    if (!this.#socket.write(bytes)) this.#congested = true
  }

  /** Nothing more can be done until something happens: sees to it that this does not take for ever. */
  #rest(): void {
    if (this.#asking || this.#congested) {
      if (this.#reader.unread > MAX_AHEAD && !this.#paused) {
        this.#paused = true
        this.#socket.pause()
      }
      this.#patience.waitFor(this.#congested ? 'answer taken' : 'nothing')
    } else if (this.#leaving && !this.#session.inMessage && !this.#reader.pending) {
      this.#close()
    } else {
      this.#patience.waitFor(this.#reader.pending ? 'end of command' : 'nothing')
      if (!this.#paused) return
      this.#paused = false
      this.#socket.resume()
    }
  }

  /** The peer does not keep to the protocol, or cannot do what is needed: the MTA does its default action. */
  #disconnect(problem: string): void {
    this.#complain(problem)
    this.#close()
  }

  #complain(problem: string): void {
    this.#parts.log.warn('milter client disconnected', { client: this.#name, problem })
  }

  /** A bug of ours: it costs this connection and no other. */
  #failed(cause: unknown): void {
    if (!this.#closed) this.#parts.log.error('milter session failed', { client: this.#name, cause })
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
    this.#patience.waitFor('answer taken')
    this.#socket.destroySoon()
  }
}
