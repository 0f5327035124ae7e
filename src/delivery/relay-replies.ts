/**
 * Replies of a next hop (RFC 5321 §4.2, RFC 2034): bytes in, whole replies out, and made fit to be passed on. Pure.
 * What a next hop sends is bounded in the length of a line, in lines and in octets.
 */
import { makeReply, type Reply, replyText } from '../core/reply.ts'
import { RelayFault } from './relay-fault.ts'

/** A reply as it came. */
export interface NextHopReply {
  /** Three digits of which the first is 2 to 5. */
  readonly code: number
  /** The texts of its lines, without the code. */
  readonly lines: readonly string[]
}

/** In octets with the line's end. RFC 5321 §4.5.3.1.5 has 512, and some servers write more. */
export const MAX_REPLY_LINE = 2048
/** Of one reply; the longest are answers to LHLO. */
export const MAX_REPLY_LINES = 100

const LF = 10
const LINE = /^([2-5]\d\d)(?:([ -])(.*))?$/s
const EMPTY = Buffer.alloc(0)

/** Puts the lines of replies together. */
export class ReplyReader {
  #input: Buffer = EMPTY
  #code: string | undefined
  #lines: string[] = []

  /** Whether a reply has begun and not ended. */
  get isAmidReply(): boolean {
    return this.#code !== undefined || this.#input.length > 0
  }

  /** Takes in what came. */
  push(chunk: Buffer): void {
    this.#input = this.#input.length === 0 ? chunk : Buffer.concat([this.#input, chunk])
  }

  /** The next whole reply, if there is one. @throws RelayFault if what came is none */
  next(): NextHopReply | undefined {
    for (;;) {
      const end = this.#input.indexOf(LF)
      if ((end === -1 ? this.#input.length : end) >= MAX_REPLY_LINE) {
        throw new RelayFault('nonsense', 'a line of its reply has no end')
      }
      if (end === -1) return undefined
      const line = this.#input.toString('utf8', 0, end).replace(/\r$/, '')
      this.#input = this.#input.subarray(end + 1)
      const reply = this.#add(line)
      if (reply !== undefined) return reply
    }
  }

  #add(line: string): NextHopReply | undefined {
    const [, code, separator = ' ', text = ''] = LINE.exec(line) ?? []
    if (code === undefined || (this.#code !== undefined && this.#code !== code)) {
      throw new RelayFault('nonsense', `it said what is no reply: ${shown(line)}`)
    }
    this.#lines.push(text)
    if (this.#lines.length > MAX_REPLY_LINES) throw new RelayFault('nonsense', 'its reply has no end')
    this.#code = code
    if (separator === '-') return undefined
    const lines = this.#lines
    this.#code = undefined
    this.#lines = []
    return { code: Number(code), lines }
  }
}

/** Part of what a next hop said, for the log: without controls, and not too much of it. */
function shown(text: string): string {
  return JSON.stringify(text.slice(0, 100))
}

/** What a next hop said, for the log. */
export function replyInWords({ code, lines }: NextHopReply): string {
  return shown(`${code} ${lines.join(' ')}`)
}

const ENHANCED = /^([245])\.\d{1,3}\.\d{1,3}(?=\s|$)/

/** The enhanced code of a reply, if it has one, of its own class, in its first line. */
export function enhancedOf({ code, lines }: NextHopReply): string | undefined {
  const found = ENHANCED.exec(lines[0] ?? '')
  return found !== null && found[1] === String(code)[0] ? found[0] : undefined
}

/** 421 and 521 speak of the connection (RFC 5321 §4.2.3, RFC 7504): passed on, they would end the MTA's with us. */
const OF_THE_CONNECTION: ReadonlyMap<number, number> = new Map([
  [421, 451],
  [521, 550],
])

/**
 * A reply made fit to be passed on: one line, a code that may be sent, and an enhanced code of its class, which is
 * the one that says nothing more where the next hop gave none. For 2xx, 4xx and 5xx.
 */
export function passedOn(reply: NextHopReply): Reply {
  const enhanced = enhancedOf(reply)
  const texts = reply.lines.map(line => (enhanced === undefined ? line : line.replace(ENHANCED, '')).trim())
  // What is all controls and white space is no text.
  const text = replyText(texts.join(' '))
  const status = enhanced ?? `${Math.floor(reply.code / 100)}.0.0`
  const codes = [OF_THE_CONNECTION.get(reply.code) ?? reply.code, Math.floor(reply.code / 100) * 100 + 50]
  for (const code of codes) {
    const made = makeReply(code, status, text === '' ? 'No text was given' : text)
    if (made.ok) return made.value
  }
  throw new RelayFault('nonsense', `a reply that cannot be passed on: ${replyInWords(reply)}`)
}
