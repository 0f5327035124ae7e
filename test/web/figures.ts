/** The figures of a daemon that has seen something of everything. */
import type { Decided } from '../../src/app/gate.ts'
import { NO_LOG } from '../../src/app/log.ts'
import { COPY_OUTCOMES, LOOKUP_RESULTS, METERED_FRONTS, Meters } from '../../src/app/meters.ts'
import { REASONS, replyFor } from '../../src/core/reason.ts'
import type { Front, Transaction } from '../../src/core/transaction.ts'
import { createMetrics, type Metrics, type MetricsParts } from '../../src/web/metrics.ts'

/** A decision as far as it is counted. */
export function decided(front: Front, verdict: Partial<Decided['verdict']>, latency: number): Decided {
  const tx: Transaction = { phase: 'CONNECT', front, client: {} }
  const full = {
    kind: 'accept',
    reason: 'nothing-to-object',
    rule: 'r',
    reply: replyFor('postmaster'),
  } as const
  return { tx, verdict: { ...full, ...verdict } as Decided['verdict'], at: 0, latency, queueId: undefined }
}

export function busyMeters(): Meters {
  const meters = new Meters(() => 1_700_000_000_500)
  for (const reason of REASONS) meters.decided(decided('policy', { reason }, 3))
  meters.decided(decided('lmtp', {}, 10_001))
  meters.decided(decided('lmtp', {}, 1))
  meters.storeState('down')
  meters.storeState('down')
  for (const front of METERED_FRONTS)
    Object.assign(meters.connections[front], { open: 1, accepted: 2, refused: 3 })
  Object.assign(meters.milter, { connections: 1, messages: 2, otherMessages: 3, refusedByMta: 4 })
  meters.sink.messages = 5
  for (const outcome of COPY_OUTCOMES) meters.copies.add(['maildir', outcome])
  for (const result of LOOKUP_RESULTS) meters.lookups.add(['recipient', result])
  meters.reloaded(false)
  return meters
}

/** A queue in which two messages wait. */
const HELD: MetricsParts['held'] = {
  async *waitingSince() {
    yield* ['a', 'b']
  },
}

export function metricsOf(meters: Meters, held = HELD): Metrics {
  return createMetrics({
    meters,
    version: '1.2.3',
    maps: ['recipient', 'domain'],
    deliveries: () => ['maildir', 'discard'],
    held,
    log: NO_LOG,
    isStoreUp: async () => meters.store.isUp,
    isReady: async () => meters.store.isUp,
  })
}
