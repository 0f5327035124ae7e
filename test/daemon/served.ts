/** A daemon in a process of its own, with what it says, for tests of signals, sockets and exit codes. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Endpoint, parseEndpoint } from '../../src/app/endpoint.ts'

const CHILD = fileURLToPath(new URL('serve-child.ts', import.meta.url))
const TSX = import.meta.resolve('tsx')

export interface ServedOptions {
  readonly cwd: string
  readonly env?: Readonly<Record<string, string>>
  /** Code that runs in the process beside the daemon. */
  readonly beside?: string
  /** Open files that the process gets as its fd 3 and on. */
  readonly fds?: readonly number[]
}

export class Served {
  readonly child: ChildProcess
  /** Everything that it said on standard error. */
  said = ''
  stdout = ''
  readonly #ended: Promise<unknown>
  #heard: () => void = () => {}

  constructor({ cwd, env = {}, beside, fds = [] }: ServedOptions) {
    const imports = beside === undefined ? [TSX] : [TSX, `data:text/javascript,${encodeURIComponent(beside)}`]
    const args = imports.flatMap(url => ['--import', url])
    // The shell gives the process the id that systemd would have told it.
    this.child = spawn('/bin/sh', ['-c', 'LISTEN_PID=$$ exec "$@"', 'sh', process.execPath, ...args, CHILD], {
      cwd,
      env: { PATH: process.env['PATH'], TMPDIR: cwd, ...env },
      stdio: ['ignore', 'pipe', 'pipe', ...fds],
    })
    this.child.stderr?.on('data', chunk => {
      this.said += String(chunk)
      this.#heard()
    })
    this.child.stdout?.on('data', chunk => {
      this.stdout += String(chunk)
    })
    this.#ended = once(this.child, 'close').finally(() => this.#heard())
  }

  /** Starts one and waits until it serves. */
  static async ready(options: ServedOptions): Promise<Served> {
    const served = new Served(options)
    await served.says(/ ready;/)
    return served
  }

  /** Waits until it has said something, and gives the match; of several the last one. */
  async says(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const found = [...this.said.matchAll(new RegExp(pattern, 'g'))].at(-1)
      if (found !== undefined) return found
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        throw new Error(`it ended (${this.child.exitCode ?? this.child.signalCode}) and said: ${this.said}`)
      }
      await new Promise<void>(resolve => {
        this.#heard = resolve
      })
    }
  }

  /** Where a front listens: the first place, or another. */
  endpoint(front: string, place = 0): Endpoint {
    const found = [...this.said.matchAll(new RegExp(` listening; front=<${front}> endpoint=<([^>]*)>`, 'g'))]
    const endpoint = parseEndpoint(found[place]?.[1] ?? '')
    if (!endpoint.ok) throw new Error(`no ${front} in ${this.said}`)
    return endpoint.value
  }

  port(front: string): number {
    const endpoint = this.endpoint(front)
    if (endpoint.kind !== 'tcp') throw new Error('not TCP')
    return endpoint.port
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Waits for the end, and gives the exit code, or the signal that ended it. */
  async end(): Promise<number | string | null> {
    await this.#ended
    return this.child.exitCode ?? this.child.signalCode
  }

  async stop(): Promise<number | string | null> {
    this.signal('SIGTERM')
    return this.end()
  }
}

/** A policy client that asks one question at a time. */
export class PolicyClient {
  readonly #socket
  #text = ''
  #heard: () => void = () => {}
  closed = false

  constructor(endpoint: Endpoint) {
    this.#socket = connect(endpoint.kind === 'unix' ? { path: endpoint.path } : endpoint)
    this.#socket.on('error', () => {})
    this.#socket.on('data', chunk => {
      this.#text += String(chunk)
      this.#heard()
    })
    this.#socket.on('close', () => {
      this.closed = true
      this.#heard()
    })
  }

  /** Asks at RCPT, and gives the action; nothing if the connection is closed instead. */
  async ask(sender: string, recipient: string): Promise<string | undefined> {
    const attributes = {
      request: 'smtpd_access_policy',
      protocol_state: 'RCPT',
      sender,
      recipient,
      instance: 'i.1',
    }
    const lines = Object.entries(attributes).map(([name, value]) => `${name}=${value}\n`)
    this.#socket.write(`${lines.join('')}\n`)
    while (!this.#text.includes('\n\n') && !this.closed) {
      await new Promise<void>(resolve => {
        this.#heard = resolve
      })
    }
    const answer = /^action=(.*)\n\n$/.exec(this.#text)?.[1]
    this.#text = ''
    return answer
  }

  close(): void {
    this.#socket.destroy()
  }
}
