/**
 * One policy request as its attributes: where each lies among the bytes that were received. A value becomes a string
 * only when somebody asks for it.
 */
import { ATTRIBUTE_NAMES, ATTRIBUTE_POSITIONS, type AttributeName } from './attributes.ts'

const NO_BYTES = Buffer.alloc(0)

/** Numbers kept of each attribute: where its name begins and ends, and where its value ends. */
const FIELDS = 3

/**
 * The request that a reader has found last: a view of the reader's bytes, good until the reader is asked or fed again.
 */
export class PolicyRequest {
  readonly kind = 'request'
  /** For each listed attribute its place among those received, or -1. */
  readonly #places = new Int16Array(ATTRIBUTE_NAMES.length).fill(-1)
  readonly #fields: Int32Array
  #count = 0
  #bytes: Buffer = NO_BYTES
  #origin = 0
  #encoding: 'latin1' | 'utf8' = 'latin1'

  /** For readers only. */
  constructor(maxAttributes: number) {
    this.#fields = new Int32Array(maxAttributes * FIELDS)
  }

  /** How many attributes were received, repeated ones included. */
  get count(): number {
    return this.#count
  }

  /** A listed attribute's value; empty if it is empty, `undefined` if it was not sent. Of two values the first. */
  get(name: AttributeName): string | undefined {
    const place = this.#places[ATTRIBUTE_POSITIONS[name]] ?? -1
    return place === -1 ? undefined : this.#value(place)
  }

  /** Every attribute that was sent, listed or not, in order. Of two with one name the first. */
  attributes(): Map<string, string> {
    const all = new Map<string, string>()
    for (let place = 0; place < this.#count; place++) {
      const name = this.#text(this.#field(place, 0), this.#field(place, 1))
      if (!all.has(name)) all.set(name, this.#value(place))
    }
    return all
  }

  #field(place: number, field: number): number {
    return this.#fields[place * FIELDS + field] ?? 0
  }

  #value(place: number): string {
    return this.#text(this.#field(place, 1) + 1, this.#field(place, 2))
  }

  #text(start: number, end: number): string {
    return this.#bytes.toString(this.#encoding, this.#origin + start, this.#origin + end)
  }

  /** For readers only: forgets the last request. */
  clear(): void {
    this.#places.fill(-1)
    this.#count = 0
  }

  /** For readers only: notes an attribute by offsets from the request's begin. */
  add(position: number, nameStart: number, nameEnd: number, valueEnd: number): void {
    const place = this.#count++
    this.#fields[place * FIELDS] = nameStart
    this.#fields[place * FIELDS + 1] = nameEnd
    this.#fields[place * FIELDS + 2] = valueEnd
    if (position !== -1 && this.#places[position] === -1) this.#places[position] = place
  }

  /**
   * For readers only: the request is whole and begins at `origin`. What is no valid UTF-8 is decoded to U+FFFD, which
   * no address may hold.
   */
  finish(bytes: Buffer, origin: number, options: { readonly ascii: boolean }): void {
    this.#bytes = bytes
    this.#origin = origin
    this.#encoding = options.ascii ? 'latin1' : 'utf8'
  }
}
