/** The bytes of a JSON document, in slices, followed by its shapes; whatever is wrong gets its line and column. */
import { Tokenizer, TokenizerError } from '@streamparser/json'
import { JsonFollower, type JsonScalar, type Shape, Wrong } from './document-json.ts'

/** Where something stands in a document. Lines and columns count from 1, columns in bytes. */
export interface Place {
  /** `$.lists[3].people[17].who` */
  readonly path: string
  readonly line: number
  readonly column: number
}

/** A document that cannot be read. */
export class DocumentError extends Error {
  readonly code = 'POSTERN_DOCUMENT_INVALID'
  override readonly name = 'DocumentError'
  /** One sentence without a full stop. */
  readonly sentence: string
  readonly place: Place

  constructor(sentence: string, place: Place) {
    super(`line ${place.line}, column ${place.column}, ${place.path}: ${sentence}`)
    this.sentence = sentence
    this.place = place
  }
}

/** In bytes: how much is read before what came of it is given away. */
const SLICE = 1 << 16
/** In bytes: the longest single string or number, and the longest stretch of white space. */
const MAX_TOKEN = 1 << 20
const LINE_FEED = 0x0a
const BYTE_ORDER_MARK = [0xef, 0xbb, 0xbf]

/** How the tokenizer says where a byte is that it did not expect. */
const POSITION = /absolute position "(\d+)"/

function isEncodingError(error: unknown): boolean {
  return error instanceof TypeError && 'code' in error && error.code === 'ERR_ENCODING_INVALID_ENCODED_DATA'
}

function byteInWords(byte: number | undefined): string {
  return byte !== undefined && byte > 0x20 && byte < 0x7f
    ? String.fromCharCode(byte)
    : `byte 0x${(byte ?? 0).toString(16).padStart(2, '0')}`
}

/** Counts lines as slices go by. */
class Lines {
  #line = 1
  #lineBegins = 0
  #slice: Uint8Array = new Uint8Array()
  #sliceBegins = 0
  /** How much of the slice has been looked at. */
  #counted = 0

  next(slice: Uint8Array): void {
    this.#count(this.#slice.length)
    this.#sliceBegins += this.#slice.length
    this.#slice = slice
    this.#counted = 0
  }

  /** The place of a byte. Bytes are asked for in their order; one before the current slice is in the same line. */
  placeOf(offset: number): { readonly line: number; readonly column: number } {
    this.#count(offset - this.#sliceBegins)
    return { line: this.#line, column: offset - this.#lineBegins + 1 }
  }

  #count(end: number): void {
    while (this.#counted < end) {
      const at = this.#slice.indexOf(LINE_FEED, this.#counted)
      if (at === -1 || at >= end) break
      this.#line++
      this.#lineBegins = this.#sliceBegins + at + 1
      this.#counted = at + 1
    }
    this.#counted = Math.max(this.#counted, end)
  }
}

/** Follows one document. */
class JsonText {
  readonly #lines = new Lines()
  readonly #tokenizer = new Tokenizer()
  readonly #follower: JsonFollower
  #read = 0
  #token = 0
  /** The tokenizer does not count the byte order mark. */
  #mark = 0

  constructor(rootShape: (here: () => Place) => Shape) {
    this.#follower = new JsonFollower(rootShape(() => this.#placeOf(this.#token)))
    this.#tokenizer.onToken = ({ token, value, offset }) => {
      this.#token = offset + this.#mark
      this.#follower.push(token, value as JsonScalar)
    }
  }

  write(slice: Uint8Array): void {
    if (this.#read === 0 && BYTE_ORDER_MARK.every((byte, at) => slice[at] === byte)) {
      this.#mark = BYTE_ORDER_MARK.length
    }
    this.#lines.next(slice)
    try {
      this.#tokenizer.write(slice)
    } catch (error) {
      throw this.#understood(error, slice)
    }
    this.#read += slice.length
    if (this.#read - this.#token > MAX_TOKEN) {
      throw this.#error('a single value, or a stretch of white space, is longer than 1 MiB', this.#token)
    }
  }

  end(): void {
    if (this.#read === 0) throw this.#error('the document is empty', 0)
    try {
      this.#tokenizer.end()
    } catch (error) {
      if (!(error instanceof TokenizerError)) throw this.#understood(error)
      throw this.#error('the document ends in the middle', this.#read)
    }
    if (!this.#follower.isComplete) throw this.#error('the document ends in the middle', this.#read)
  }

  /** What was thrown while tokens were read, as an error of the document if it is one. */
  #understood(error: unknown, slice: Uint8Array = new Uint8Array()): unknown {
    if (error instanceof Wrong) return this.#error(error.message, this.#token)
    if (isEncodingError(error)) return this.#error('not UTF-8', this.#token)
    const offset = error instanceof TokenizerError ? POSITION.exec(error.message)?.[1] : undefined
    if (offset === undefined) return error
    const byte = slice[Number(offset) - this.#read]
    return this.#error(`not JSON: unexpected ${byteInWords(byte)}`, Number(offset))
  }

  #placeOf(offset: number): Place {
    return { path: this.#follower.path, ...this.#lines.placeOf(offset) }
  }

  #error(sentence: string, offset: number): DocumentError {
    return new DocumentError(sentence, this.#placeOf(offset))
  }
}

/**
 * Reads a document by its root's shape, which may ask at any time for the place of what it was handed last. Resumes the
 * caller after each slice, when the shapes have been handed what was in it.
 * @throws DocumentError
 */
export async function* followJson(
  chunks: AsyncIterable<Uint8Array>,
  rootShape: (here: () => Place) => Shape,
): AsyncGenerator<undefined, void, undefined> {
  const text = new JsonText(rootShape)
  for await (const chunk of chunks) {
    for (let at = 0; at < chunk.length; at += SLICE) {
      text.write(chunk.subarray(at, at + SLICE))
      yield
    }
  }
  text.end()
}
