/**
 * Measures the milter: sessions a second, 20 at a time, over a unix socket and over TCP, beside a null filter in C on
 * Sendmail's libmilter. `npm run bench:milter`; it takes about a minute and a half. Needs a C compiler, libmilter and
 * its header.
 *
 * Servers and load are processes of their own. Short runs alternate, so that a busy moment of the machine hits all
 * alike, and medians are compared. Postern is built first; its log goes to a file.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { openEmbeddedStore } from '../src/store/embedded.ts'
import { fill } from './milter-world.ts'

const SESSIONS = 20
const ROUNDS = 5
const RUN_MS = 400
/** Of Node's servers, whose code is compiled as it runs. */
const WARM_UP_MS = 1500
/** Clock ticks a second of /proc/PID/stat. */
const TICKS = 100

const CONVERSATIONS = ['policy', 'full', 'trace'] as const
type Conversation = (typeof CONVERSATIONS)[number]
const TRANSPORTS = ['unix', 'tcp'] as const
type Transport = (typeof TRANSPORTS)[number]

interface Contender {
  readonly name: string
  readonly process: ChildProcess
  /** A unix socket's path, or a port. */
  readonly where: string
}

interface Run {
  /** Sessions a second. */
  readonly rate: number
  /** Of a session, in microseconds. */
  readonly p50: number
  readonly p99: number
  /** The part of one core that the load needed. */
  readonly loadCpu: number
  /** Microseconds of the server's processor time for each session, where the system tells. */
  readonly serverCpu: number | undefined
}

const folder = mkdtempSync(join(tmpdir(), 'bench-milter-'))
const store = join(folder, 'store')
const children: ChildProcess[] = []
let started = 0

