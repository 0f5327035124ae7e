/**
 * Measures the policy server: questions a second on 50 connections, over a unix socket and over TCP, on each store,
 * beside a Node server that answers a constant. `npm run bench:policy`; it takes about a minute.
 *
 * Servers and load are processes of their own. Short runs alternate, so that a busy moment of the machine hits
 * all alike, and medians are compared. Postern is built first and runs as `postern serve`, its log going to a file.
 */
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Store } from '../src/app/ports.ts'
import { openEmbeddedStore } from '../src/store/embedded.ts'
import { openRedisStore } from '../src/store/redis.ts'
import type { Measured, Order, Said } from './policy-load.ts'
import { fill, LISTS, MEMBERS, STRANGERS } from './policy-world.ts'

const CONNECTIONS = 50
const ROUNDS = 5
const RUN_MS = 1000
const WARM_UP_MS = 700
/** Clock ticks a second of /proc/PID/stat. */
const TICKS = 100

interface Contender {
  readonly name: string
  readonly expect: Order['expect']
  readonly process: ChildProcess
  readonly path: string
  readonly port: number
}

interface Run extends Measured {
  /** Answers a second. */
  readonly rate: number
  /** Microseconds of the server's processor time for each answer, where the system tells. */
  readonly serverCpu: number | undefined
}

const folder = mkdtempSync(join(tmpdir(), 'bench-policy-'))
const children: ChildProcess[] = []

function source(name: string): string {
  return fileURLToPath(new URL(name, import.meta.url))
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

/** Starts a program whose output goes to a file. */
function start(program: string, args: readonly string[], name: string): ChildProcess {
  const output = openSync(join(folder, `${name}.log`), 'a')
  const child = spawn(program, args, { stdio: ['ignore', output, output] })
  children.push(child)
  return child
}

/** Waits until something listens. */
async function listening(path: string, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`a server ended: see its log in ${folder}`)
    const socket = connect(path)
    const open = await new Promise<boolean>(resolve => {
      socket.on('connect', () => resolve(true))
      socket.on('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await wait(50)
  }
}

/** Starts a server that answers everything alike. */
async function startConstant(name: string, program: string): Promise<Contender> {
  const [path, port] = [join(folder, name), await freePort()]
  const child = start(process.execPath, ['--import', 'tsx', source(program), path, String(port)], name)
  await listening(path, child)
  return { name, expect: 'constant', process: child, path, port }
}

async function startPostern(name: string, store: string): Promise<Contender> {
  const [path, port] = [join(folder, name), await freePort()]
  const config = join(folder, `${name}.toml`)
  writeFileSync(
    config,
    `[policy]\nlisten = ["unix:${path}", "127.0.0.1:${port}"]\n[milter]\nlisten = []\n[socketmap]\nlisten = []\n[web]\nlisten = []\n[lmtp]\ncallout_listen = []\nlisten = []\n${store}`,
  )
  const args = [source('../dist/cli/main.js'), 'serve', '--config', config]
  const child = start(process.execPath, args, name)
  await listening(path, child)
  return { name, expect: 'law', process: child, path, port }
}

/** A Redis of its own on a unix socket, or nothing where there is no redis-server. */
async function startRedis(): Promise<string | undefined> {
  const socket = join(folder, 'redis-server')
  const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', folder]
  const child = start('redis-server', args, 'redis-server')
  const started = await Promise.race([
    once(child, 'error').then(() => false),
    listening(socket, child).then(() => true),
  ])
  return started ? socket : undefined
}

/** The process that asks. */
class Load {
  readonly #process: ChildProcess
  #settle: { resolve: (measured: Measured) => void; reject: (error: Error) => void } | undefined

  private constructor(child: ChildProcess) {
    this.#process = child
    child.on('message', (said: Said) => {
      if ('measured' in said) this.#settle?.resolve(said.measured)
      if ('failed' in said) this.#settle?.reject(new Error(said.failed))
    })
    child.on('exit', () => this.#settle?.reject(new Error('the load ended')))
  }

  static async start(): Promise<Load> {
    const child = fork(source('policy-load.ts'), [], { execArgv: ['--import', 'tsx'] })
    children.push(child)
    await once(child, 'message')
    return new Load(child)
  }

  run(order: Order): Promise<Measured> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#process.send(order)
    })
  }
}

async function filled(store: Store): Promise<void> {
  try {
    await fill(store)
  } finally {
    await store.close()
  }
}

