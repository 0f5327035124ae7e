/**
 * A session and its input put together: bytes go in, effects come out one at a time, and input is read only when the
 * session is ready for it. Pure and synchronous like the two it joins; the server performs the effects.
 */
import { LmtpReader } from './codec.ts'
import { LmtpSession } from './session.ts'
import type { Effect, SessionEvent, SessionSettings, Wanted } from './session-events.ts'

export class Dialogue {
  readonly #reader = new LmtpReader()
  readonly #session: LmtpSession
  #effects: readonly Effect[] = []
  #performed = 0

  constructor(settings: SessionSettings) {
    this.#session = new LmtpSession(settings)
  }

  /** What the session is ready for, once all effects are performed. */
  get wanted(): Wanted {
    return this.#session.wanted
  }

  /** Octets of input that wait to be read. */
  get pending(): number {
    return this.#reader.pending
  }

  /** Takes input in. */
  push(chunk: Buffer): void {
    this.#reader.push(chunk)
  }

  /** Tells the session what is not input: an answer, or that it is to end. */
  tell(event: SessionEvent): void {
    const effects = this.#session.step(event)
    this.#effects =
      this.#performed === this.#effects.length
        ? effects
        : [...this.#effects.slice(this.#performed), ...effects]
    this.#performed = 0
  }

  /** The next thing to do, or nothing until there is more input or an answer. */
  next(): Effect | undefined {
    for (;;) {
      const effect = this.#effects[this.#performed]
      if (effect !== undefined) {
        this.#performed++
        return effect
      }
      const incoming =
        this.#session.wanted === 'line'
          ? this.#reader.readLine()
          : this.#session.wanted === 'data'
            ? this.#reader.readData()
            : undefined
      if (incoming === undefined) return undefined
      this.tell(incoming)
    }
  }
}
