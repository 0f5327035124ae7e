/**
 * One of the two streams that a command writes to. Lines are gathered and written together; a reader who has gone away
 * (`postern member ls | head`) ends the command quietly.
 */
import { styleText } from 'node:util'

/** The part of a writable stream that is needed; terminals say more of themselves. */
export interface Stream {
  write(text: string | Uint8Array): boolean
  on(event: 'error', listener: (error: Error) => void): unknown
  once(event: 'drain' | 'close', listener: () => void): unknown
  readonly isTTY?: boolean
  readonly columns?: number
  /** Knows NO_COLOR, FORCE_COLOR and TERM. */
  hasColors?(): boolean
}

/** Nobody reads any more. */
export class OutputClosed extends Error {
  readonly code = 'POSTERN_OUTPUT_CLOSED'
  override readonly name = 'OutputClosed'
}

/** The stream took no more: a full disk, a broken terminal. */
export class OutputFailed extends Error {
  readonly code = 'POSTERN_OUTPUT_FAILED'
  override readonly name = 'OutputFailed'
}

export type Style = 'bold' | 'dim' | 'green' | 'yellow' | 'red'

/** In characters: what is gathered before it is written. */
const GATHERED = 1 << 15
const PLAIN_WIDTH = 80

export class Output {
  readonly #stream: Stream
  readonly #mayFail: boolean
  #gathered = ''
  #error: Error | undefined

  /** What cannot be written to a stream that may fail is lost: nobody stops half way because nobody listens. */
  constructor(stream: Stream, options: { readonly mayFail?: boolean } = {}) {
    this.#stream = stream
    this.#mayFail = options.mayFail ?? false
    stream.on('error', error => {
      this.#error ??= error
    })
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true
  }

  /** In characters. */
  get width(): number {
    return this.isTerminal ? (this.#stream.columns ?? PLAIN_WIDTH) : PLAIN_WIDTH
  }

  /** The text in a style, where that is wanted and can be seen. */
  styled(style: Style, text: string): string {
    const coloured = this.isTerminal && this.#stream.hasColors?.() === true
    return coloured ? styleText(style, text, { validateStream: false }) : text
  }

  /** Adds text to what will be written; to be awaited only if it gives a promise. */
  add(text: string): Promise<void> | undefined {
    this.#gathered += text
    return this.#gathered.length < GATHERED ? undefined : this.flush()
  }

  /** Writes octets as they are, after what was gathered. */
  async octets(octets: Uint8Array): Promise<void> {
    await this.flush()
    if (this.#error === undefined && !this.#stream.write(octets)) await this.#drained()
    this.#check()
  }

  /** Adds a line, and writes what there is. */
  line(text: string): Promise<void> {
    this.#gathered += `${text}\n`
    return this.flush()
  }

  /**
   * Writes what was gathered.
   * @throws OutputClosed, OutputFailed
   */
  async flush(): Promise<void> {
    const text = this.#gathered
    this.#gathered = ''
    this.#check()
    if (text === '' || this.#error !== undefined) return
    if (!this.#stream.write(text)) await this.#drained()
    this.#check()
  }

  #check(): void {
    if (this.#error === undefined || this.#mayFail) return
    if ('code' in this.#error && this.#error.code === 'EPIPE') throw new OutputClosed('nobody reads any more')
    throw new OutputFailed('the output could not be written', { cause: this.#error })
  }

  #drained(): Promise<void> {
    if (this.#error !== undefined) return Promise.resolve()
    return new Promise(resolve => {
      this.#stream.once('drain', resolve)
      this.#stream.once('close', resolve)
      this.#stream.on('error', () => resolve())
    })
  }
}
