/**
 * JSON (RFC 8259) read as it comes, for documents of any size. The caller describes the document by shapes, which are
 * handed its values as they end; whatever is wrong is said with its JSON path.
 *
 * Stricter than JSON where two readings of one text are possible: a key stands once in an object. Bounded: values
 * that are read whole.
 */
import { TokenType } from '@streamparser/json'

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject
export interface JsonObject {
  readonly [key: string]: JsonValue
}

/** What may stand at a place of the document. */
export type Shape = ObjectShape | ArrayShape | ValueShape

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
  readonly end?: () => void
}

/** A value read whole. */
export interface ValueShape {
  readonly kind: 'value'
  readonly take: (value: JsonValue) => void
}

/** What is wrong, in one sentence without a full stop, and in which part of the value that is being read. */
export class Wrong {
  readonly sentence: string
  readonly part: readonly (string | number)[]

  constructor(sentence: string, ...part: readonly (string | number)[]) {
    this.sentence = sentence
    this.part = part
  }
}

const MAX_NODES = 1_000
const MAX_DEPTH = 8

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

/** Text from a document, fit for a message. */
export function quoted(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text)
}

/** What a value is, for messages. */
export function kindOf(value: JsonValue): string {
  if (typeof value === 'string') return quoted(value)
  if (Array.isArray(value)) return 'an array'
  return typeof value === 'object' && value !== null ? 'an object' : String(value)
}

/** `$.lists[3].people[17].who` */
function formatPath(steps: readonly (string | number)[]): string {
  const written = steps.map(step => {
    if (typeof step === 'number') return `[${step}]`
    return /^[a-z_]\w*$/i.test(step) ? `.${step}` : `[${quoted(step)}]`
  })
  return `$${written.join('')}`
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

/** A value inside a value that is read whole. */
interface NestedShape extends ValueShape {
  readonly depth: number
}

/** Follows a document token by token. Throws `Wrong`; `path` then says where. */
export class JsonFollower {
  readonly #stack: Frame[] = []
  /** What the next value has to be. */
  #wanted: Shape | NestedShape | undefined
  /** How many more values the one that is being read whole may have. */
  #room = 0

  constructor(root: Shape) {
    this.#wanted = root
  }

  /** Whether the document is complete. */
  get isComplete(): boolean {
    return this.#wanted === undefined && this.#stack.length === 0
  }

  /** The path of what is being read, or of a part of it. */
  path(part: readonly (string | number)[] = []): string {
    return formatPath([...this.#stack.flatMap(({ step }) => (step === undefined ? [] : [step])), ...part])
  }

  /** Takes the next token. */
  push(kind: TokenType, value: string | number | boolean | null): void {
    const frame = this.#stack[this.#stack.length - 1]
    if (frame === undefined || frame.next === 'value') this.#value(kind, value)
    else if (frame.shape.kind === 'object') this.#inObject(frame, frame.shape, kind, value)
    else this.#inArray(frame, frame.shape, kind, value)
  }

  #inObject(
    frame: Frame,
    shape: ObjectShape,
    kind: TokenType,
    value: string | number | boolean | null,
  ): void {
    if (kind === TokenType.RIGHT_BRACE && (frame.next === 'first' || frame.next === 'comma')) {
      this.#leave(shape)
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

  #inArray(frame: Frame, shape: ArrayShape, kind: TokenType, value: string | number | boolean | null): void {
    if (kind === TokenType.RIGHT_BRACKET && (frame.next === 'first' || frame.next === 'comma')) {
      this.#leave(shape)
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

  #value(kind: TokenType, value: string | number | boolean | null): void {
    const shape = this.#wanted
    if (shape === undefined) throw new Wrong(`expected the end of the document, not ${WORDS[kind]}`)
    if (shape.kind === 'value') {
      this.#whole(shape, kind, value)
      return
    }
    const opening = shape.kind === 'object' ? TokenType.LEFT_BRACE : TokenType.LEFT_BRACKET
    if (kind !== opening) throw new Wrong(`expected ${WORDS[opening]}, not ${WORDS[kind]}`)
    this.#enter(shape)
  }

  #whole(shape: ValueShape | NestedShape, kind: TokenType, value: string | number | boolean | null): void {
    const depth = 'depth' in shape ? shape.depth : MAX_DEPTH
    if (depth === MAX_DEPTH) this.#room = MAX_NODES
    if (depth === 0 || this.#room-- === 0) throw new Wrong('the value is too big')
    const nested = (take: ValueShape['take']): NestedShape => ({ kind: 'value', take, depth: depth - 1 })
    if (kind === TokenType.LEFT_BRACE) {
      const members: [string, JsonValue][] = []
      const member = (key: string): Shape => nested(value => members.push([key, value]))
      this.#enter({ kind: 'object', member, end: () => shape.take(Object.fromEntries(members)) })
    } else if (kind === TokenType.LEFT_BRACKET) {
      const elements: JsonValue[] = []
      const element = nested(value => elements.push(value))
      this.#enter({ kind: 'array', element: () => element, end: () => shape.take(elements) })
    } else if (SCALARS.has(kind)) {
      shape.take(value)
      this.#settled()
    } else {
      throw new Wrong(`expected a value, not ${WORDS[kind]}`)
    }
  }

  #enter(shape: ObjectShape | ArrayShape): void {
    const seen = shape.kind === 'object' ? new Set<string>() : undefined
    this.#stack.push({ shape, seen, step: undefined, next: 'first' })
  }

  #leave(shape: ObjectShape | ArrayShape): void {
    this.#stack.pop()
    shape.end?.()
    this.#settled()
  }

  #settled(): void {
    this.#wanted = undefined
    const frame = this.#stack[this.#stack.length - 1]
    if (frame !== undefined) frame.next = 'comma'
  }
}
