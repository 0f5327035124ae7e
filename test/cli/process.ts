/** The program as a process of its own, in a directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url))
const TSX = import.meta.resolve('tsx')

export interface Finished {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface StartOptions {
  /** For Node itself, before the program. */
  readonly nodeOptions?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly stdio?: readonly ('pipe' | number)[]
}

/** Starts `postern` in a directory. */
export function start(directory: string, args: readonly string[], options: StartOptions = {}): ChildProcess {
  const { PATH = '', HOME = '' } = process.env
  return spawn(process.execPath, [...(options.nodeOptions ?? []), '--import', TSX, MAIN, ...args], {
    cwd: directory,
    env: { PATH, HOME, ...options.env },
    stdio: [...(options.stdio ?? ['pipe', 'pipe', 'pipe'])],
  })
}

/** Waits for a process to end, keeping what it says. */
export async function finished(child: ChildProcess): Promise<Finished> {
  let [stdout, stderr] = ['', '']
  child.stdout?.on('data', chunk => {
    stdout += String(chunk)
  })
  child.stderr?.on('data', chunk => {
    stderr += String(chunk)
  })
  const [status] = (await once(child, 'close')) as [number | null]
  return { status, stdout, stderr }
}

/** Runs `postern` to its end. */
export function run(
  directory: string,
  args: readonly string[],
  options: StartOptions & { readonly input?: string } = {},
): Promise<Finished> {
  const child = start(directory, args, options)
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input ?? '')
  return finished(child)
}

/** Waits until a process has written a text to its standard output. */
export async function said(child: ChildProcess, text: string): Promise<void> {
  let stdout = ''
  for await (const chunk of child.stdout ?? []) {
    stdout += String(chunk)
    if (stdout.includes(text)) return
  }
  throw new Error(`ended without ${text}: ${stdout}`)
}
