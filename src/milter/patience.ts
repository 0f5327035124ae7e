/** How long a peer is waited for, and what the log says if that was in vain. */
import type { Rounds } from './rounds.ts'

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

/** What is waited for, and what the log says if it takes too long. */
const LATE = {
  /** A command, or a decision: nothing is wrong. */
  nothing: undefined,
  'end of command': 'it does not finish its command',
  'answer taken': 'it does not take its answers',
} as const

type Awaited = keyof typeof LATE

/** The patience with one peer. */
export class Patience {
  readonly #rounds: Rounds
  readonly #limits: PeerLimits
  #awaited: Awaited = 'nothing'
  /** The round by which it must have come. */
  #due: number

  constructor(rounds: Rounds, limits: PeerLimits) {
    this.#rounds = rounds
    this.#limits = limits
    this.#due = rounds.after(limits.idleTime)
  }

  /** From now on this is waited for. While it is the same, its time runs on until `heard`. */
  waitFor(awaited: Awaited): void {
    if (awaited === this.#awaited && awaited !== 'nothing') return
    const { idleTime, commandTime } = this.#limits
    this.#awaited = awaited
    this.#due = this.#rounds.after(awaited === 'nothing' ? idleTime : commandTime)
  }

  /** A command has come. */
  heard(): void {
    this.#awaited = 'nothing'
  }

  isOver(round: number): boolean {
    return round >= this.#due
  }

  /** What has been waited for in vain: a sentence for the log, unless nothing was wrong. */
  get problem(): string | undefined {
    return LATE[this.#awaited]
  }
}
