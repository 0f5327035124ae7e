/**
 * The boundaries that a message's headers have declared, and which lines are delimiters by them (RFC 2046 §5.1.1).
 *
 * A boundary counts from its declaration to the end of the message, whatever was closed meanwhile: some readers go on
 * behind the end of a multipart, or do not see it. A line is a delimiter if it only begins with one, as the RFC says and
 * some readers go by; most want the whole line. It is the end of a multipart only if it is nothing else.
 */
import { MAX_PARTS } from '../core/content.ts'

/** What is known of the parts between delimiters. */
export interface Multipart {
  readonly type: string
  /** How many other parts they are in. */
  depth: number
  /** Whether a delimiter was found, by any of the boundaries that it may have. */
  found: boolean
}

export type Delimiter = { readonly kind: 'part'; readonly of: Multipart } | { readonly kind: 'end' }

const END: Delimiter = { kind: 'end' }

/** In characters, of all boundaries of a message together. The longest one that is legal has 70. */
const MAX_BOUNDARY_TEXT = 65_536

export class PartBoundaries {
  readonly #multiparts = new Map<string, Multipart>()
  /** Those that no other one is the beginning of, in order: they tell whether a line begins with any. */
  readonly #beginnings: string[] = []
  #length = 0

  get none(): boolean {
    return this.#multiparts.size === 0
  }

  /** Declares a boundary of a multipart, in bytes as Latin-1; false if there are too many. */
  declare(boundary: string, multipart: Multipart): boolean {
    this.#length += boundary.length
    if (this.#length > MAX_BOUNDARY_TEXT || this.#multiparts.size >= MAX_PARTS) return false
    const known = this.#multiparts.get(boundary)
    if (known !== undefined) {
      known.depth = Math.max(known.depth, multipart.depth)
      multipart.found ||= known.found
      return true
    }
    this.#multiparts.set(boundary, multipart)
    if (this.#beginningOf(boundary) !== undefined) return true
    const at = this.#placeOf(boundary)
    let longer = at
    while (this.#beginnings[longer]?.startsWith(boundary) === true) longer++
    this.#beginnings.splice(at, longer - at, boundary)
    return true
  }

  /** What a line is, without its `--`; `whole` if it is all of a line to every reader. */
  delimiter(text: string, whole: boolean): Delimiter | undefined {
    const line = text.trimEnd()
    let of = this.#multiparts.get(line)
    if (of === undefined && whole && line.endsWith('--') && this.#multiparts.has(line.slice(0, -2)))
      return END
    if (of === undefined) {
      const beginning = this.#beginningOf(text)
      of = beginning === undefined ? undefined : this.#multiparts.get(beginning)
    }
    if (of === undefined) return undefined
    of.found = true
    return { kind: 'part', of }
  }

  /** The types of multiparts in which no part was found. */
  *empty(): Generator<string> {
    for (const { type, found } of new Set(this.#multiparts.values())) if (!found) yield type
  }

  /** The place of the first one that is not before a text. */
  #placeOf(text: string): number {
    let low = 0
    let high = this.#beginnings.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#beginnings[middle] ?? '') < text) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The one that a text begins with. None is the beginning of another, so it can only be the last one up to the text. */
  #beginningOf(text: string): string | undefined {
    const at = this.#placeOf(text)
    const candidates = [this.#beginnings[at], this.#beginnings[at - 1]]
    return candidates.find(each => each !== undefined && text.startsWith(each))
  }
}
