/**
 * A process with the milter on libmilter, for tests: libmilter serves one endpoint in the life of a process. Started with
 * `startHost`; says and hears by messages.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Endpoint } from '../../src/app/endpoint.ts'
import type { Decided } from '../../src/app/gate.ts'
import type { Site } from '../../src/core/facts.ts'
import type { Conduct } from '../../src/milter/question.ts'
import { requirePart } from '../support/parts.ts'
import { freePort } from '../support/ports.ts'
import type { StateDocument } from '../support/vectors.ts'
import type { StateName } from './world.ts'

/** What the process judges by from now on. */
export type World =
  | { readonly kind: 'named'; readonly state: StateName | 'away'; readonly when: 'at once' | 'late' }
  | {
      readonly kind: 'given'
      readonly state: StateDocument
      readonly site: Site
      readonly when: 'at once' | 'late'
    }
  /** A gate that does as recipients and senders say; see `oracle/scripted-gate.ts`. */
  | { readonly kind: 'scripted' }
  /** A gate that never answers, or throws. */
  | { readonly kind: 'stuck' | 'throws' }

export interface HostOptions {
  readonly endpoint: Endpoint
  readonly conduct?: Partial<Conduct>
  readonly maxConnections?: number
  readonly decisionTime?: number
  readonly lookInterval?: number
}

export type Order =
  | { readonly kind: 'start'; readonly options: HostOptions }
  | { readonly kind: 'world'; readonly world: World }
  | { readonly kind: 'drain'; readonly graceMs: number }
  /** Starts again: what becomes of it is reported as `failed`. */
  | { readonly kind: 'again'; readonly endpoint: Endpoint }
  | { readonly kind: 'exit' | 'throw' | 'block' | 'ping' | 'count' }

export type Word =
  | { readonly kind: 'loaded' | 'started' | 'ready' | 'drained' | 'blocked' }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }
  /** Messages so far that were none of ours. */
  | { readonly kind: 'counted'; readonly otherMessages: number }
  | { readonly kind: 'log'; readonly level: string; readonly message: string; readonly problem?: unknown }
  | {
      readonly kind: 'decided'
      readonly phase: string
      readonly verdict: Pick<Decided['verdict'], 'kind' | 'reason'>
    }

type Log = Extract<Word, { kind: 'log' }>
type Decision = Extract<Word, { kind: 'decided' }>

const TRIPLETS: Readonly<Record<string, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' }

/** Why tests with libmilter cannot run here. */
export function requireLibmilter(): string | undefined {
  const triplet = TRIPLETS[process.arch] ?? process.arch
  return requirePart('the milter on libmilter', `/usr/lib/${triplet}/libmilter.so.1.0.1`)
}

export class Host {
  readonly endpoint: Endpoint
  readonly lines: Log[] = []
  readonly decisions: Decision[] = []
  readonly child: ChildProcess
  readonly #words: Word[] = []
  readonly #directory: string
  #wake: () => void = () => {}
  stderr = ''

  constructor(endpoint: Endpoint, directory: string, env: NodeJS.ProcessEnv = {}) {
    this.endpoint = endpoint
    this.#directory = directory
    this.child = fork(fileURLToPath(new URL('libmilter-process.ts', import.meta.url)), {
      execArgv: ['--import', new URL('../support/typescript-in-threads.mjs', import.meta.url).href],
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    })
    this.child.stderr?.on('data', chunk => {
      this.stderr += String(chunk)
    })
    this.child.on('message', (word: Word) => {
      if (word.kind === 'log') this.lines.push(word)
      else if (word.kind === 'decided') this.decisions.push(word)
      else this.#words.push(word)
      this.#wake()
    })
    this.child.on('exit', () => this.#wake())
  }

  get hasExited(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  order(order: Order): void {
    this.child.send(order)
  }

  /** The next word but for log lines and decisions. */
  async word(): Promise<Word> {
    for (;;) {
      const word = this.#words.shift()
      if (word !== undefined) return word
      if (this.hasExited)
        throw new Error(
          `the process has ended: ${this.child.exitCode} ${this.child.signalCode} ${this.stderr}`,
        )
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  async judgeBy(world: World): Promise<void> {
    this.order({ kind: 'world', world })
    const word = await this.word()
    if (word.kind !== 'ready') throw new Error(JSON.stringify(word))
    this.decisions.length = 0
  }

  /** What the gate has decided in this world. */
  async decisionsSoFar(): Promise<readonly Decision[]> {
    this.order({ kind: 'ping' })
    await this.word()
    return this.decisions
  }

  /** Messages so far that were none of ours. */
  async otherMessages(): Promise<number> {
    this.order({ kind: 'count' })
    const word = await this.word()
    if (word.kind !== 'counted') throw new Error(JSON.stringify(word))
    return word.otherMessages
  }

  problems(): readonly unknown[] {
    return this.lines.flatMap(line => (line.problem === undefined ? [] : [line.problem]))
  }

  /** How the process ended, as an exit code or a signal. */
  async ended(): Promise<number | string | null> {
    if (!this.hasExited) await once(this.child, 'exit')
    return this.child.signalCode ?? this.child.exitCode
  }

  /** Ends the process without ceremony. */
  async kill(): Promise<void> {
    if (!this.hasExited) {
      this.child.kill('SIGKILL')
      await once(this.child, 'exit')
    }
    rmSync(this.#directory, { recursive: true, force: true })
  }
}

/** A process that is loaded and serves nothing yet. */
export async function loadHost(kind: Endpoint['kind'], env?: NodeJS.ProcessEnv): Promise<Host> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-libmilter-'))
  const endpoint: Endpoint =
    kind === 'unix'
      ? { kind, path: join(directory, 'milter.sock') }
      : { kind, host: '127.0.0.1', port: await freePort() }
  const host = new Host(endpoint, directory, env)
  await host.word()
  return host
}

/** A process that serves. */
export async function startHost(
  kind: Endpoint['kind'],
  options: Omit<HostOptions, 'endpoint'> = {},
): Promise<Host> {
  const host = await loadHost(kind)
  host.order({ kind: 'start', options: { ...options, endpoint: host.endpoint } })
  const word = await host.word()
  if (word.kind !== 'started') throw new Error(JSON.stringify(word))
  return host
}
