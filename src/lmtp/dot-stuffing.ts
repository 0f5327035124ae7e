/**
 * The body of DATA (RFC 5321 §4.5.2): takes the stuffed dots out and finds the end, a chunk at a time, in linear
 * time, and without copying what holds no stuffed dot.
 *
 * A line begins after CR LF and nowhere else. CR LF `.` CR LF alone ends the data (and `.` CR LF at its very
 * beginning); a dot after a bare LF or a bare CR is data and stays: whoever takes it for the end, or for a stuffed
 * dot, reads another message than the one that was sent.
 */

/** What a chunk held. */
export interface Unstuffed {
  /** The data, in order. Shares the chunk's memory. */
  readonly data: readonly Uint8Array[]
  /** Where in the chunk the reading stopped. */
  readonly at: number
  readonly ended: boolean
}

const LF = 10
const CR = 13
const DOT = 46
const CRLF_DOT: Uint8Array = Uint8Array.of(CR, LF, DOT)

/** What was seen last. From `DOT_SEEN` on something is withheld: a dot, or a dot and CR, at the beginning of a line. */
const TEXT = 0
const CR_SEEN = 1
const LINE = 2
const DOT_SEEN = 3
const DOT_CR_SEEN = 4

/** Longer than any sequence that may have begun in the chunk before. */
const HEAD = 4

export class DotUnstuffer {
  #seen = LINE

  /** Reads a chunk from `start` to the end of the data or of the chunk. */
  take(chunk: Buffer, start: number): Unstuffed {
    if (this.#seen === TEXT) return this.#scan(chunk, start, start)
    const head = this.#copy(chunk, start, Math.min(start + HEAD, chunk.length))
    if (head.ended || head.at === chunk.length) return head
    // Two octets back, for a line's end that the head has half read; what the head has kept is not kept again.
    const rest =
      this.#seen >= DOT_SEEN
        ? this.#copy(chunk, head.at, chunk.length)
        : this.#scan(chunk, head.at, Math.max(start, head.at - 2))
    return { ...rest, data: [...head.data, ...rest.data] }
  }

  /** The fast way: from `from` on everything is kept as it is, up to the first line that begins with a dot. */
  #scan(chunk: Buffer, from: number, searchFrom: number): Unstuffed {
    const found = chunk.indexOf(CRLF_DOT, searchFrom)
    if (found === -1) {
      const last = chunk[chunk.length - 1]
      this.#seen = last === CR ? CR_SEEN : last === LF && chunk[chunk.length - 2] === CR ? LINE : TEXT
      return { data: kept(chunk, from, chunk.length), at: chunk.length, ended: false }
    }
    const dot = found + 2
    const before = kept(chunk, from, dot)
    if (chunk[dot + 1] === CR && chunk[dot + 2] === LF) {
      this.#seen = LINE
      return { data: before, at: dot + 3, ended: true }
    }
    this.#seen = LINE
    const rest = this.#copy(chunk, dot, chunk.length)
    return { ...rest, data: [...before, ...rest.data] }
  }

  /** The thorough way: octet by octet into memory of its own. */
  #copy(chunk: Buffer, from: number, to: number): Unstuffed {
    // One more than there is to read: a CR that was withheld may come out.
    const out = Buffer.allocUnsafe(to - from + 1)
    let length = 0
    let seen = this.#seen
    let at = from
    let ended = false
    while (at < to && !ended) {
      const octet = chunk[at++] ?? 0
      if (seen === LINE && octet === DOT) seen = DOT_SEEN
      else if (seen === DOT_SEEN && octet === CR) seen = DOT_CR_SEEN
      else if (seen === DOT_CR_SEEN && octet === LF) {
        seen = LINE
        ended = true
      } else {
        if (seen === DOT_CR_SEEN) out[length++] = CR
        out[length++] = octet
        seen = octet === CR ? CR_SEEN : octet === LF && seen === CR_SEEN ? LINE : TEXT
      }
    }
    this.#seen = seen
    return { data: kept(out, 0, length), at, ended }
  }
}

function kept(chunk: Buffer, from: number, to: number): readonly Uint8Array[] {
  return from < to ? [chunk.subarray(from, to)] : []
}
