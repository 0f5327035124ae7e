/**
 * A field that says what a part is: Content-Type or Content-Disposition (RFC 2045 §5.1, RFC 2183 §2), with its parameters
 * (RFC 2231).
 *
 * Mail readers do not agree on what is malformed: a comment, a quote without an end, a parameter given twice, a value in
 * pieces of which one is missing. So this gives every value that one of them may see, and never just one of several.
 */
import { decodeBytes, percentDecoded, withoutEncodedWords } from './encoded-text.ts'

export interface MimeField {
  /** What stands before the parameters, in lower case. */
  readonly word: string
  /** The values of a parameter, whose name is in lower case; each that may be meant. */
  values(name: string): readonly string[]
}

type Parameter = readonly [name: string, value: string]

/** Where a quoted string that begins at `at` ends: after its closing quote; `undefined` if it has none. */
function endOfQuoted(text: string, at: number): number | undefined {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '"') return i + 1
  }
  return undefined
}

/** Where a comment ends, which may hold others. */
function endOfComment(text: string, at: number): number | undefined {
  let depth = 0
  for (let i = at; i < text.length; i++) {
    if (text[i] === '\\') i++
    else if (text[i] === '(') depth++
    else if (text[i] === ')' && --depth === 0) return i + 1
  }
  return undefined
}

/** The pieces between semicolons, unquoted. What has no end, a quote or a comment, is a character like others. */
function pieces(text: string, comments: boolean): readonly string[] {
  const found: string[] = []
  let piece = ''
  let at = 0
  let quotesEnd = true
  let commentsEnd = comments
  while (at < text.length) {
    const char = text[at]
    if (char === ';') {
      found.push(piece.trim())
      piece = ''
      at++
      continue
    }
    const end: number | undefined =
      char === '"' && quotesEnd
        ? endOfQuoted(text, at)
        : char === '(' && commentsEnd
          ? endOfComment(text, at)
          : undefined
    if (end === undefined) {
      // Looked for once: what has no end here has none further on.
      if (char === '"') quotesEnd = false
      else {
        if (char === '(') commentsEnd = false
        piece += char
      }
      at++
      continue
    }
    if (char === '"') piece += text.slice(at + 1, end - 1).replace(/\\(.)/gs, '$1')
    at = end
  }
  found.push(piece.trim())
  return found
}

/** The parameter that a piece is; none if it is none. */
function parametersIn(piece: string): readonly Parameter[] {
  const equals = piece.indexOf('=')
  if (equals === -1) return []
  return [[piece.slice(0, equals).trim().toLowerCase(), piece.slice(equals + 1).trim()]]
}

interface Segment {
  readonly place: number
  readonly encoded: boolean
  readonly value: string
}

/** The pieces of a value (RFC 2231 §3): `name*0`, `name*1*` and so on, in order; `name*` alone is the first. */
function segmentsOf(parameters: readonly Parameter[], name: string): readonly Segment[] {
  const segments: Segment[] = []
  for (const [key, value] of parameters) {
    if (!key.startsWith(`${name}*`)) continue
    const match = /^\*(?:(\d{1,4})(\*)?)?$/.exec(key.slice(name.length))
    if (match === null) continue
    const alone = match[1] === undefined
    segments.push({ place: Number(match[1] ?? 0), encoded: alone || match[2] !== undefined, value })
  }
  return segments.sort((a, b) => a.place - b.place)
}

/** One value out of its pieces: bytes of the character set that the first one names. */
function joined(segments: readonly Segment[]): string {
  let charset = 'utf-8'
  const bytes = segments.map(({ encoded, value }, index) => {
    const named = index === 0 && encoded ? /^([^']*)'[^']*'/.exec(value) : null
    if (named !== null) charset = named[1] || charset
    const text = named === null ? value : value.slice(named[0].length)
    return encoded ? percentDecoded(text) : Buffer.from(text)
  })
  return decodeBytes(Buffer.concat(bytes), charset)
}

/** A value in pieces, as it is to those who read all of them, and to those who stop where one is missing. */
function extended(parameters: readonly Parameter[], name: string): readonly string[] {
  const segments = segmentsOf(parameters, name)
  if (segments.length === 0) return []
  const gap = segments.findIndex(({ place }, index) => place !== index)
  return gap < 1 ? [joined(segments)] : [joined(segments), joined(segments.slice(0, gap))]
}

/** Reads an unfolded value. Time and memory are linear in its length. */
export function parseMimeField(value: string): MimeField {
  const strict = pieces(value, true)
  const readings = value.includes('(') ? [strict, pieces(value, false)] : [strict]
  const parameters = readings.map(([, ...others]) => others.flatMap(parametersIn))
  return {
    word: (strict[0] ?? '').toLowerCase(),
    values: name => {
      const found = parameters.flatMap(each => [
        ...each.flatMap(([key, text]) => (key === name ? [withoutEncodedWords(text)] : [])),
        ...extended(each, name),
      ])
      return [...new Set(found)]
    },
  }
}
