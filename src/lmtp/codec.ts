/**
 * The bytes of an LMTP connection, from the client: command lines, or the data of a message, whichever the session
 * is ready for. Pure: bytes in, events out, the same for any chunking.
 *
 * Only CR LF ends a command line properly. A bare LF ends it, too, as a line that is not obeyed: waiting for CR LF
 * would leave a client that does not know better without an answer, and obeying would let two readers of one stream
 * disagree on what is a command.
 */
import { DotUnstuffer } from './dot-stuffing.ts'

/** What is wrong with a line that is not obeyed. `endless` is too long to wait for its end. */
export type LineProblem = 'too-long' | 'endless' | 'bare-line-feed' | 'control-character' | 'not-utf8'

/** What the session is given. */
export type Incoming =
  | { readonly kind: 'line'; readonly text: string }
  /** `text` is there if there is one, with U+FFFD for what no line may hold. */
  | { readonly kind: 'bad-line'; readonly problem: LineProblem; readonly text?: string }
  | { readonly kind: 'data'; readonly data: readonly Uint8Array[] }
  | { readonly kind: 'data-end' }

/**
 * In octets with CR LF. RFC 5321 §4.5.3.1.4 asks for 512 and what extensions add: paths may be 1024 characters of
 * UTF-8 here, and XFORWARD has seven values of up to 255 encoded octets.
 */
export const MAX_COMMAND_LINE = 8192

/** In octets: no line's end is waited for any longer. */
const MAX_SKIPPED = 65_536

const LF = 10
const CR = 13

const UTF8 = new TextDecoder('utf-8', { fatal: true })
const LENIENT_UTF8 = new TextDecoder()
const EMPTY = Buffer.alloc(0)

export class LmtpReader {
  #input: Buffer = EMPTY
  #at = 0
  /** Octets of an over-long line that were dropped so far; 0 where none is being dropped. */
  #dropped = 0
  #data: DotUnstuffer | undefined
  #dataEnded = false

  /** Takes a chunk in. The reader keeps a reference to it. */
  push(chunk: Buffer): void {
    this.#input = this.pending === 0 ? chunk : Buffer.concat([this.#input.subarray(this.#at), chunk])
    this.#at = 0
  }

  /** Octets that were pushed and not read. */
  get pending(): number {
    return this.#input.length - this.#at
  }

  /** The next command line, if there is a whole one. */
  readLine(): Incoming | undefined {
    const end = this.#input.indexOf(LF, this.#at)
    if (end === -1) return this.#unfinished()
    const start = this.#at
    this.#at = end + 1
    const length = this.#dropped + this.#at - start
    this.#dropped = 0
    if (length > MAX_SKIPPED) return { kind: 'bad-line', problem: 'endless' }
    if (length > MAX_COMMAND_LINE) return { kind: 'bad-line', problem: 'too-long' }
    if (end === start || this.#input[end - 1] !== CR) return { kind: 'bad-line', problem: 'bare-line-feed' }
    return lineOf(this.#input, start, end - 1)
  }

  #unfinished(): Incoming | undefined {
    if (this.pending === 0 || this.#dropped + this.pending <= MAX_COMMAND_LINE) return undefined
    this.#dropped += this.pending
    this.#at = this.#input.length
    return this.#dropped > MAX_SKIPPED ? { kind: 'bad-line', problem: 'endless' } : undefined
  }

  /** What has come of a message's data, or its end. */
  readData(): Incoming | undefined {
    if (this.#dataEnded) {
      this.#dataEnded = false
      return { kind: 'data-end' }
    }
    if (this.pending === 0) return undefined
    this.#data ??= new DotUnstuffer()
    const { data, at, ended } = this.#data.take(this.#input, this.#at)
    this.#at = at
    this.#dataEnded = ended
    if (ended) this.#data = undefined
    return data.length === 0 ? this.readData() : { kind: 'data', data }
  }
}

function lineOf(input: Buffer, start: number, end: number): Incoming {
  const latin1 = input.toString('latin1', start, end)
  if (/^[\x20-\x7e]*$/.test(latin1)) return { kind: 'line', text: latin1 }
  const bytes = input.subarray(start, end)
  if (/[\x00-\x1f\x7f]/.test(latin1)) {
    const text = LENIENT_UTF8.decode(bytes).replace(/[\x00-\x1f\x7f]/g, '\ufffd')
    return { kind: 'bad-line', problem: 'control-character', text }
  }
  try {
    return { kind: 'line', text: UTF8.decode(bytes) }
  } catch {
    return { kind: 'bad-line', problem: 'not-utf8', text: LENIENT_UTF8.decode(bytes) }
  }
}
