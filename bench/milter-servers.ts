/** The servers of the milter benchmark, as processes of their own, and how much processor time they take. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openEmbeddedStore } from '../src/store/embedded.ts'
import { fill } from './milter-world.ts'

/** Clock ticks a second of /proc/PID/stat. */
const TICKS = 100

export const TRANSPORTS = ['unix', 'tcp'] as const
export type Transport = (typeof TRANSPORTS)[number]

export interface Contender {
  readonly name: string
  /** A unix socket's path, or a port. */
  readonly where: string
  readonly process: ChildProcess
}

const folder = mkdtempSync(join(tmpdir(), 'bench-milter-'))
const store = join(folder, 'store')
const children: ChildProcess[] = []
let started = 0

function source(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

/** Compiles a program in C, and gives its path. */
export function compiled(name: string, ...libraries: readonly string[]): string {
  const program = join(folder, name)
  execFileSync('cc', ['-O2', '-o', program, source(`${name}.c`), ...libraries], { stdio: ['ignore', 2, 2] })
  return program
}

/** Builds Postern, and fills the store that it serves. */
export async function prepare(): Promise<void> {
  // Postfix's processes, which are not ours, come by sockets in this folder.
  chmodSync(folder, 0o755)
  process.umask(0)
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: source('..'), stdio: ['ignore', 2, 2] })
  const filled = await openEmbeddedStore({ path: store })
  await fill(filled)
  await filled.close()
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Waits until something listens. */
async function listening(where: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`a server ended: see its log in ${folder}`)
    const socket = where.startsWith('/') ? connect(where) : connect(Number(where), '127.0.0.1')
    const open = await new Promise<boolean>(resolve => {
      socket.on('connect', () => resolve(true))
      socket.on('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await wait(50)
  }
}

/** What a server's command line is, given its endpoint. */
type Command = (where: string) => readonly [string, ...string[]]

/** Starts a server on an endpoint of its own; its output goes to a file. */
async function start(name: string, transport: Transport, commandFor: Command): Promise<Contender> {
  const file = join(folder, `${name.replaceAll(' ', '-')}-${++started}`)
  const where = transport === 'unix' ? `${file}.sock` : String(await freePort())
  const output = openSync(`${file}.log`, 'a')
  const [program, ...args] = commandFor(where)
  const child = spawn(program, args, { stdio: ['ignore', output, output] })
  children.push(child)
  await listening(where, child)
  return { name, process: child, where }
}

/** Ends servers, those on libmilter as well, which may take five seconds to end in peace. */
export async function stop(contenders: readonly Pick<Contender, 'process'>[]): Promise<void> {
  const running = contenders
    .map(contender => contender.process)
    .filter(child => (child.exitCode ?? child.signalCode) === null && child.pid)
  const exits = running.map(child => once(child, 'exit'))
  for (const child of running) child.kill('SIGKILL')
  await Promise.all(exits)
}

/** Ends whatever still runs, and leaves nothing behind. */
export async function cleanUp(): Promise<void> {
  await stop(children.map(child => ({ process: child })))
  rmSync(folder, { recursive: true })
}

/** `postern serve` with the milter alone. */
function serve(engine: 'native' | 'libmilter', trace: boolean, workers = 1): Command {
  return where => {
    const config = join(folder, `serve-${started}.toml`)
    const endpoint = where.startsWith('/') ? `unix:${where}` : `127.0.0.1:${where}`
    writeFileSync(
      config,
      `[serve]\nworkers = ${workers}\n[milter]\nengine = "${engine}"\nlisten = ["${endpoint}"]\nsocket_mode = "0666"\n` +
        `trace_header = ${trace}\n` +
        `[policy]\nlisten = []\n[lmtp]\ncallout_listen = []\nlisten = []\n[socketmap]\nlisten = []\n[web]\nlisten = []\n[store]\npath = "${store}"\n`,
    )
    return [process.execPath, source('../dist/cli/main.js'), 'serve', '--config', config]
  }
}

/** The servers, by the names that they have in the tables. */
export const SERVERS = [
  'C',
  'C lean',
  'bare',
  'front',
  'front × 2',
  'serve',
  'serve × 2',
  'serve libmilter',
] as const
export type ServerName = (typeof SERVERS)[number]

/** Starts servers, in this order. `filter` is the program on libmilter. */
export async function startAll(
  names: readonly ServerName[],
  { filter, transport, trace }: { filter: string; transport: Transport; trace: boolean },
): Promise<readonly Contender[]> {
  const traced = trace ? ['trace'] : []
  const inC =
    (kind: string): Command =>
    where => [filter, transport === 'unix' ? `unix:${where}` : `inet:${where}@127.0.0.1`, kind, ...traced]
  const inNode =
    (script: string, ...args: readonly string[]): Command =>
    where => [process.execPath, '--import', 'tsx', source(script), where, ...args, ...traced]
  const commands: Readonly<Record<ServerName, Command>> = {
    C: inC('plain'),
    'C lean': inC('lean'),
    bare: inNode('milter-bare.ts'),
    front: inNode('milter-front.ts', '1'),
    'front × 2': inNode('milter-front.ts', '2'),
    serve: serve('native', trace),
    'serve × 2': serve('native', trace, 2),
    'serve libmilter': serve('libmilter', trace),
  }
  const contenders: Contender[] = []
  for (const name of names) contenders.push(await start(name, transport, commands[name]))
  return contenders
}

/** Microseconds of processor time that a process and those it started have used, where the system tells. */
export function processorTime(pid: number | undefined): number | undefined {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return undefined
  const fields = readFileSync(file, 'utf8').split(') ')[1]?.split(' ') ?? []
  const own = (1e6 * (Number(fields[11]) + Number(fields[12]))) / TICKS
  const begun = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  const others = begun === '' ? [] : begun.split(' ').map(child => processorTime(Number(child)) ?? 0)
  return others.reduce((sum, time) => sum + time, own)
}

/** The middle one; between the two in the middle, if there are two. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en')
}
