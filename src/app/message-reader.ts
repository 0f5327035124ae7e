/**
 * Takes in a whole message as it passes by, header and body, and gives what the law looks at in it (RFC 5322 §2.1). Keeps
 * the header up to the limits in `core/content.ts`, and of the body what `parts-reader.ts` keeps, or nothing.
 */
import { MAX_HEADER_FIELDS, MAX_HEADER_SIZE, type MessageContent } from '../core/content.ts'
import type { Authorship } from '../core/transaction.ts'
import { HeaderReader } from './header-reader.ts'
import { PartsReader } from './parts-reader.ts'

/** What a message says. */
export interface MessageReading {
  readonly authorship: Authorship
  readonly content: MessageContent
}

/** In octets: fields up to the limit, each with its colon, its space and its line end. */
const MAX_SECTION = MAX_HEADER_SIZE + 4 * MAX_HEADER_FIELDS

const LF = 10
const CR = 13

export class MessageReader {
  readonly #header = new HeaderReader()
  readonly #looksAtParts: boolean
  /** The header section as far as it is here; none once it is whole. */
  #section: Uint8Array[] | undefined = []
  #length = 0
  /** Where in a line the header section is: an empty line ends it. */
  #at: 'begin' | 'return' | 'within' = 'begin'
  #parts: PartsReader | undefined

  /** The parts are looked at only if they are asked for. */
  constructor({ parts }: { readonly parts: boolean }) {
    this.#looksAtParts = parts
  }

  /** Whether what is still to come can tell anything more. */
  get wantsMore(): boolean {
    return this.#section !== undefined || this.#parts?.wantsMore === true
  }

  /** Takes in some of the message. The bytes are kept until the header is whole. */
  push(chunk: Uint8Array): void {
    if (this.#section === undefined) {
      this.#parts?.push(chunk)
      return
    }
    const end = this.#endOfSection(chunk)
    const piece = chunk.subarray(0, end ?? chunk.length)
    this.#section.push(piece)
    this.#length += piece.length
    if (end === undefined && this.#length <= MAX_SECTION) return
    this.#headerEnds(end !== undefined)
    if (end !== undefined) this.#parts?.push(chunk.subarray(end))
  }

  /** What there is, now that the message is at its end. To be called once. */
  end(): MessageReading {
    if (this.#section !== undefined) this.#headerEnds(true)
    return { authorship: this.#header.authorship, content: this.#header.content(this.#parts?.end()) }
  }

  /** Where the body begins; `undefined` if not in this piece. */
  #endOfSection(chunk: Uint8Array): number | undefined {
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]
      if (byte === LF) {
        if (this.#at !== 'within') return i + 1
        this.#at = 'begin'
      } else this.#at = byte === CR && this.#at === 'begin' ? 'return' : 'within'
    }
    return undefined
  }

  #headerEnds(isWhole: boolean): void {
    const section = new TextDecoder().decode(Buffer.concat(this.#section ?? []))
    this.#section = undefined
    const lines = section.split(/\r?\n/)
    // What comes after the last line end is a part of a line if there is more to come.
    if (!isWhole) lines.pop()
    let field: string | undefined
    for (const line of lines) {
      if (field !== undefined && /^[ \t]/.test(line)) field += `\r\n${line}`
      else {
        this.#add(field)
        field = line
      }
    }
    this.#add(field)
    if (!isWhole) this.#header.cut()
    if (this.#looksAtParts) this.#parts = new PartsReader(this.#header.content().fields)
  }

  /** What has no colon is no field; it counts all the same. */
  #add(field: string | undefined): void {
    if (field === undefined) return
    const colon = field.indexOf(':')
    this.#header.add(field.slice(0, Math.max(0, colon)), field.slice(colon + 1))
  }
}
