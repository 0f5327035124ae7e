/**
 * The figures for Prometheus: what `Meters` has counted, under the names that `docs/metrics.md` lists. Everything is read
 * when somebody asks. Every label has a closed set of values; those of `delivery` are the configuration's names.
 */
import { AggregatorRegistry, Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { HeldQueue } from '../app/held.ts'
import type { Log } from '../app/log.ts'
import { COPY_OUTCOMES, LOOKUP_RESULTS, METERED_FRONTS, type Meters } from '../app/meters.ts'
import type { Figures } from '../app/meters-reading.ts'
import { type Front, PHASES } from '../core/transaction.ts'
import { lately } from './lately.ts'
import { latencyHistogram } from './latency.ts'

export interface MetricsParts {
  readonly meters: Meters
  /** Whether the store answers; asks it, if it has not been heard of lately. */
  readonly isStoreUp: () => Promise<boolean>
  /** Whether `/readyz` says so. */
  readonly isReady: () => Promise<boolean>
  readonly version: string
  /** The names of the configuration's deliveries. */
  readonly deliveries: () => readonly string[]
  /** The queue of messages that wait for a moderator. */
  readonly held: Pick<HeldQueue, 'waitingSince'>
  readonly log: Log
  /** The maps of socketmap. */
  readonly maps: readonly string[]
  /** Where several processes answer: the figures of all of them, and what each says of itself. */
  readonly gather?:
    | (() => Promise<{ readonly figures: Figures; readonly processes: readonly object[] }>)
    | undefined
}

export interface Metrics {
  readonly contentType: string
  /** The figures as they are now. Who asks while others wait gets theirs. */
  text(): Promise<string>
  /** What prom-client says of this process, for `MetricsParts.gather`. */
  process(): Promise<readonly object[]>
}

/** To count what is held is to look into a directory of each list: not more often than so many milliseconds. */
const HELD_AGE = 30_000

/** The values of a series' labels, in the order of their names, and its value. */
type Series = readonly [labels: readonly string[], value: number]

/** What there is before anything has happened, and then what has been counted. */
function withZeros(zeros: readonly (readonly string[])[], counted: readonly Series[]): readonly Series[] {
  return [...zeros.map(labels => [labels, 0] as const), ...counted]
}

function pairs(first: readonly string[], second: readonly string[]): readonly (readonly string[])[] {
  return first.flatMap(one => second.map(other => [one, other]))
}

/** The fronts that ask the gate. */
const ASKING = ['policy', 'milter', 'lmtp'] as const satisfies readonly Front[]

/** The answers that come of our own failures are there from the start, so that their first one is seen as an increase. */
const OWN_FAULTS = ASKING.flatMap(front =>
  PHASES.flatMap(phase =>
    ['store-unavailable', 'internal-error'].map(reason => [front, phase, 'defer', reason]),
  ),
)

/** What a delivery says of its copies, and what becomes of copies that never come to one. */
function copiesBefore(deliveries: readonly string[]): readonly (readonly string[])[] {
  return [
    ...pairs(deliveries, ['delivered', 'held', 'refused', 'failed']),
    ...pairs([''], COPY_OUTCOMES.slice(2)),
  ]
}

async function countWaiting(queue: MetricsParts['held']): Promise<number> {
  let count = 0
  for await (const _ of queue.waitingSince(Number.POSITIVE_INFINITY)) count++
  return count
}

/** Makes the figures. */
export function createMetrics(parts: MetricsParts): Metrics {
  let meters: Figures = parts.meters
  const register = new Registry()
  const ofProcess = new Registry()
  const registers = [register]

  type Read = () => readonly Series[] | Promise<readonly Series[]>

  const labelled = <L extends string>(labelNames: readonly L[], labels: readonly string[]) =>
    Object.fromEntries(labelNames.map((name, place) => [name, labels[place] ?? ''])) as Record<L, string>

  function counter(name: string, help: string, labelNames: readonly string[], read: Read): void {
    new Counter({
      name,
      help,
      labelNames,
      registers,
      async collect() {
        this.reset()
        for (const [labels, value] of await read()) this.inc(labelled(labelNames, labels), value)
      },
    })
  }

  function gauge(name: string, help: string, labelNames: readonly string[], read: Read): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      async collect() {
        this.reset()
        for (const [labels, value] of await read()) this.set(labelled(labelNames, labels), value)
      },
    })
  }

  const held = lately(() => countWaiting(parts.held), HELD_AGE, Date.now)
  const single = (value: number): readonly Series[] => [[[], value]]
  const byFront = (count: 'open' | 'accepted' | 'refused') => (): readonly Series[] =>
    METERED_FRONTS.map(front => [[front], meters.connections[front][count]])

  gauge(
    'postern_build_info',
    'The version that runs, and that of Node.js; always 1',
    ['version', 'node'],
    () => [[[parts.version, process.versions.node], 1]],
  )
  gauge('postern_ready', 'Whether it can do its work, as /readyz says', [], async () =>
    single(Number(await parts.isReady())),
  )
  counter('postern_decisions_total', 'Decisions of the gate', ['front', 'phase', 'verdict', 'reason'], () =>
    withZeros(OWN_FAULTS, meters.decisions.counts()),
  )
  gauge('postern_store_up', 'Whether the store answers', [], async () =>
    single(Number(await parts.isStoreUp())),
  )
  counter('postern_store_errors_total', 'Questions that the store did not answer', [], () =>
    single(meters.store.failures),
  )
  counter('postern_store_outages_total', 'Times that the store went away', [], () =>
    single(meters.store.outages),
  )
  gauge('postern_connections', 'Connections that are open', ['front'], byFront('open'))
  counter('postern_connections_total', 'Connections that were served', ['front'], byFront('accepted'))
  counter(
    'postern_connections_refused_total',
    'Connections that were closed unserved',
    ['front'],
    byFront('refused'),
  )
  counter('postern_milter_messages_total', 'Messages that the milter let MAIL through for', [], () =>
    single(meters.milter.messages),
  )
  counter(
    'postern_milter_other_messages_total',
    'Messages at the milter that turned out to be none for a list, and were not looked at further',
    [],
    () => single(meters.milter.otherMessages),
  )
  counter(
    'postern_milter_recipients_refused_by_mta_total',
    'Recipients that the MTA had refused itself, as it told the milter',
    [],
    () => single(meters.milter.refusedByMta),
  )
  counter('postern_sink_messages_total', 'Messages that the sink took in, whatever became of them', [], () =>
    single(meters.sink.messages),
  )
  counter(
    'postern_sink_copies_total',
    "Recipients' copies by what became of them; the delivery is empty where none had to do with it",
    ['delivery', 'outcome'],
    () => withZeros(copiesBefore(parts.deliveries()), meters.copies.counts()),
  )
  gauge(
    'postern_held_messages',
    'Messages that wait for a moderator, counted every half minute; NaN where they cannot be',
    [],
    async () => {
      try {
        return single(await held())
      } catch (cause) {
        parts.log.warn('held messages not counted', { cause })
        return single(Number.NaN)
      }
    },
  )
  counter(
    'postern_socketmap_lookups_total',
    'Look-ups by socketmap; the map is `unknown` where there is none of the name',
    ['map', 'result'],
    () => withZeros(pairs([...parts.maps, 'unknown'], LOOKUP_RESULTS), meters.lookups.counts()),
  )
  gauge(
    'postern_config_last_reload_successful',
    'Whether the configuration was gone over to when that was last asked for',
    [],
    () => single(Number(meters.reload.wasSuccessful)),
  )
  gauge(
    'postern_config_last_reload_success_timestamp_seconds',
    'When the configuration was last gone over to; the start counts',
    [],
    () => single(meters.reload.succeededAt / 1000),
  )
  collectDefaultMetrics({ register: ofProcess })

  const write = async (): Promise<string> => {
    let processes = ofProcess
    if (parts.gather !== undefined) {
      const all = await parts.gather()
      meters = all.figures
      processes = AggregatorRegistry.aggregate([...all.processes])
    }
    // prom-client writes what is not a number in a way of its own.
    const figures = `${await register.metrics()}\n${await processes.metrics()}`.replace(/ Nan$/gm, ' NaN')
    const decisions = latencyHistogram(
      'postern_decision_duration_seconds',
      'From question to answer of a decision, counted in whole milliseconds',
      ASKING,
      meters.latencies,
    )
    return `${figures}\n${decisions}`
  }
  let writing: Promise<string> | undefined
  return {
    contentType: register.contentType,
    process: () => ofProcess.getMetricsAsJSON(),
    text: () => {
      writing ??= write().finally(() => {
        writing = undefined
      })
      return writing
    },
  }
}
