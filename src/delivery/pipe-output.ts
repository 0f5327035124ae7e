/**
 * What a program says on its standard output and standard error: its first line and its last ones, whatever it is and
 * however much. The first is for the sender of a message that was refused, the last are for the log.
 */

/** In octets: more than a reply holds. */
const FIRST = 1024
/** In octets: what a log line has room for. */
const LAST = 2048

/** Lines that say something, as text. */
function linesOf(bytes: Uint8Array): readonly string[] {
  return Buffer.from(bytes)
    .toString('utf8')
    .split(/[\r\n]+/)
    .map(line => line.replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ').trim())
    .filter(line => line !== '')
}

export class ProgramOutput {
  #first: Buffer = Buffer.alloc(0)
  #last: Buffer = Buffer.alloc(0)
  #cut = false

  /** Takes what was said. */
  add(bytes: Uint8Array): void {
    if (this.#first.length < FIRST) {
      // White space before the first line is no line.
      const start = this.#first.length === 0 ? bytes.findIndex(octet => octet > 32) : 0
      const room = FIRST - this.#first.length
      if (start >= 0) this.#first = Buffer.concat([this.#first, bytes.subarray(start, start + room)])
    }
    const all = Buffer.concat([this.#last, bytes.subarray(Math.max(0, bytes.length - LAST))])
    this.#cut ||= bytes.length > LAST || all.length > LAST
    // A copy, so that the piece that it came in can go.
    this.#last = Buffer.from(all.subarray(Math.max(0, all.length - LAST)))
  }

  /** The first line; empty if nothing was said. */
  get firstLine(): string {
    return linesOf(this.#first)[0] ?? ''
  }

  /** The last lines in one. */
  get lastLines(): string {
    const lines = linesOf(this.#last)
    return `${this.#cut && lines.length > 0 ? '… ' : ''}${lines.join(' | ')}`
  }
}