function source(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

/** Compiles a program in C, and gives its path. */
function compiled(name: string, ...libraries: readonly string[]): string {
  const program = join(folder, name)
  execFileSync('cc', ['-O2', '-o', program, source(`${name}.c`), ...libraries], { stdio: ['ignore', 2, 2] })
  return program
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

/** Starts a server on an endpoint of its own; its output goes to a file. */
async function start(
  name: string,
  transport: Transport,
  commandFor: (where: string) => readonly [string, ...string[]],
): Promise<Contender> {
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
async function stop(ended: readonly ChildProcess[]): Promise<void> {
  const running = ended.filter(child => (child.exitCode ?? child.signalCode) === null && child.pid)
  const exits = running.map(child => once(child, 'exit'))
  for (const child of running) child.kill('SIGKILL')
  await Promise.all(exits)
}

/** `postern serve` with the milter alone. */
function serve(engine: 'native' | 'libmilter', trace: boolean) {
  return (where: string): readonly [string, ...string[]] => {
    const config = join(folder, `serve-${started}.toml`)
    const endpoint = where.startsWith('/') ? `unix:${where}` : `127.0.0.1:${where}`
    writeFileSync(
      config,
      `[milter]\nengine = "${engine}"\nlisten = ["${endpoint}"]\ntrace_header = ${trace}\n` +
        `[policy]\nlisten = []\n[lmtp]\nlisten = []\n[socketmap]\nlisten = []\n[store]\npath = "${store}"\n`,
    )
    return [process.execPath, source('../dist/cli/main.js'), 'serve', '--config', config]
  }
}

/** Starts all that take part. The first is what the others are compared with. */
async function startAll(filter: string, transport: Transport, trace: boolean): Promise<readonly Contender[]> {
  const traced = trace ? ['trace'] : []
  const connection = (where: string): string =>
    transport === 'unix' ? `unix:${where}` : `inet:${where}@127.0.0.1`
  const inC = (kind: string) => (where: string) => [filter, connection(where), kind, ...traced] as const
  return [
    await start('C', transport, inC('plain')),
    await start('C lean', transport, inC('lean')),
    await start('front', transport, where => [
      process.execPath,
      '--import',
      'tsx',
      source('milter-front.ts'),
      where,
      ...traced,
    ]),
    await start('serve', transport, serve('native', trace)),
    await start('serve libmilter', transport, serve('libmilter', trace)),
  ]
}

/** Seconds of processor time that a process has used. */
function processorTime(pid: number | undefined): number | undefined {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return undefined
  const fields = readFileSync(file, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

async function measure(
  load: string,
  contender: Contender,
  conversation: Conversation,
  ms: number,
): Promise<Run> {
  const { name, process: server, where } = contender
  const before = processorTime(server.pid)
  const said = await promisify(execFile)(load, [where, conversation, String(SESSIONS), String(ms)]).catch(
    (cause: unknown) => {
      throw new Error(`${name}, ${conversation}: the load failed`, { cause })
    },
  )
  const after = processorTime(server.pid)
  const [sessions = 0, p50 = 0, p99 = 0, took = 0, cpu = 0] = said.stdout.split(' ').map(Number)
  const serverCpu =
    before === undefined || after === undefined ? undefined : (1e6 * (after - before)) / sessions
  return { rate: (1000 * sessions) / took, p50, p99, loadCpu: cpu / 1000 / took, serverCpu }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2
}

function report(title: string, all: ReadonlyMap<Contender, readonly Run[]>): void {
  const [baseline = []] = all.values()
  const whole = (value: number): string => Math.round(value).toLocaleString('en')
  console.log(`\n${title}, ${SESSIONS} sessions at a time, ${ROUNDS} rounds of ${RUN_MS} ms\n`)
  console.log(
    '| server | sessions/s, median [min–max] | ratio to C | server CPU µs each | p50 µs | p99 µs | load CPU |',
  )
  console.log('|---|---|---|---|---|---|---|')
  for (const [{ name }, runs] of all) {
    const rates = runs.map(run => run.rate)
    const ratio = median(runs.map((run, round) => run.rate / (baseline[round]?.rate ?? Number.NaN)))
    const cpu = runs.flatMap(run => run.serverCpu ?? [])
    const cells = [
      name,
      `${whole(median(rates))} [${whole(Math.min(...rates))}–${whole(Math.max(...rates))}]`,
      ratio.toFixed(2),
      cpu.length === 0 ? '?' : whole(median(cpu)),
      whole(median(runs.map(run => run.p50))),
      whole(median(runs.map(run => run.p99))),
      `${whole(100 * median(runs.map(run => run.loadCpu)))} %`,
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

async function main(): Promise<void> {
  const [cpu] = cpus()
  const busy = loadavg()[0]?.toFixed(1)
  console.log(
    `Node ${process.version}, ${cpus().length} × ${cpu?.model}, load average ${busy} before the start`,
  )
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: source('..'), stdio: ['ignore', 2, 2] })
  const filter = compiled('milter-null', '-lmilter', '-lpthread')
  const load = compiled('milter-client')
  const filled = await openEmbeddedStore({ path: store })
  await fill(filled)
  await filled.close()

  for (const transport of TRANSPORTS) {
    for (const trace of [false, true]) {
      const contenders = await startAll(filter, transport, trace)
      const conversations = CONVERSATIONS.filter(conversation => (conversation === 'trace') === trace)
      const [first] = conversations
      for (const contender of contenders) {
        if (first !== undefined && !contender.name.startsWith('C')) {
          await measure(load, contender, first, WARM_UP_MS)
        }
      }
      for (const conversation of conversations) {
        const runs = new Map<Contender, Run[]>(contenders.map(contender => [contender, []]))
        for (let round = 0; round < ROUNDS; round++) {
          for (const contender of contenders)
            runs.get(contender)?.push(await measure(load, contender, conversation, RUN_MS))
        }
        report(`${conversation}, ${transport}`, runs)
      }
      await stop(contenders.map(contender => contender.process))
    }
  }
}

try {
  await main()
} finally {
  await stop(children)
  rmSync(folder, { recursive: true })
}
