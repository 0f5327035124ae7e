/**
 * A redis-server of the test's own: in a directory of its own, on loopback and on a unix socket, stopped by its handle.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { requirePart } from './parts.ts'
import { freePort } from './ports.ts'

export const REDIS_SERVER = '/usr/bin/redis-server'

/** Why a suite that needs redis-server cannot run here; `undefined` if it can. For `describe.skipIf`. */
export function redisMissing(suite: string): string | undefined {
  return requirePart(suite, REDIS_SERVER)
}

export interface RedisServerOptions {
  /** Directives as on redis-server's command line: `['--requirepass', 'x']`. They come last and win. */
  readonly args?: readonly string[]
  /** For the default user, and for `url`. */
  readonly password?: string
}

export interface RedisServer {
  readonly url: string
  readonly host: string
  readonly port: number
  /** The unix socket's path. */
  readonly socket: string
  /** Where its files are. */
  readonly directory: string
  /** Ends the server; its data are gone with it. */
  stop(): Promise<void>
  /** Starts it again at the same place, after stopping it if it runs. */
  restart(): Promise<void>
  /** The process stands still, with its connections open, until `resume`. */
  pause(): void
  resume(): void
  /** Ends it and removes its files. */
  remove(): Promise<void>
}

/** Waits until the server says that it takes connections, or has ended. */
async function isReady(child: ChildProcess): Promise<boolean> {
  if (child.stdout === null) throw new Error('redis-server was started without a pipe')
  const lines = createInterface({ input: child.stdout })
  for await (const line of lines) {
    if (line.includes('eady to accept connections')) {
      child.stdout.resume()
      return true
    }
  }
  return false
}

/** Ends a child if this process ends without doing so, even when it is killed: then the pipe between them closes. */
function endWithUs(child: ChildProcess): void {
  const watcher = spawn('/bin/sh', ['-c', 'cat >/dev/null; kill -9 "$1"', 'sh', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.once('exit', () => watcher.kill('SIGKILL'))
}

/** Starts a redis-server and waits until it takes connections. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-redis-'))
  const socket = join(directory, 'redis.sock')
  let child: ChildProcess | undefined

  async function start(port: number): Promise<boolean> {
    const password = options.password === undefined ? [] : ['--requirepass', options.password]
    const place = ['--bind', '127.0.0.1', '--port', String(port), '--unixsocket', socket, '--dir', directory]
    const args = [...place, '--save', '', '--appendonly', 'no', ...password, ...(options.args ?? [])]
    const started = spawn(REDIS_SERVER, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    child = started
    endWithUs(started)
    return isReady(started)
  }

  async function stop(): Promise<void> {
    const running = child
    child = undefined
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return
    const ended = once(running, 'exit')
    running.kill('SIGKILL')
    await ended
  }

  let port = await freePort()
  // Somebody may take the port between the asking and the listening.
  for (let tries = 1; !(await start(port)); tries++) {
    if (tries === 5) throw new Error('redis-server does not start')
    port = await freePort()
  }
  const user = options.password === undefined ? '' : `:${encodeURIComponent(options.password)}@`
  return {
    url: `redis://${user}127.0.0.1:${port}/0`,
    host: '127.0.0.1',
    port,
    socket,
    directory,
    stop,
    restart: async () => {
      await stop()
      if (!(await start(port))) throw new Error('redis-server does not start again')
    },
    pause: () => void child?.kill('SIGSTOP'),
    resume: () => void child?.kill('SIGCONT'),
    remove: async () => {
      await stop()
      rmSync(directory, { recursive: true, force: true })
    },
  }
}
