/**
 * JSON (RFC 8259) followed token by token, for documents of any size. The caller describes the document by shapes, which
 * are handed its values as they come; whatever is wrong is said with its JSON path.
 *
 * Stricter than JSON where two readings of one text are possible: a key stands once in an object. Nothing is kept: what
 * memory a document takes is the shapes' business.
 */
import { TokenType } from '@streamparser/json'

export type JsonScalar = null | boolean | number | string

/** What may stand at a place of the document. */
export type Shape = ObjectShape | ArrayShape | ScalarShape

/** An object read member by member: `member` gives the shape of each key's value, and may throw `Wrong`. */
export interface ObjectShape {
  readonly kind: 'object'
  readonly member: (key: string) => Shape
  readonly end?: () => void
}

/** An array read element by element. */
export interface ArrayShape {
  readonly kind: 'array'
  readonly element: (index: number) => Shape
}

/** A string, a number, `true`, `false` or `null`; `take` may throw `Wrong`. */
export interface ScalarShape {
  readonly kind: 'scalar'
  /** What it should be, for messages: `a string`. */
  readonly expected: string
  readonly take: (value: JsonScalar) => void
}

/** Something is wrong with what is being read. The message is one sentence without a full stop. */
export class Wrong extends Error {
  override readonly name = 'Wrong'
}

const WORDS: Readonly<Record<TokenType, string>> = {
  [TokenType.LEFT_BRACE]: 'an object',
  [TokenType.RIGHT_BRACE]: '}',
  [TokenType.LEFT_BRACKET]: 'an array',
  [TokenType.RIGHT_BRACKET]: ']',
  [TokenType.COLON]: 'a colon',
  [TokenType.COMMA]: 'a comma',
  [TokenType.TRUE]: 'true',
  [TokenType.FALSE]: 'false',
  [TokenType.NULL]: 'null',
  [TokenType.STRING]: 'a string',
  [TokenType.NUMBER]: 'a number',
  [TokenType.SEPARATOR]: 'a separator',
}

const SCALARS: ReadonlySet<TokenType> = new Set([
  TokenType.STRING,
  TokenType.NUMBER,
  TokenType.TRUE,
  TokenType.FALSE,
  TokenType.NULL,
])

/** A value from a document, fit for a message. */
export function quoted(value: JsonScalar): string {
  return JSON.stringify(typeof value === 'string' && value.length > 60 ? `${value.slice(0, 60)}…` : value)
}

interface Frame {
  readonly shape: ObjectShape | ArrayShape
  /** The keys that stood in an object already. */
  readonly seen: Set<string> | undefined
  /** The key or index of the entry that is being read. */
  step: string | number | undefined
  /** What may come: the first entry or the end, an entry, a colon, a key's value, a comma or the end. */
  next: 'first' | 'entry' | 'colon' | 'value' | 'comma'
}

/** Follows a document. Throws `Wrong`; `path` then says where. */
export class JsonFollower {
  readonly #stack: Frame[] = []
  /** What the next value has to be. */
  #wanted: Shape | undefined

  constructor(root: Shape) {
    this.#wanted = root
  }

  /** Whether the document is complete. */
  get isComplete(): boolean {
    return this.#wanted === undefined && this.#stack.length === 0
  }

  /** The path of what is being read: `$.lists[3].people[17].who`. */
  get path(): string {
    const steps = this.#stack.map(({ step }) => {
      if (step === undefined) return ''
      if (typeof step === 'number') return `[${step}]`
      return /^[a-z_]\w*$/i.test(step) ? `.${step}` : `[${quoted(step)}]`
    })
    return `$${steps.join('')}`
  }

  /** Takes the next token. */
  push(kind: TokenType, value: JsonScalar): void {
    const frame = this.#stack[this.#stack.length - 1]
    if (frame === undefined || frame.next === 'value') this.#value(kind, value)
    else if (frame.shape.kind === 'object') this.#inObject(frame, frame.shape, kind, value)
    else this.#inArray(frame, frame.shape, kind, value)
  }

  #inObject(frame: Frame, shape: ObjectShape, kind: TokenType, value: JsonScalar): void {
    if (kind === TokenType.RIGHT_BRACE && (frame.next === 'first' || frame.next === 'comma')) {
      this.#stack.pop()
      shape.end?.()
      this.#settled()
    } else if (frame.next === 'comma') {
      if (kind !== TokenType.COMMA) throw new Wrong(`expected a comma or }, not ${WORDS[kind]}`)
      frame.next = 'entry'
    } else if (frame.next === 'colon') {
      if (kind !== TokenType.COLON) throw new Wrong(`expected a colon after the key, not ${WORDS[kind]}`)
      frame.next = 'value'
    } else {
      frame.step = undefined
      if (typeof value !== 'string' || kind !== TokenType.STRING) {
        throw new Wrong(`expected a key, not ${WORDS[kind]}`)
      }
      if (frame.seen?.has(value) === true) throw new Wrong(`the key ${quoted(value)} stands twice`)
      frame.seen?.add(value)
      this.#wanted = shape.member(value)
      frame.step = value
      frame.next = 'colon'
    }
  }

  #inArray(frame: Frame, shape: ArrayShape, kind: TokenType, value: JsonScalar): void {
    if (kind === TokenType.RIGHT_BRACKET && (frame.next === 'first' || frame.next === 'comma')) {
      this.#stack.pop()
      this.#settled()
    } else if (frame.next === 'comma') {
      if (kind !== TokenType.COMMA) throw new Wrong(`expected a comma or ], not ${WORDS[kind]}`)
      frame.next = 'entry'
    } else {
      const index = typeof frame.step === 'number' ? frame.step + 1 : 0
      frame.step = index
      this.#wanted = shape.element(index)
      this.#value(kind, value)
    }
  }

  #value(kind: TokenType, value: JsonScalar): void {
    const shape = this.#wanted
    if (shape === undefined) throw new Wrong(`expected the end of the document, not ${WORDS[kind]}`)
    if (shape.kind === 'scalar') {
      if (!SCALARS.has(kind)) throw new Wrong(`expected ${shape.expected}, not ${WORDS[kind]}`)
      shape.take(value)
      this.#settled()
      return
    }
    const opening = shape.kind === 'object' ? TokenType.LEFT_BRACE : TokenType.LEFT_BRACKET
    if (kind !== opening) throw new Wrong(`expected ${WORDS[opening]}, not ${WORDS[kind]}`)
    const seen = shape.kind === 'object' ? new Set<string>() : undefined
    this.#stack.push({ shape, seen, step: undefined, next: 'first' })
  }

  #settled(): void {
    this.#wanted = undefined
    const frame = this.#stack[this.#stack.length - 1]
    if (frame !== undefined) frame.next = 'comma'
  }
}
