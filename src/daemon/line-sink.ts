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
  #pending: (() => string)[] = []
  #scheduled: NodeJS.Immediate | undefined

  constructor(target: LineTarget) {
    this.#target = target
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
    if (lines.length > 0) this.#target.write(lines.map(line => line()).join(''))
  }
}
