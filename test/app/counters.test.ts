/** Counters: what an event adds to them, and that nothing is lost or doubled on the way to larger periods. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  LATENCY_BOUNDS,
  lastStarts,
  latencyClass,
  listCounters,
  PERIOD_MS,
  PERIODS,
  type Period,
  periodStart,
  siteCounters,
  type Tally,
  tally,
  timeOfStart,
} from '../../src/app/counters.ts'
import type { JournalEvent } from '../../src/app/journal-event.ts'
import { REASONS } from '../../src/core/reason.ts'
import { PHASES } from '../../src/core/transaction.ts'
import { VERDICT_KINDS } from '../../src/core/verdict.ts'
import { event, NEWS, TEAM } from '../conformance/journal-conformance.ts'

const BEGIN = Date.UTC(2026, 1, 27)

const anyEvent: fc.Arbitrary<JournalEvent> = fc
  .record({
    time: fc.integer({ min: BEGIN, max: BEGIN + 4 * PERIOD_MS.day }),
    verdict: fc.constantFrom(...VERDICT_KINDS),
    reason: fc.constantFrom(...REASONS, 'existence-only' as const),
    front: fc.constantFrom('policy' as const, 'milter' as const, 'lmtp' as const),
    phase: fc.constantFrom(...PHASES),
    latency: fc.nat(10_000),
    list: fc.constantFrom(TEAM, NEWS),
    sender: fc.constantFrom('', 'a@x.example', 'b@x.example', 'c@y.example'),
    would: fc.constantFrom(...VERDICT_KINDS),
    wouldReason: fc.constantFrom(...REASONS),
    shadow: fc.boolean(),
  })
  .map(({ shadow, would, wouldReason, ...fields }) =>
    event({ ...fields, ...(shadow && { would, wouldReason }) }),
  )
const events = fc.array(anyEvent, { maxLength: 40 })

/** Every number of tallies, by a name of its own; a period's start is cut to that of a longer one. */
function numbers(tallies: readonly Tally[], period: Period, as: Period = period): Map<string, number> {
  const sums = new Map<string, number>()
  const add = (name: string, count: number): void => void sums.set(name, (sums.get(name) ?? 0) + count)
  for (const each of tallies) {
    if (each.period !== period) continue
    const start = periodStart(as, timeOfStart(period, each.start))
    for (const [name, count] of each.site) add(`${start} ${name}`, count)
    for (const [list, counts] of each.lists)
      for (const [name, count] of counts) add(`${start} ${list} ${name}`, count)
    if (period === 'minute') continue
    for (const [kind, names] of Object.entries(each.top)) {
      for (const [name, count] of names) add(`${start} ${kind} ${name}`, count)
    }
  }
  return sums
}

function withoutTop(sums: Map<string, number>): Map<string, number> {
  return new Map([...sums].filter(([name]) => !/ (?:senders|domains|lists) /.test(name)))
}

describe('tallies', () => {
  test('the minutes of an hour, and the hours of a day, add up to it', () => {
    fc.assert(
      fc.property(events, all => {
        const tallies = tally(all)
        expect(numbers(tallies, 'minute', 'hour')).toEqual(withoutTop(numbers(tallies, 'hour')))
        expect(numbers(tallies, 'hour', 'day')).toEqual(numbers(tallies, 'day'))
      }),
    )
  })

  test('two batches add up to one', () => {
    fc.assert(
      fc.property(events, events, (one, other) => {
        for (const period of PERIODS) {
          const both = numbers([...tally(one), ...tally(other)], period)
          expect(both).toEqual(numbers(tally([...one, ...other]), period))
        }
      }),
    )
  })

  test('each event is one decision or one probe, in one class of each kind', () => {
    fc.assert(
      fc.property(events, all => {
        const probes = all.filter(({ reason }) => reason === 'existence-only').length
        const sums = new Map<string, number>()
        for (const { site, period } of tally(all)) {
          if (period !== 'day') continue
          for (const [name, count] of site) {
            const [kind = ''] = name.split(':')
            sums.set(kind, (sums.get(kind) ?? 0) + count)
          }
        }
        const decisions = all.length - probes
        expect(sums.get('probes') ?? 0).toBe(probes)
        for (const kind of ['decisions', 'verdict', 'reason', 'front', 'at', 'latency']) {
          expect([kind, sums.get(kind) ?? 0]).toEqual([kind, decisions])
        }
      }),
    )
  })

  test('no counter is named twice by one event', () => {
    fc.assert(
      fc.property(anyEvent, one => {
        for (const names of [siteCounters(one), listCounters(one)])
          expect(new Set(names).size).toBe(names.length)
      }),
    )
  })

  test('a refusal in shadow mode is one of those who would be refused', () => {
    const shadow = event({
      verdict: 'accept',
      reason: 'shadow',
      would: 'reject',
      wouldReason: 'sender-banned',
    })
    const [, hour] = tally([shadow])
    expect([...hour!.top.senders]).toEqual([['eve@example.com', 1]])
    expect(siteCounters(shadow)).toContain('would:reject:sender-banned')
  })
})

describe('periods', () => {
  test('have starts that are told apart and found again', () => {
    fc.assert(
      fc.property(fc.constantFrom(...PERIODS), fc.integer({ min: 0, max: 4e12 }), (period, time) => {
        const begin = timeOfStart(period, periodStart(period, time))
        expect(begin).toBe(Math.floor(time / PERIOD_MS[period]) * PERIOD_MS[period])
      }),
    )
  })

  test('the last ones, over the end of a month', () => {
    expect(lastStarts('day', 3, Date.UTC(2028, 2, 1))).toEqual(['2028-02-28', '2028-02-29', '2028-03-01'])
    expect(lastStarts('minute', 2, Date.UTC(2026, 0, 1))).toEqual(['2025-12-31T23:59', '2026-01-01T00:00'])
  })
})

test('a latency is in the first class that holds it', () => {
  expect([0, 1, 2, 3, 5000, 5001].map(latencyClass)).toEqual([
    'latency:1',
    'latency:1',
    'latency:2',
    'latency:5',
    'latency:5000',
    'latency:more',
  ])
  expect([...LATENCY_BOUNDS].sort((a, b) => a - b)).toEqual([...LATENCY_BOUNDS])
})
