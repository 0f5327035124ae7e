/**
 * Those who are there, of whom hundreds come and go each second. A Set would do, but for what it costs: whenever it makes
 * room, the one that it was before keeps hold of everybody who was there then, and the garbage collector carries them
 * along until it clears up everything.
 */

/** One of a crowd. */
export interface Placed {
  /** Its place, which is the crowd's business. */
  place: number
}

export class Crowd<T extends Placed> implements Iterable<T> {
  readonly #all: T[] = []

  get size(): number {
    return this.#all.length
  }

  add(one: T): void {
    one.place = this.#all.length
    this.#all.push(one)
  }

  /** Takes out one who is there. The last one gets the free place. */
  delete(one: T): void {
    const last = this.#all.pop()
    if (last === undefined || last === one) return
    this.#all[one.place] = last
    last.place = one.place
  }

  [Symbol.iterator](): Iterator<T> {
    return this.#all.values()
  }
}
