/**
 * Measures the LMTP sink: messages a second on 20 connections, discarding and into a Maildir, beside smtp-server that
 * discards. `npm run bench:lmtp`; it takes about a minute.
 *
 * Servers and load are processes of their own. Short runs alternate, so that a busy moment of the machine hits all
 * alike, and medians are compared. Postern is built first.
 */
import { type ChildProcess, execFileSync, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseAddress } from '../src/core/address.ts'
import { parseDomain } from '../src/core/domain.ts'
import { INITIAL_SETTINGS } from '../src/core/list.ts'
import { openEmbeddedStore } from '../src/store/embedded.ts'
import { MESSAGE_SIZE, type Measured, type Order, type Said } from './lmtp-load.ts'

const CONNECTIONS = 20
const ROUNDS = 5
const RUN_MS = 1500
const WARM_UP_MS = 1000
/** Clock ticks a second of /proc/PID/stat. */
const TICKS = 100

interface Contender {
  readonly name: string
  readonly process: ChildProcess
  readonly port: number
}

interface Run extends Measured {
  /** Messages a second. */
  readonly rate: number
  /** Microseconds of the server's processor time for each message, where the system tells. */
  readonly serverCpu: number | undefined
}

const folder = mkdtempSync(join(tmpdir(), 'bench-lmtp-'))
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

async function isListening(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const open = await new Promise<boolean>(resolve => {
    socket.on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
  })
  socket.destroy()
  return open
}

/** Starts a server whose output goes to a file, and waits until it listens. */
async function start(name: string, port: number, args: readonly string[]): Promise<Contender> {
  const output = openSync(join(folder, `${name}.log`), 'a')
  const child = spawn(process.execPath, args, { stdio: ['ignore', output, output] })
  children.push(child)
  while (!(await isListening(port))) {
    if (child.exitCode !== null) {
      throw new Error(`${name} ended:\n${readFileSync(join(folder, `${name}.log`), 'utf8')}`)
    }
    await wait(50)
  }
  return { name, process: child, port }
}

async function startScript(name: string, script: string, ...args: readonly string[]): Promise<Contender> {
  const port = await freePort()
  return start(name, port, ['--import', 'tsx', source(script), String(port), ...args])
}

/** `postern serve` on an embedded store that has the list, its log going to a file. */
async function startPostern(name: string): Promise<Contender> {
  const port = await freePort()
  const path = join(folder, 'store')
  const store = await openEmbeddedStore({ path })
  const domain = parseDomain('lists.example.org')
  const list = parseAddress('team@lists.example.org')
  if (!domain.ok || !list.ok) throw new Error('the names of the benchmark are wrong')
  await store.putDomain(domain.value, { flavour: 'mailman' })
  await store.createList(list.value.key, { ...INITIAL_SETTINGS, nonmember_action: 'accept' })
  await store.close()
  const config = join(folder, 'postern.toml')
  writeFileSync(
    config,
    `[policy]\nlisten = []\n[milter]\nlisten = []\n[socketmap]\nlisten = []\n[web]\nlisten = []\n[lmtp]\ncallout_listen = []\nlisten = ["127.0.0.1:${port}"]\n[store]\npath = "${path}"\n` +
      `[delivery.maildir]\npath = "${join(folder, 'serve-mail')}"\n`,
  )
  return start(name, port, [source('../dist/cli/main.js'), 'serve', '--config', config])
}

/** The process that sends. */
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
    const child = fork(source('lmtp-load.ts'), [], { execArgv: ['--import', 'tsx'] })
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

/** Seconds of processor time that a process has used. */
function processorTime(pid: number | undefined): number | undefined {
  const file = `/proc/${pid}/stat`
  if (!existsSync(file)) return undefined
  const fields = readFileSync(file, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS
}

async function measure(load: Load, { process: server, port }: Contender, ms: number): Promise<Run> {
  const before = processorTime(server.pid)
  const measured = await load.run({ port, connections: CONNECTIONS, ms })
  const after = processorTime(server.pid)
  const serverCpu =
    before === undefined || after === undefined ? undefined : (1e6 * (after - before)) / measured.messages
  return { ...measured, rate: (1000 * measured.messages) / measured.ms, serverCpu }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2
}

function report(contenders: readonly Contender[], runs: ReadonlyMap<Contender, readonly Run[]>): void {
  const of = (contender: Contender | undefined): readonly Run[] =>
    (contender === undefined ? undefined : runs.get(contender)) ?? []
  const baseline = of(contenders[0])
  const whole = (value: number): string => Math.round(value).toLocaleString('en')
  console.log(`\n${CONNECTIONS} connections, ${MESSAGE_SIZE} octets, ${ROUNDS} rounds of ${RUN_MS} ms\n`)
  console.log(
    `| server | messages/s, median [min–max] | ratio to ${contenders[0]?.name} | server CPU µs each | p50 µs | p99 µs |`,
  )
  console.log('|---|---|---|---|---|---|')
  for (const contender of contenders) {
    const all = of(contender)
    const rates = all.map(run => run.rate)
    const cpu = all.flatMap(run => run.serverCpu ?? [])
    const cells = [
      contender.name,
      `${whole(median(rates))} [${whole(Math.min(...rates))}–${whole(Math.max(...rates))}]`,
      median(all.map((run, round) => run.rate / (baseline[round]?.rate ?? Number.NaN))).toFixed(2),
      cpu.length === 0 ? '?' : whole(median(cpu)),
      whole(median(all.map(run => run.p50))),
      whole(median(all.map(run => run.p99))),
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
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: source('..'), stdio: ['ignore', 2, 2] })
  const contenders = [
    await startScript('smtp-server', 'lmtp-smtp-server.ts'),
    await startScript('discard', 'lmtp-sink.ts'),
    await startScript('maildir', 'lmtp-sink.ts', join(folder, 'mail')),
    await startPostern('serve'),
  ]
  const sender = await Load.start()
  for (const contender of contenders) await measure(sender, contender, WARM_UP_MS)
  const runs = new Map<Contender, Run[]>(contenders.map(contender => [contender, []]))
  for (let round = 0; round < ROUNDS; round++) {
    for (const contender of contenders) runs.get(contender)?.push(await measure(sender, contender, RUN_MS))
  }
  report(contenders, runs)
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
