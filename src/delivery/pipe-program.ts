/**
 * One run of a program: started without a shell as the leader of a process group, given the message on its standard
 * input, listened to, and ended with its whole group if it takes too long.
 *
 * A program that ends with 0 has taken the message, whether it read all of it or not, and what it leaves running is
 * its own affair. What one leaves that ended otherwise is killed: the message will come again.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Writable } from 'node:stream'
import { ProgramOutput } from './pipe-output.ts'

export interface ProgramCall {
  /** The program's path, and its arguments. */
  readonly command: readonly [program: string, ...args: string[]]
  readonly directory: string
  /** All of its environment. */
  readonly environment: Readonly<Record<string, string>>
  /** After this long its group gets SIGTERM, */
  readonly timeoutMs: number
  /** and after this long again SIGKILL. */
  readonly graceMs: number
}

/** How it ended. */
export type ProgramEnd =
  | { readonly kind: 'not-started'; readonly cause: unknown }
  | { readonly kind: 'exited'; readonly status: number; readonly output: ProgramOutput }
  /** By a signal that was not ours. */
  | { readonly kind: 'killed'; readonly signal: string; readonly output: ProgramOutput }
  | { readonly kind: 'late'; readonly output: ProgramOutput }
  /** The message could not be read to its end, and the program was killed before it could take the part for the whole. */
  | { readonly kind: 'unread'; readonly cause: unknown }

/** The programs that run, by their process groups. */
const running = new Set<number>()

/**
 * Ends them with this process, where it ends before they do: a program would take the end of its input for the end of
 * the message.
 */
function endWithUs(): void {
  for (const pid of running) signalGroup(pid, 'SIGKILL')
}

/** How long to listen, after the end, to what was said before it: others may hold the same output open. */
const LAST_WORDS_MS = 250

/** Signals a program and all that it has started. It may be gone, or be somebody else's, whom we may not signal. */
function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ESRCH' && code !== 'EPERM') throw error
  }
}

/** Writes no faster than it is read. Ends when everything is written or nobody reads any more. Rejects as the input does. */
async function feed(stdin: Writable, input: AsyncIterable<Uint8Array>): Promise<void> {
  // Whether a program reads is its own affair: its status says what it means.
  stdin.on('error', () => {})
  const closed = new Promise<void>(resolve => stdin.once('close', resolve))
  for await (const chunk of input) {
    if (stdin.destroyed) return
    if (stdin.write(chunk)) continue
    let read: () => void = () => {}
    const drained = new Promise<void>(resolve => {
      read = resolve
      stdin.once('drain', read)
    })
    await Promise.race([drained, closed])
    stdin.off('drain', read)
  }
  stdin.end()
}

class Run {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #pid: number
  readonly #output = new ProgramOutput()
  readonly #ended: Promise<readonly [status: number | null, signal: string | null]>
  #timers: NodeJS.Timeout[] = []
  #late = false

  constructor(child: ChildProcessWithoutNullStreams, pid: number) {
    this.#child = child
    this.#pid = pid
    this.#ended = new Promise(resolve => {
      child.once('exit', (status, signal) => resolve([status, signal]))
    })
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', (bytes: Buffer) => this.#output.add(bytes))
      stream.on('error', () => {})
    }
  }

  async toEnd(input: AsyncIterable<Uint8Array>, call: ProgramCall): Promise<ProgramEnd> {
    let broken: { readonly cause: unknown } | undefined
    const fed = feed(this.#child.stdin, input).catch(cause => {
      broken = { cause }
      signalGroup(this.#pid, 'SIGKILL')
    })
    const gone = await Promise.race([this.#ended, this.#limit(call)])
    for (const timer of this.#timers) clearTimeout(timer)
    const [status, signal] = gone ?? [null, null]
    if (status !== 0) signalGroup(this.#pid, 'SIGKILL')
    this.#child.stdin.destroy()
    await fed
    if (status !== 0) await this.#lastWords()
    for (const stream of [this.#child.stdout, this.#child.stderr]) stream.destroy()
    const output = this.#output
    if (broken !== undefined && status !== 0) return { kind: 'unread', cause: broken.cause }
    if (this.#late && status !== 0) return { kind: 'late', output }
    return status === null
      ? { kind: 'killed', signal: signal ?? 'unknown', output }
      : { kind: 'exited', status, output }
  }

  /** Resolves if not even SIGKILL ends it: a process that waits for a dead disk cannot be waited for. */
  #limit({ timeoutMs, graceMs }: ProgramCall): Promise<undefined> {
    return new Promise(resolve => {
      const after = (ms: number, act: () => void): void => {
        this.#timers.push(setTimeout(act, ms))
      }
      after(timeoutMs, () => {
        this.#late = true
        signalGroup(this.#pid, 'SIGTERM')
      })
      after(timeoutMs + graceMs, () => signalGroup(this.#pid, 'SIGKILL'))
      after(timeoutMs + 2 * graceMs, () => resolve(undefined))
    })
  }

  async #lastWords(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<void>(resolve => {
      timer = setTimeout(resolve, LAST_WORDS_MS)
    })
    const silent = [this.#child.stdout, this.#child.stderr].map(stream =>
      stream.closed ? undefined : once(stream, 'close'),
    )
    await Promise.race([Promise.all(silent), enough])
    clearTimeout(timer)
  }
}

/** Runs a program with a message on its standard input. Does not reject. */
export async function runProgram(call: ProgramCall, input: AsyncIterable<Uint8Array>): Promise<ProgramEnd> {
  const [program, ...args] = call.command
  let child: ChildProcessWithoutNullStreams
  try {
    child = spawn(program, args, {
      cwd: call.directory,
      env: call.environment,
      // A process group of its own, which can be signalled as a whole.
      detached: true,
      stdio: 'pipe',
    })
  } catch (cause) {
    return { kind: 'not-started', cause }
  }
  const { pid } = child
  if (pid === undefined) {
    const [cause] = await once(child, 'error')
    return { kind: 'not-started', cause }
  }
  child.on('error', () => {})
  if (running.size === 0) process.on('exit', endWithUs)
  running.add(pid)
  try {
    return await new Run(child, pid).toEnd(input, call)
  } finally {
    running.delete(pid)
    if (running.size === 0) process.off('exit', endWithUs)
  }
}
