/**
 * Netstrings (D. J. Bernstein, netstrings.txt) as socketmap_table(5) uses them: a length in decimal, a colon, so many
 * bytes, a comma. Bytes in, strings of bytes out, the same for any cutting of the bytes.
 */

/** In bytes, without length, colon and comma. Postfix cuts addresses at 2048 bytes; a map's name comes before. */
export const MAX_REQUEST = 4096

/** How a client can break the protocol, and what the log says of it. */
export const FAULTS = {
  'no-length': 'a netstring does not begin with its length',
  'leading-zero': 'the length of a netstring begins with a zero',
  'too-long': 'a request is too long',
  'no-comma': 'a netstring does not end where its length says',
} as const
export type Fault = keyof typeof FAULTS

/** The client does not speak the protocol. Nothing that follows on its connection means anything. */
export interface Violation {
  readonly kind: 'violation'
  readonly fault: Fault
}

const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const COMMA = 0x2c

const NO_BYTES = Buffer.alloc(0)

/** Finds the netstrings in a client's bytes. One reader for each connection. */
export class NetstringReader {
  readonly #limit: number
  #violation: Violation | undefined
  /** What was fed and not read: in `#bytes` from `#origin` to `#end`. */
  #bytes: Buffer = NO_BYTES
  #origin = 0
  #end = 0
  /** Whether `#bytes` is the reader's own, with room to append. */
  #own = false

  constructor(limit: number = MAX_REQUEST) {
    this.#limit = limit
  }

  /** Bytes that were fed and belong to no netstring that was read. */
  get unread(): number {
    return this.#end - this.#origin
  }

  /** Takes in bytes. They may be kept without being copied. */
  feed(chunk: Buffer): void {
    const unread = this.unread
    if (this.#violation !== undefined) return
    if (unread === 0) {
      this.#bytes = chunk
      this.#origin = 0
      this.#end = chunk.length
      this.#own = false
      return
    }
    if (!this.#own || this.#bytes.length - this.#end < chunk.length) {
      // Twice what is needed, so that a client that sends byte by byte does not have its bytes copied each time.
      const roomy = Buffer.allocUnsafe(2 * (unread + chunk.length))
      this.#bytes.copy(roomy, 0, this.#origin, this.#end)
      this.#bytes = roomy
      this.#origin = 0
      this.#end = unread
      this.#own = true
    }
    chunk.copy(this.#bytes, this.#end)
    this.#end += chunk.length
  }

  /**
   * The next netstring's bytes; `undefined` if they are not all there; after a violation that violation for ever. The bytes
   * are good until more are fed.
   */
  next(): Buffer | Violation | undefined {
    if (this.#violation !== undefined) return this.#violation
    let length = 0
    let at = this.#origin
    for (; ; at++) {
      if (at === this.#end) return undefined
      const byte = this.#bytes[at] ?? 0
      if (byte === COLON && at > this.#origin) break
      if (byte < ZERO || byte > NINE) return this.#broken('no-length')
      if (at > this.#origin && length === 0) return this.#broken('leading-zero')
      length = 10 * length + (byte - ZERO)
      if (length > this.#limit) return this.#broken('too-long')
    }
    const begin = at + 1
    const comma = begin + length
    if (comma >= this.#end) return undefined
    if (this.#bytes[comma] !== COMMA) return this.#broken('no-comma')
    this.#origin = comma + 1
    return this.#bytes.subarray(begin, comma)
  }

  #broken(fault: Fault): Violation {
    this.#bytes = NO_BYTES
    this.#end = this.#origin
    this.#violation = { kind: 'violation', fault }
    return this.#violation
  }
}

/** A text as a netstring on the wire: its length in UTF-8, one character a byte. */
export function formatNetstring(text: string): string {
  const bytes = Buffer.from(text, 'utf8')
  return `${bytes.length}:${bytes.toString('latin1')},`
}
