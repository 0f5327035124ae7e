/**
 * Postern as an operator runs it: `postern serve` as a process of its own, with a configuration file, a store and a
 * maildir in a directory of its own, and the command line beside it.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Endpoint, formatEndpoint } from '../../src/app/endpoint.ts'
import { freePort } from './ports.ts'

const SOURCES = fileURLToPath(new URL('../../src', import.meta.url))
const BUILT = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
/** TypeScript in the program and in its threads. */
const TYPESCRIPT = new URL('typescript-in-threads.mjs', import.meta.url).href

/** Node's arguments for the program: as it was built, if nothing has changed since, else from its sources. */
const PROGRAM = isBuilt() ? [BUILT] : ['--import', TYPESCRIPT, join(SOURCES, 'cli/main.ts')]

function isBuilt(): boolean {
  if (!existsSync(BUILT)) return false
  const built = statSync(BUILT).mtimeMs
  const sources = readdirSync(SOURCES, { recursive: true, encoding: 'utf8' })
  return sources.every(name => statSync(join(SOURCES, name)).mtimeMs <= built)
}

/** In milliseconds: a start that fails ends at once, so this is only for machines that are slow or busy. */
const START_TIMEOUT = 60_000

export interface PosternOptions {
  /** The Redis to use, as a URL; without it the embedded store. */
  readonly redisUrl?: string
  /** Where to listen; by default on free ports. */
  readonly policy?: Endpoint
  readonly lmtp?: Endpoint
  readonly callout?: Endpoint
  /** More of the section [lmtp]. */
  readonly sink?: string
  /** More of the configuration file: whole sections. */
  readonly config?: string
  /** Whether there is a trial MTA. */
  readonly trial?: boolean
}

/** What a command came to. */
export interface Finished {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Postern {
  readonly policy: Endpoint
  readonly lmtp: Endpoint
  readonly callout: Endpoint
  readonly trial: Endpoint
  /** Where its configuration, its store and its mail are. */
  readonly directory: string
  readonly maildirRoot: string
  /** Where messages wait for moderators, unless the configuration says otherwise. */
  readonly heldRoot: string
  /** Runs a command of the command line. */
  run(args: readonly string[], input?: string): Promise<Finished>
  /** Runs a command that must succeed, and gives its standard output. */
  must(...args: readonly string[]): Promise<string>
  /** Puts an import document in place. */
  load(document: unknown): Promise<void>
  /** What `serve` has said. */
  log(): string
  /** The process of `serve`. */
  pid(): number
  start(): Promise<void>
  /** Ends `serve` by SIGTERM, and gives its exit status. */
  stop(): Promise<number | null>
  /** Ends `serve`, if it runs, and removes everything. */
  remove(): Promise<void>
}

function postern(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [...PROGRAM, ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  })
}

/** Makes a place for a Postern and starts it. */
export async function startPostern(options: PosternOptions = {}): Promise<Postern> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-daemon-'))
  chmodSync(directory, 0o755)
  const tcp = async (): Promise<Endpoint> => ({ kind: 'tcp', host: '127.0.0.1', port: await freePort() })
  const policy = options.policy ?? (await tcp())
  const lmtp = options.lmtp ?? (await tcp())
  const callout = options.callout ?? (await tcp())
  const trial = await tcp()
  const maildirRoot = join(directory, 'mail')
  const file = join(directory, 'postern.toml')
  const store =
    options.redisUrl === undefined ? `[store]\npath = "./store"` : `[redis]\nurl = "${options.redisUrl}"`
  writeFileSync(
    file,
    `${store}
[policy]
listen = ["${formatEndpoint(policy)}"]
[lmtp]
listen = ["${formatEndpoint(lmtp)}"]
callout_listen = ["${formatEndpoint(callout)}"]
hostname = "postern.example.org"
${options.sink ?? ''}
${options.config?.includes('[milter]') ? '' : '[milter]\nlisten = []'}
${options.config?.includes('[socketmap]') ? '' : '[socketmap]\nlisten = []'}
${options.config?.includes('[web]') ? '' : '[web]\nlisten = []'}
[delivery.maildir]
path = "./mail"
${options.config?.includes('[held]') ? '' : '[held]\npath = "./held"'}
[trial]
enabled = ${options.trial === true}
listen = "${formatEndpoint(trial)}"
${options.config ?? ''}
`,
  )

  let serving: ChildProcess | undefined
  let said = ''

  const run = async (args: readonly string[], input = ''): Promise<Finished> => {
    const child = postern(['--config', file, ...args])
    let stdout = ''
    let stderr = ''
    child.stdout?.on('data', chunk => (stdout += String(chunk)))
    child.stderr?.on('data', chunk => (stderr += String(chunk)))
    child.stdin?.end(input)
    const [status] = (await once(child, 'close')) as [number | null]
    return { status, stdout, stderr }
  }

  const must = async (...args: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await run(args)
    if (status !== 0) throw new Error(`postern ${args.join(' ')} ended with ${status}:\n${stdout}${stderr}`)
    return stdout
  }

  const stop = async (): Promise<number | null> => {
    const child = serving
    if (child === undefined) return null
    serving = undefined
    if (child.exitCode !== null) return child.exitCode
    const closed = once(child, 'close')
    child.kill('SIGTERM')
    const [status] = (await closed) as [number | null]
    return status
  }

  const start = async (): Promise<void> => {
    const child = postern(['--config', file, 'serve'])
    serving = child
    const before = said.length
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`serve is not ready:\n${said}`)), START_TIMEOUT)
      const read = (chunk: unknown): void => {
        said += String(chunk)
        if (!/\bready\b/.test(said.slice(before))) return
        clearTimeout(timer)
        resolve()
      }
      child.stdout?.on('data', read)
      child.stderr?.on('data', read)
      child.once('close', () => {
        clearTimeout(timer)
        reject(new Error(`serve has ended:\n${said}`))
      })
    })
  }

  await start()
  return {
    policy,
    lmtp,
    callout,
    trial,
    directory,
    maildirRoot,
    heldRoot: join(directory, 'held'),
    run,
    must,
    load: async document => {
      const { status, stderr } = await run(['import', '-'], JSON.stringify(document))
      if (status !== 0) throw new Error(`postern import ended with ${status}:\n${stderr}`)
    },
    log: () => said,
    pid: () => {
      if (serving?.pid === undefined) throw new Error('serve does not run')
      return serving.pid
    },
    start,
    stop,
    remove: async () => {
      await stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
