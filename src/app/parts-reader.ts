/**
 * Takes in a message's body as it passes by, and tells what its parts are (RFC 2045, RFC 2046): their types and the
 * endings of their files' names. Keeps one line and what the headers of parts have declared, whatever the body's size;
 * nothing is decoded, and no text is looked at.
 *
 * Mail readers differ in what they make of a malformed message, and whoever hides a part goes by that. So a part counts if
 * any of the usual readings has it: by each of several types and names, between delimiters that other readers would not
 * take for any, after a carriage return alone. A well-formed message has the same parts in every reading.
 */
import {
  type HeaderField,
  MAX_PART_DEPTH,
  MAX_PARTS,
  type MessagePart,
  type MessageParts,
} from '../core/content.ts'
import { type MimeField, parseMimeField } from './mime-field.ts'
import { type Multipart, PartBoundaries } from './part-boundaries.ts'

/** In octets: of a line that is kept, and of the fields of a part that are looked at. Beyond it nobody can judge. */
const MAX_LINE = 16_384
/** In characters. RFC 5322 §2.1.1. */
const MAX_BOUNDARY = 998

const LF = 10
const CR = 13
const DASH = 45

const TYPE = /^\s*([a-z0-9!#$&^_.+*'`{}|~%-]{1,127})\s*\/\s*([a-z0-9!#$&^_.+*'`{}|~%-]{1,127})/
const FIELD = /^(content-(?:type|disposition|transfer-encoding))[ \t]*:/i
/** Encodings that are none. */
const PLAIN = new Set(['', '7bit', '8bit', 'binary'])
/** Messages within messages. */
const MESSAGES = new Set(['message/rfc822', 'message/global', 'message/news'])
const EXTENSION = /^[^\s./\\]{1,20}$/u

/** What a reader's machine takes for the ending of a name; it passes over dots and spaces at its end. */
function extensionOf(name: string): string | undefined {
  const clean = name.replace(/[\p{Cc}\p{Cf}]/gu, '')
  let end = clean.length
  while (end > 0 && /[\s.]/.test(clean[end - 1] ?? '')) end--
  const file = clean.slice(Math.max(clean.lastIndexOf('/', end), clean.lastIndexOf('\\', end)) + 1, end)
  const dot = file.lastIndexOf('.')
  const extension = file.slice(dot + 1).toLowerCase()
  return dot !== -1 && EXTENSION.test(extension) ? extension : undefined
}

function typeOf({ word }: MimeField): string {
  const match = TYPE.exec(word)
  return match === null ? 'text/plain' : `${match[1]}/${match[2]}`
}

/** The fields of a header that say what it is the header of. */
class PartHeader {
  readonly depth: number
  /** What a part is that does not say (RFC 2046 §5.1.5). */
  readonly default: string
  readonly #types: MimeField[] = []
  readonly #names: MimeField[] = []
  #encoded = false

  constructor(depth: number, inDigest: boolean) {
    this.depth = depth
    this.default = inDigest ? 'message/rfc822' : 'text/plain'
  }

  /** Takes an unfolded field in. */
  add(name: string, value: string): void {
    if (name === 'content-transfer-encoding') {
      const encoding = value
        .replace(/\([^()]*\)/g, '')
        .trim()
        .toLowerCase()
      this.#encoded ||= !PLAIN.has(encoding)
    } else if (name === 'content-type') this.#types.push(parseMimeField(value))
    else if (name === 'content-disposition') this.#names.push(parseMimeField(value))
  }

  /** Whether what follows is encoded, so that it is not looked into: only parts without others may be (RFC 2045 §6.4). */
  get encoded(): boolean {
    return this.#encoded
  }

  get types(): readonly { readonly type: string; readonly boundaries: readonly string[] }[] {
    const types = this.#types.length === 0 ? [parseMimeField(this.default)] : this.#types
    return types.map(field => ({ type: typeOf(field), boundaries: field.values('boundary') }))
  }

  /** The endings of the names that the file may have. */
  get extensions(): readonly (string | undefined)[] {
    const names = [
      ...this.#types.flatMap(field => field.values('name')),
      ...this.#names.flatMap(field => field.values('filename')),
    ]
    const endings = names.flatMap(name => extensionOf(name) ?? [])
    return endings.length === 0 ? [undefined] : [...new Set(endings)]
  }
}

export class PartsReader {
  readonly #parts: MessagePart[] = []
  readonly #boundaries = new PartBoundaries()
  #tooMany = false
  /** The header that is being read; none while data is passed over. */
  #header: PartHeader | undefined
  /** A field of it, unfolded so far, and how much of the header's fields was kept. */
  #field: { name: string; value: string } | undefined
  #kept = 0

  #line: Buffer | undefined
  #length = 0
  /** Whether the line is longer than what was kept of it. */
  #cut = false
  /** Whether the line's beginning makes it one to look at; not known before there is any. */
  #wanted: boolean | undefined
  /** How the line before has ended, where the end may go on with this byte. */
  #afterReturn = false
  /** Whether the line's beginning is one to every reader. */
  #whole = true

  /** Begins with what the message's own header says. */
  constructor(fields: readonly HeaderField[]) {
    const header = new PartHeader(0, false)
    for (const { name, value } of fields) header.add(name, value)
    this.#concludes(header)
  }

  /** Whether what is still to come of the body can tell anything more. */
  get wantsMore(): boolean {
    return !this.#tooMany && (this.#header !== undefined || !this.#boundaries.none)
  }

  /** Takes in some of the body. */
  push(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length && this.wantsMore) {
      if (this.#afterReturn) {
        this.#afterReturn = false
        const isPair = chunk[at] === LF
        this.#lineEnds(isPair)
        if (isPair) at++
        continue
      }
      let end = at
      while (end < chunk.length && chunk[end] !== LF && chunk[end] !== CR) end++
      if (end > at) this.#take(chunk, at, end)
      if (end === chunk.length) return
      if (chunk[end] === CR) this.#afterReturn = true
      else this.#lineEnds(true)
      at = end + 1
    }
  }

  /** What there is, now that the body is at its end. To be called once. */
  end(): MessageParts {
    if (this.wantsMore && (this.#afterReturn || this.#length > 0)) this.#lineEnds(true)
    this.#headerEnds()
    for (const type of this.#boundaries.empty()) this.#found({ type })
    return { parts: this.#parts, tooMany: this.#tooMany }
  }

  #take(chunk: Uint8Array, from: number, to: number): void {
    this.#wanted ??= this.#header !== undefined || chunk[from] === DASH
    if (!this.#wanted) return
    this.#line ??= Buffer.allocUnsafeSlow(MAX_LINE)
    const room = MAX_LINE - this.#length
    const taken = Math.min(room, to - from)
    this.#line.set(chunk.subarray(from, from + taken), this.#length)
    this.#length += taken
    this.#cut ||= to - from > room
  }

  /** `certain` if every reader sees the line end here. */
  #lineEnds(certain: boolean): void {
    const length = this.#length
    const whole = this.#whole && certain && !this.#cut
    if (this.#wanted !== false) this.#look(length, whole)
    this.#length = 0
    this.#cut = false
    this.#wanted = undefined
    this.#whole = certain
  }

  #look(length: number, whole: boolean): void {
    const line = this.#line
    if (line !== undefined && length > 1 && line[0] === DASH && line[1] === DASH) {
      const delimiter = this.#boundaries.delimiter(line.toString('latin1', 2, length), whole)
      if (delimiter !== undefined) {
        this.#headerEnds()
        this.#header = undefined
        if (delimiter.kind === 'part') this.#headerBegins(delimiter.of.depth, delimiter.of.type)
        return
      }
    }
    if (this.#header === undefined) return
    if (length === 0) {
      if (whole) this.#headerEnds()
    } else if (line !== undefined) this.#headerLine(line.toString('utf8', 0, length))
  }

  #headerBegins(depth: number, inside: string): void {
    if (depth > MAX_PART_DEPTH) this.#tooMany = true
    else this.#header = new PartHeader(depth, inside === 'multipart/digest')
    this.#field = undefined
    this.#kept = 0
  }

  #headerLine(line: string): void {
    const isFold = line.startsWith(' ') || line.startsWith('\t')
    const name = isFold ? undefined : FIELD.exec(line)?.[1]?.toLowerCase()
    if (!isFold) this.#fieldEnds()
    if (name === undefined && !(isFold && this.#field !== undefined)) return
    this.#kept += line.length
    // Of a line that was cut nobody knows the rest.
    if (this.#kept > MAX_LINE || this.#cut) this.#tooMany = true
    if (name !== undefined) this.#field = { name, value: line.slice(line.indexOf(':') + 1) }
    else if (this.#field !== undefined) this.#field.value += line
  }

  #fieldEnds(): void {
    const field = this.#field
    this.#field = undefined
    if (field !== undefined) this.#header?.add(field.name, field.value.trim())
  }

  #headerEnds(): void {
    this.#fieldEnds()
    const header = this.#header
    this.#header = undefined
    if (header !== undefined) this.#concludes(header)
  }

  /** A header is whole: its part is here, or others are to come in it. */
  #concludes(header: PartHeader): void {
    const { types, extensions } = header
    let message = false
    for (const { type, boundaries } of types) {
      if (type.startsWith('multipart/') && boundaries.length > 0) {
        const multipart: Multipart = { type, depth: header.depth + 1, found: false }
        for (const boundary of boundaries) this.#declare(boundary, multipart)
        if (header.encoded) this.#found({ type })
      } else if (MESSAGES.has(type) && !header.encoded) message = true
      else {
        for (const extension of extensions) {
          this.#found(extension === undefined ? { type } : { type, extension })
        }
      }
    }
    if (message) this.#headerBegins(header.depth + 1, '')
  }

  #declare(boundary: string, multipart: Multipart): void {
    const bytes = Buffer.from(boundary.trimEnd(), 'utf8').toString('latin1')
    if (bytes.length > MAX_BOUNDARY || !this.#boundaries.declare(bytes, multipart)) this.#tooMany = true
  }

  #found(part: MessagePart): void {
    if (this.#parts.length < MAX_PARTS) this.#parts.push(part)
    else this.#tooMany = true
  }
}
