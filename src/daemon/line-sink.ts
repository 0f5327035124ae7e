/**
 * Where log lines go: standard error, gathered and written once in each round of the event loop, so that no answer
 * waits for the encoding of its line. What has been added is written at the latest when the process exits.
 */

/** What lines are written to. Writes are expected to be synchronous, as standard error's are. */
export interface LineTarget {
  write(text: string): unknown
}

/** Lines that are gathered before they are written in any case. */
const MAX_GATHERED = 1000

export class LineSink {
  readonly #target: LineTarget
  readonly #maxWrite: number
  #pending: (() => string)[] = []
  #scheduled: NodeJS.Immediate | undefined

  /** `maxWrite`: octets written at once, if there is more than one line. */
  constructor(target: LineTarget, maxWrite = Number.POSITIVE_INFINITY) {
    this.#target = target
    this.#maxWrite = maxWrite
  }

  /** Adds a line, to be made when it is written. It ends in LF. */
  add(line: () => string): void {
    this.#pending.push(line)
    if (this.#pending.length >= MAX_GATHERED) this.flush()
    else this.#scheduled ??= setImmediate(() => this.flush())
  }

  /** Writes what has been added. */
  flush(): void {
    clearImmediate(this.#scheduled)
    this.#scheduled = undefined
    const lines = this.#pending
    this.#pending = []
    if (lines.length === 0) return
    const texts = lines.map(line => line())
    for (const piece of this.#maxWrite === Number.POSITIVE_INFINITY
      ? [texts.join('')]
      : this.#pieces(texts)) {
      this.#target.write(piece)
    }
  }

  *#pieces(lines: readonly string[]): Generator<string> {
    let piece = ''
    let size = 0
    for (const line of lines) {
      const added = Buffer.byteLength(line)
      if (size > 0 && size + added > this.#maxWrite) {
        yield piece
        piece = ''
        size = 0
      }
      piece += line
      size += added
    }
    if (size > 0) yield piece
  }
}
