/**
 * A message as it goes over the wire (RFC 5321 §4.5.2): lines that begin with a dot get another one, and the last line
 * has an end.
 *
 * A CR or LF never goes out alone (RFC 5321 §2.3.8): servers differ in whether it ends a line, and a sender could have
 * one of them take the message's text for its end, and what follows for commands. LF alone becomes a line's end and CR
 * alone a space, which is how the header was read when it was judged.
 */
import { isAscii } from 'node:buffer'
import type { Message } from '../app/message.ts'

const LF = 10
const CR = 13
const DOT = 46

const LINE_END = Buffer.from('\r\n')
const SPACE = Buffer.from(' ')
const A_DOT = Buffer.from('.')

/** Writes a message for the wire, a piece at a time, and counts. */
export class WireWriter {
  #octets = 0
  #isLineStart = true
  #holdsCr = false

  /** Octets so far by RFC 1870 §5: with line ends, and without the dots that were put in. */
  get octets(): number {
    return this.#octets
  }

  /** What goes out for a piece. Shares the piece's memory. */
  take(piece: Uint8Array): readonly Uint8Array[] {
    if (piece.length === 0) return []
    const out: Uint8Array[] = []
    let dots = 0
    let kept = 0
    const put = (until: number, instead: Uint8Array, next: number): void => {
      if (until > kept) out.push(piece.subarray(kept, until))
      out.push(instead)
      kept = next
    }
    let lineStart = this.#isLineStart ? 0 : -1
    if (this.#holdsCr && piece[0] === LF) {
      put(0, LINE_END, 1)
      lineStart = 1
    } else if (this.#holdsCr) {
      put(0, SPACE, 0)
      lineStart = -1
    }
    this.#holdsCr = false
    for (let at = kept; at < piece.length; at++) {
      const octet = piece[at]
      if (octet === DOT) {
        if (at !== lineStart) continue
        put(at, A_DOT, at)
        dots++
      } else if (octet === LF) {
        if (at === 0 || piece[at - 1] !== CR) put(at, LINE_END, at + 1)
        lineStart = at + 1
      } else if (octet === CR && at + 1 === piece.length) {
        this.#holdsCr = true
        if (at > kept) out.push(piece.subarray(kept, at))
        kept = piece.length
      } else if (octet === CR && piece[at + 1] !== LF) {
        put(at, SPACE, at + 1)
      }
    }
    if (piece.length > kept) out.push(piece.subarray(kept))
    this.#isLineStart = lineStart === piece.length
    this.#octets += out.reduce((sum, { length }) => sum + length, -dots)
    return out
  }

  /** What is left to go out before the final dot. */
  end(): readonly Uint8Array[] {
    const rest = this.#holdsCr ? [SPACE, LINE_END] : this.#isLineStart ? [] : [LINE_END]
    this.#octets += rest.reduce((sum, { length }) => sum + length, 0)
    this.#holdsCr = false
    this.#isLineStart = true
    return rest
  }
}

/** What must be known of a message before it can be announced. */
export interface Traits {
  /** As on the wire, by RFC 1870. */
  readonly octets: number
  readonly isEightBit: boolean
  /** Whether the header section is not ASCII (RFC 6532). */
  readonly hasUtf8Header: boolean
}

const HEADER_END = '\r\n\r\n'

/** Reads a message through. Rejects as reading does. */
export async function traitsOf(message: Message): Promise<Traits> {
  const writer = new WireWriter()
  let isEightBit = false
  let hasUtf8Header = false
  let isHeader = true
  let before: Uint8Array = LINE_END
  for await (const piece of message.read()) {
    const wire = writer.take(piece)
    if (!isAscii(piece)) isEightBit = true
    if (!isHeader) continue
    const text = Buffer.concat([before, ...wire])
    const end = text.indexOf(HEADER_END)
    if (!isAscii(end === -1 ? text : text.subarray(0, end))) hasUtf8Header = true
    isHeader = end === -1
    before = text.subarray(-3)
  }
  writer.end()
  return { octets: writer.octets, isEightBit, hasUtf8Header }
}
