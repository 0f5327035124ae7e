/**
 * Measures milters behind Postfix: messages a second by Postfix's own `smtp-source`, 20 sessions at a time, each message
 * in a session of its own. Each server has a Postfix of its own, which delivers by discarding, and they take turns.
 */
import { execFile } from 'node:child_process'
import { loadavg } from 'node:os'
import { promisify } from 'node:util'
import { type Postfix, startPostfix } from '../test/support/postfix.ts'
import {
  type Contender,
  median,
  processorTime,
  startAll,
  stop,
  TRANSPORTS,
  type Transport,
  whole,
} from './milter-servers.ts'
import { POSTER } from './milter-world.ts'

const SESSIONS = 20
const ROUNDS = 5
const MESSAGES = 200
/** Of each message, in octets. */
const SIZE = 4096
const WARM_UP_MS = 1500

/** The filter on libmilter, and the direct client. */
interface Programs {
  readonly filter: string
  readonly load: string
}

/** One Postfix, and the filter that it asks, if it asks one. */
interface Site {
  readonly postfix: Postfix
  readonly milter: Contender | undefined
}

interface Run {
  /** Messages a second. */
  readonly rate: number
  /** Microseconds of the filter's processor time for each message, where the system tells. */
  readonly milterCpu: number | undefined
}

/** Postfix takes everything from this host, asks the filter about it, and drops it. */
function mainCf(milter: Contender | undefined): string {
  const where = milter?.where ?? ''
  const endpoint = where.startsWith('/') ? `unix:${where}` : `inet:127.0.0.1:${where}`
  return `smtpd_milters = ${milter === undefined ? '' : endpoint}
milter_default_action = tempfail
mynetworks = 127.0.0.0/8
default_transport = discard
relay_transport = discard
relayhost =
default_process_limit = 100
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
`
}

async function measure({ postfix, milter }: Site): Promise<Run> {
  const { host, port } = postfix.endpoint
  const before = processorTime(milter?.process.pid)
  const start = performance.now()
  await promisify(execFile)('smtp-source', [
    ...['-s', String(SESSIONS), '-m', String(MESSAGES), '-l', String(SIZE)],
    ...['-f', POSTER, '-t', 'team@lists.example.org', `${host}:${port}`],
  ])
  const took = performance.now() - start
  const after = processorTime(milter?.process.pid)
  await postfix.waitForEmptyQueue()
  const milterCpu = before === undefined || after === undefined ? undefined : (after - before) / MESSAGES
  return { rate: (1000 * MESSAGES) / took, milterCpu }
}

function report(title: string, all: ReadonlyMap<Site, readonly Run[]>): void {
  const [baseline = []] = all.values()
  const busy = loadavg()[0]?.toFixed(1)
  console.log(
    `\n${title}, through Postfix, ${SESSIONS} sessions at a time, ${ROUNDS} rounds of ${MESSAGES} messages, ` +
      `load average ${busy} afterwards\n`,
  )
  console.log('| filter | messages/s, median [min–max] | ratio to none | filter CPU µs each |')
  console.log('|---|---|---|---|')
  for (const [{ milter }, runs] of all) {
    const rates = runs.map(run => run.rate)
    const ratio = median(runs.map((run, round) => run.rate / (baseline[round]?.rate ?? Number.NaN)))
    const cpu = runs.flatMap(run => run.milterCpu ?? [])
    const cells = [
      milter?.name ?? 'none',
      `${whole(median(rates))} [${whole(Math.min(...rates))}–${whole(Math.max(...rates))}]`,
      ratio.toFixed(2),
      cpu.length === 0 ? '' : whole(median(cpu)),
    ]
    console.log(`| ${cells.join(' | ')} |`)
  }
}

async function measureAll({ filter, load }: Programs, transport: Transport, trace: boolean): Promise<void> {
  const milters = await startAll(['C', 'front', 'serve'], { filter, transport, trace })
  const sites: Site[] = []
  try {
    for (const milter of [undefined, ...milters]) {
      sites.push({ postfix: await startPostfix({ snippets: [], mainCf: mainCf(milter) }), milter })
    }
    // Node's code is compiled as it runs, and Postfix's processes start when they are needed.
    for (const { where } of milters) {
      await promisify(execFile)(load, [where, trace ? 'trace' : 'full', String(SESSIONS), String(WARM_UP_MS)])
    }
    for (const site of sites) await measure(site)
    const runs = new Map<Site, Run[]>(sites.map(site => [site, []]))
    for (let round = 0; round < ROUNDS; round++) {
      for (const site of sites) runs.get(site)?.push(await measure(site))
    }
    report(`${trace ? 'a field added' : 'nothing changed'}, ${transport}`, runs)
  } finally {
    for (const { postfix } of sites) await postfix.stop()
    await stop(milters)
  }
}

/** Measures on both kinds of socket, and with and without a change to the message. */
export async function measureThroughPostfix(programs: Programs): Promise<void> {
  for (const transport of TRANSPORTS) {
    for (const trace of [false, true]) await measureAll(programs, transport, trace)
  }
}
