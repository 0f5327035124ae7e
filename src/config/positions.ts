/**
 * Where each key and value of a TOML document stands (TOML 1.0: keys, tables, arrays of tables, inline tables).
 * The parser tells positions only of syntax errors; what is wrong with a value is found out later, and an operator
 * wants to know the line all the same.
 *
 * The text has been parsed successfully before, so this reads only as much of the grammar as finding needs. On
 * anything unexpected it stops and gives what it has found.
 */
import { parse } from 'smol-toml'

/** A key's path: names, and indexes into arrays. */
export type KeyPath = readonly (string | number)[]

/** A place in the text: both from 1, columns in UTF-16 units. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** A stretch of the text, by offsets. */
export interface Span {
  readonly start: number
  readonly end: number
}

/** Where an entry stands. An element of an array has no key; a table that only a header opens has no value. */
export interface EntrySpans {
  readonly path: KeyPath
  readonly key?: Span
  readonly value?: Span
}

const VOID = /(?:[ \t\r\n]|#[^\n]*)*/y
const SPACE = /[ \t]*/y
const BARE_KEY = /[A-Za-z0-9_-]+/y
const STRING =
  /"""(?:[^"\\]|\\[\s\S]|"{1,2}(?!"))*"{3,5}|'''(?:[^']|'{1,2}(?!'))*'{3,5}|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'/y
// A date may have a space before its time.
const SCALAR = /\d{4}-\d\d-\d\d \d\d:[^\s,\]}#]*|[^\s,\]}#]+/y

/** Thrown inside this file, and caught there, when the text is not what was expected. */
class Unexpected extends Error {}

class Finder {
  readonly entries: EntrySpans[] = []
  readonly #text: string
  readonly #lastIndexes = new Map<string, number>()
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): void {
    let table: KeyPath = []
    this.#skip(VOID)
    while (this.#at < this.#text.length) {
      if (this.#text.startsWith('[', this.#at)) table = this.#header()
      else this.#keyValue(table)
      this.#skip(VOID)
    }
  }

  #header(): KeyPath {
    const isArray = this.#text.startsWith('[[', this.#at)
    this.#at += isArray ? 2 : 1
    const parts = this.#key()
    this.#expect(isArray ? ']]' : ']')
    let path: KeyPath = []
    for (const [index, part] of parts.entries()) {
      path = [...path, part.name]
      const isLast = index === parts.length - 1
      this.entries.push({ path, key: part.span })
      const known = this.#lastIndexes.get(JSON.stringify(path))
      if (isLast && isArray) {
        const next = (known ?? -1) + 1
        this.#lastIndexes.set(JSON.stringify(path), next)
        path = [...path, next]
        this.entries.push({ path, key: part.span })
      } else if (known !== undefined) {
        path = [...path, known]
      }
    }
    return path
  }

  #keyValue(table: KeyPath): void {
    const parts = this.#key()
    this.#expect('=')
    this.#skip(SPACE)
    const before = this.entries.length
    let path = table
    for (const part of parts) {
      path = [...path, part.name]
      this.entries.push({ path, key: part.span })
    }
    const own = before + parts.length - 1
    const value = this.#value(path)
    this.entries[own] = { path, ...spanOf(parts[parts.length - 1]), value }
  }

  /** A dotted key: its names, each with the stretch it stands on. */
  #key(): { name: string; span: Span }[] {
    const parts: { name: string; span: Span }[] = []
    do {
      this.#skip(SPACE)
      const start = this.#at
      const raw = this.#take(BARE_KEY) ?? this.#take(STRING)
      if (raw === undefined) throw new Unexpected()
      parts.push({ name: nameOf(raw), span: { start, end: this.#at } })
      this.#skip(SPACE)
    } while (this.#accept('.'))
    return parts
  }

  #value(path: KeyPath): Span {
    const start = this.#at
    if (this.#accept('[')) this.#items(']', index => this.#element([...path, index]))
    else if (this.#accept('{')) this.#items('}', () => this.#keyValue(path))
    else if ((this.#take(STRING) ?? this.#take(SCALAR)) === undefined) throw new Unexpected()
    return { start, end: this.#at }
  }

  #element(path: KeyPath): void {
    const place = this.entries.push({ path }) - 1
    this.entries[place] = { path, value: this.#value(path) }
  }

  #items(end: string, item: (index: number) => void): void {
    this.#skip(VOID)
    for (let index = 0; !this.#accept(end); index++) {
      item(index)
      this.#skip(VOID)
      if (this.#accept(',')) this.#skip(VOID)
      else if (!this.#text.startsWith(end, this.#at)) throw new Unexpected()
    }
  }

  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return undefined
    this.#at += match[0].length
    return match[0]
  }

  #skip(pattern: RegExp): void {
    this.#take(pattern)
  }

  #accept(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false
    this.#at += token.length
    return true
  }

  #expect(token: string): void {
    if (!this.#accept(token)) throw new Unexpected()
  }
}

function spanOf(part: { readonly span: Span } | undefined): { readonly key?: Span } {
  return part === undefined ? {} : { key: part.span }
}

/** The name that a key's text means: quoted ones are left to the parser that has read them before. */
function nameOf(raw: string): string {
  return raw.startsWith('"') || raw.startsWith("'") ? String(parse(`name = ${raw}`)['name']) : raw
}

/** Finds every key and every array element of a TOML document, in the order of the text. */
export function findEntries(text: string): readonly EntrySpans[] {
  const finder = new Finder(text)
  try {
    finder.document()
  } catch (error) {
    if (!(error instanceof Unexpected)) throw error
  }
  return finder.entries
}

/** The place of an offset. */
export function positionAt(text: string, offset: number): Position {
  const before = text.slice(0, offset)
  return { line: before.split('\n').length, column: offset - before.lastIndexOf('\n') }
}

/** Finds places in one document by key path. */
export class Positions {
  readonly #text: string
  readonly #entries = new Map<string, EntrySpans>()

  constructor(text: string) {
    this.#text = text
    for (const entry of findEntries(text)) {
      const id = JSON.stringify(entry.path)
      // A dotted key names its parents every time; the first place is the one to show.
      const before = this.#entries.get(id)
      if (before?.key === undefined || entry.value !== undefined) this.#entries.set(id, entry)
    }
  }

  /** Where the key is written, or the nearest key above it that is. */
  ofKey(path: KeyPath): Position | undefined {
    const entry = this.#nearest(path)
    const span = entry?.key ?? entry?.value
    return span === undefined ? undefined : positionAt(this.#text, span.start)
  }

  /** Where the value is written, or the nearest key above it that is. */
  ofValue(path: KeyPath): Position | undefined {
    const entry = this.#nearest(path)
    const span = entry?.value ?? entry?.key
    return span === undefined ? undefined : positionAt(this.#text, span.start)
  }

  /** Whether the path is written anywhere. */
  has(path: KeyPath): boolean {
    return this.#entries.has(JSON.stringify(path))
  }

  #nearest(path: KeyPath): EntrySpans | undefined {
    for (let length = path.length; length > 0; length--) {
      const entry = this.#entries.get(JSON.stringify(path.slice(0, length)))
      if (entry !== undefined) return entry
    }
    return undefined
  }
}
