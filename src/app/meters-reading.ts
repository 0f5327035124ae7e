/**
 * What `Meters` has counted, as plain data that another process can be told, and the figures of several processes as
 * those of one.
 */
import type { Front } from '../core/transaction.ts'
import {
  type ConnectionCounts,
  connectionCounts,
  LATENCY_LIMITS,
  type Latencies,
  METERED_FRONTS,
  type MeteredFront,
  type Meters,
  Tally,
} from './meters.ts'

/** What is read of meters. */
export type Figures = Pick<
  Meters,
  'decisions' | 'latencies' | 'store' | 'connections' | 'milter' | 'sink' | 'copies' | 'lookups' | 'reload'
>

type Counts<F> = F extends Tally<infer Words> ? readonly (readonly [Words, number])[] : never

/** Figures as data. */
export interface MetersReading extends Pick<Figures, 'store' | 'connections' | 'milter' | 'sink' | 'reload'> {
  readonly decisions: Counts<Figures['decisions']>
  readonly latencies: readonly (readonly [Front, Latencies])[]
  readonly copies: Counts<Figures['copies']>
  readonly lookups: Counts<Figures['lookups']>
}

/** The figures of this moment. */
export function readingOf(figures: Figures): MetersReading {
  const { decisions, latencies, store, connections, milter, sink, copies, lookups, reload } = figures
  return structuredClone({
    decisions: decisions.counts(),
    latencies: [...latencies],
    store,
    connections,
    milter,
    sink,
    copies: copies.counts(),
    lookups: lookups.counts(),
    reload,
  })
}

/** What stays of the figures of a process that has ended: it has counted, and is in no state any more. */
export function departed(reading: MetersReading): MetersReading {
  const connections = {} as Record<MeteredFront, ConnectionCounts>
  for (const front of METERED_FRONTS) connections[front] = { ...reading.connections[front], open: 0 }
  return {
    ...reading,
    connections,
    store: { ...reading.store, isUp: true, heardAt: 0 },
    reload: { wasSuccessful: true, succeededAt: Number.POSITIVE_INFINITY },
  }
}

function summed<Words extends readonly string[]>(
  depth: Words['length'],
  all: readonly (readonly (readonly [Words, number])[])[],
): Tally<Words> {
  const sum = new Tally<Words>(depth)
  for (const [words, count] of all.flat()) sum.add(words, count)
  return sum
}

function summedLatencies(all: readonly MetersReading['latencies'][]): Map<Front, Latencies> {
  const sums = new Map<Front, Latencies>()
  for (const [front, { counts, sum }] of all.flat()) {
    const before = sums.get(front)
    sums.set(front, {
      counts: [...LATENCY_LIMITS, 0].map((_, place) => (before?.counts[place] ?? 0) + (counts[place] ?? 0)),
      sum: (before?.sum ?? 0) + sum,
    })
  }
  return sums
}

/**
 * The figures of all together: counts are summed, the store is up if all find it so, and the configuration is the one
 * that the last of them went over to. An outage that several have noticed is one.
 */
export function combined(readings: readonly MetersReading[]): Figures {
  const total = (count: (reading: MetersReading) => number): number =>
    readings.reduce((sum, reading) => sum + count(reading), 0)
  const connections = {} as Record<MeteredFront, ConnectionCounts>
  for (const front of METERED_FRONTS) {
    connections[front] = connectionCounts()
    for (const count of ['open', 'accepted', 'refused'] as const) {
      connections[front][count] = total(reading => reading.connections[front][count])
    }
  }
  return {
    decisions: summed(
      4,
      readings.map(({ decisions }) => decisions),
    ),
    latencies: summedLatencies(readings.map(({ latencies }) => latencies)),
    store: {
      isUp: readings.every(({ store }) => store.isUp),
      heardAt: Math.max(0, ...readings.map(({ store }) => store.heardAt)),
      failures: total(({ store }) => store.failures),
      outages: Math.max(0, ...readings.map(({ store }) => store.outages)),
    },
    connections,
    milter: {
      connections: total(({ milter }) => milter.connections),
      messages: total(({ milter }) => milter.messages),
      otherMessages: total(({ milter }) => milter.otherMessages),
      refusedByMta: total(({ milter }) => milter.refusedByMta),
    },
    sink: { messages: total(({ sink }) => sink.messages) },
    copies: summed(
      2,
      readings.map(({ copies }) => copies),
    ),
    lookups: summed(
      2,
      readings.map(({ lookups }) => lookups),
    ),
    reload: {
      wasSuccessful: readings.every(({ reload }) => reload.wasSuccessful),
      succeededAt: Math.min(...readings.map(({ reload }) => reload.succeededAt)),
    },
  }
}