/** Seconds of processor time that a process has used. */
function processorTime(pid: number | undefined): number | undefined {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return undefined
  const fields = readFileSync(file, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

async function measure(
  load: Load,
  contender: Contender,
  transport: 'unix' | 'tcp',
  ms: number,
): Promise<Run> {
  const { path, port, expect } = contender
  const endpoint = transport === 'unix' ? { path } : { host: '127.0.0.1', port }
  const before = processorTime(contender.process.pid)
  const measured = await load.run({ endpoint, connections: CONNECTIONS, ms, expect })
  const after = processorTime(contender.process.pid)
  const { answers, wrong } = measured
  if (wrong > 0) throw new Error(`${contender.name}: ${wrong} of ${answers} answers are wrong`)
  const serverCpu =
    before === undefined || after === undefined ? undefined : (1e6 * (after - before)) / answers
  return { ...measured, rate: (1000 * answers) / measured.ms, serverCpu }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2
}

function report(
  transport: string,
  contenders: readonly Contender[],
  runs: ReadonlyMap<Contender, readonly Run[]>,
): void {
  const [constant] = contenders
  const of = (contender: Contender): readonly Run[] => runs.get(contender) ?? []
  const baseline = constant === undefined ? [] : of(constant)
  console.log(`\n${transport}, ${CONNECTIONS} connections, ${ROUNDS} rounds of ${RUN_MS} ms\n`)
  console.log(
    '| server | answers/s, median [min–max] | ratio to constant | server CPU µs each | p50 µs | p99 µs | load CPU |',
  )
  console.log('|---|---|---|---|---|---|---|')
  for (const contender of contenders) {
    const all = of(contender)
    const rates = all.map(run => run.rate)
    const ratio = median(all.map((run, round) => run.rate / (baseline[round]?.rate ?? Number.NaN)))
    const whole = (value: number): string => Math.round(value).toLocaleString('en')
    const cpu = all.flatMap(run => run.serverCpu ?? [])
    const cells = [
      contender.name,
      `${whole(median(rates))} [${whole(Math.min(...rates))}–${whole(Math.max(...rates))}]`,
      ratio.toFixed(3),
      cpu.length === 0 ? '?' : median(cpu).toFixed(1),
      whole(median(all.map(run => run.p50))),
      whole(median(all.map(run => run.p99))),
      `${whole(100 * median(all.map(run => run.cpu)))} %`,
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

async function main(): Promise<void> {
  const [cpu] = cpus()
  const load = loadavg()[0]?.toFixed(1)
  console.log(
    `Node ${process.version}, ${cpus().length} × ${cpu?.model}, load average ${load} before the start`,
  )
  console.log(`${LISTS} lists × ${MEMBERS} members, ${100 * STRANGERS} % strangers, every answer checked`)
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: source('..'), stdio: ['ignore', 2, 2] })
  const redis = await startRedis()
  const embedded = join(folder, 'store')
  await filled(await openEmbeddedStore({ path: embedded }))
  if (redis !== undefined)
    await filled(openRedisStore({ endpoint: { kind: 'unix', path: redis }, timeoutMs: 10_000 }))

  const contenders = [
    await startConstant('constant', 'policy-constant.ts'),
    await startConstant('front', 'policy-front.ts'),
    await startPostern('embedded', `[store]\npath = "${embedded}"\n`),
  ]
  if (redis === undefined) console.log('There is no redis-server here: not measured.')
  else contenders.push(await startPostern('redis', `[redis]\nsocket = "${redis}"\n`))

  const asker = await Load.start()
  for (const contender of contenders) await measure(asker, contender, 'unix', WARM_UP_MS)
  for (const transport of ['unix', 'tcp'] as const) {
    const runs = new Map<Contender, Run[]>(contenders.map(contender => [contender, []]))
    for (let round = 0; round < ROUNDS; round++) {
      for (const contender of contenders)
        runs.get(contender)?.push(await measure(asker, contender, transport, RUN_MS))
    }
    report(transport, contenders, runs)
  }
}

try {
  await main()
} finally {
  for (const child of children) child.kill()
  await Promise.all(
    children.map(child =>
      (child.exitCode ?? child.signalCode) === null && child.pid !== undefined
        ? once(child, 'exit')
        : undefined,
    ),
  )
  rmSync(folder, { recursive: true })
}
