/**
 * Time as the milter's peers count it: in rounds, by one timer for all of them, so that no timer is started and stopped
 * with each command. It runs while there are peers. A time that is counted out in rounds is never too short, and longer
 * than it was given by two rounds at most.
 */

/** What is told of every round. */
export interface Counting {
  roundBegins(round: number): void
}

/** Rounds in the shortest of the times that are counted in them. */
const FINENESS = 8

/** Those who are told. */
interface Everybody extends Iterable<Counting> {
  readonly size: number
}

export class Rounds {
  readonly #counting: Everybody
  /** In milliseconds. */
  readonly #length: number
  #round = 0
  #timer: NodeJS.Timeout | undefined

  /** For those in `counting`, and for times of at least `shortest` milliseconds. */
  constructor(counting: Everybody, shortest: number) {
    this.#counting = counting
    this.#length = Math.max(1, Math.floor(shortest / FINENESS))
  }

  /** The round in which so many milliseconds will have gone by. */
  after(milliseconds: number): number {
    return this.#round + Math.ceil(milliseconds / this.#length) + 1
  }

  /** There is somebody to count for. */
  run(): void {
    this.#timer ??= setInterval(() => this.#next(), this.#length)
  }

  #next(): void {
    this.#round++
    for (const one of this.#counting) one.roundBegins(this.#round)
    if (this.#counting.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
