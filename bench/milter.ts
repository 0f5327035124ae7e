/**
 * Measures the milter: sessions a second, 20 at a time, over a unix socket and over TCP, beside a null filter in C on
 * Sendmail's libmilter; by a direct client, then through Postfix. `npm run bench:milter`; it takes about five minutes.
 * `npm run bench:milter -- direct` or `-- postfix` does one of the two. Needs a C compiler, libmilter and its header;
 * for the second part Postfix, and root to start it.
 *
 * Servers and load are processes of their own. Short runs alternate, so that a busy moment of the machine hits all
 * alike, and medians are compared. Postern is built first; its log goes to a file.
 */
import { execFile } from 'node:child_process'
import { cpus, loadavg } from 'node:os'
import { promisify } from 'node:util'
import { whyNoPostfix } from '../test/support/postfix.ts'
import { measureThroughPostfix } from './milter-postfix.ts'
import {
  type Contender,
  cleanUp,
  compiled,
  median,
  prepare,
  processorTime,
  SERVERS,
  startAll,
  stop,
  TRANSPORTS,
  whole,
} from './milter-servers.ts'

const SESSIONS = 20
const ROUNDS = 5
const RUN_MS = 400
/** Of Node's servers, whose code is compiled as it runs. */
const WARM_UP_MS = 1500

const CONVERSATIONS = ['policy', 'full', 'trace'] as const
type Conversation = (typeof CONVERSATIONS)[number]

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

function busy(): string {
  return `load average ${loadavg()[0]?.toFixed(1)}`
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
  const serverCpu = before === undefined || after === undefined ? undefined : (after - before) / sessions
  return { rate: (1000 * sessions) / took, p50, p99, loadCpu: cpu / 1000 / took, serverCpu }
}

function report(title: string, all: ReadonlyMap<Contender, readonly Run[]>): void {
  const [baseline = []] = all.values()
  console.log(
    `\n${title}, ${SESSIONS} sessions at a time, ${ROUNDS} rounds of ${RUN_MS} ms, ${busy()} afterwards\n`,
  )
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

/** Measures all servers. `filter` is the program on libmilter, `load` the direct client. */
async function measureDirectly(filter: string, load: string): Promise<void> {
  for (const transport of TRANSPORTS) {
    for (const trace of [false, true]) {
      const contenders = await startAll(SERVERS, { filter, transport, trace })
      const conversations = CONVERSATIONS.filter(conversation => (conversation === 'trace') === trace)
      for (const contender of contenders) {
        if (contender.name.startsWith('C')) continue
        for (const conversation of conversations) await measure(load, contender, conversation, WARM_UP_MS)
      }
      for (const conversation of conversations) {
        const runs = new Map<Contender, Run[]>(contenders.map(contender => [contender, []]))
        for (let round = 0; round < ROUNDS; round++) {
          for (const contender of contenders)
            runs.get(contender)?.push(await measure(load, contender, conversation, RUN_MS))
        }
        report(`${conversation}, ${transport}`, runs)
      }
      await stop(contenders)
    }
  }
}

async function main(part: string | undefined): Promise<void> {
  const [cpu] = cpus()
  console.log(`Node ${process.version}, ${cpus().length} × ${cpu?.model}, ${busy()} before the start`)
  await prepare()
  const filter = compiled('milter-null', '-lmilter', '-lpthread')
  const load = compiled('milter-client')
  if (part !== 'postfix') await measureDirectly(filter, load)
  const missing = whyNoPostfix()
  if (missing !== undefined) console.log(`\nnot measured through Postfix: ${missing}`)
  else if (part !== 'direct') await measureThroughPostfix({ filter, load })
}

try {
  await main(process.argv[2])
} finally {
  await cleanUp()
}
