/**
 * What every journal promises (`src/app/journal.ts`), as tests that each adapter runs: the memory journal of other tests, the
 * embedded store, and Redis.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { lastStarts, PERIODS, periodStart, tally } from '../../src/app/counters.ts'
import type { Heartbeat, JournalBatch, JournalStore, Retention } from '../../src/app/journal.ts'
import type { JournalEvent } from '../../src/app/journal-event.ts'
import { address } from '../support/vectors.ts'

export interface JournalUnderTest {
  readonly journal: JournalStore
  /** Another handle to the same data. */
  readonly other: JournalStore
  close(): Promise<void>
}

export const TEAM = address('team@lists.example.org').key
export const NEWS = address('news@lists.example.org').key

/** Enough for what a test writes. */
export const KEEP: Retention = { maxEvents: 10_000, keep: { minute: 60, hour: 48, day: 30 } }

/** A refusal, unless the fields say otherwise. */
export function event(fields: Partial<JournalEvent> = {}): JournalEvent {
  return {
    time: Date.now(),
    node: 'mx1',
    front: 'policy',
    phase: 'RCPT',
    verdict: 'reject',
    reason: 'sender-not-permitted',
    rule: 'sender-permitted',
    reply: '550 5.7.2 You are not permitted to post to team@lists.example.org',
    latency: 1,
    client: '192.0.2.1',
    sender: 'eve@example.com',
    senderDomain: 'example.com',
    recipient: 'team@lists.example.org',
    list: TEAM,
    ...fields,
  }
}

export const ACCEPTED = {
  verdict: 'accept',
  reason: 'sender-permitted',
  reply: '250 2.1.5 Ok',
  sender: 'alice@example.net',
  senderDomain: 'example.net',
} as const

export function batch(id: string, events: readonly JournalEvent[], writer = 'writer'): JournalBatch {
  return { writer, id, events, tallies: tally(events) }
}

const BEAT: Heartbeat = {
  node: 'mx1',
  pid: 7,
  version: '0.1.0',
  started: 1000,
  time: Date.now(),
  state: 'serving',
  written: 3,
  lost: 2,
  waiting: 1,
}

export function describeJournal(name: string, make: () => Promise<JournalUnderTest>): void {
  describe(name, () => {
    let made: JournalUnderTest
    let journal: JournalStore
    const append = (...batches: JournalBatch[]): Promise<void> =>
      batches.reduce((before, each) => before.then(() => journal.append(each, KEEP)), Promise.resolve())

    beforeEach(async () => {
      made = await make()
      journal = made.journal
    })
    afterEach(() => made.close())

    test('an empty one', async () => {
      expect(await journal.before(undefined, 10)).toEqual([])
      expect(await journal.after(undefined, 10)).toEqual([])
      expect(await journal.count()).toBe(0)
      expect(await journal.figures('hour', ['2026-11-22T14'])).toEqual([new Map()])
      expect(await journal.figures('hour', [])).toEqual([])
      expect(await journal.listFigures(TEAM, 'day', ['2026-11-22'])).toEqual([new Map()])
      expect(await journal.top('senders', 'day', ['2026-11-22'], 5)).toEqual([])
      expect(await journal.uniqueSenders('day', ['2026-11-22'])).toBe(0)
      expect(await journal.nodes()).toEqual([])
    })

    test('events come back as they were, from another handle', async () => {
      const events = [
        event(),
        event({ ...ACCEPTED, sender: '', clientName: 'mx.example.net', helo: '', queueId: '4ABC' }),
        event({
          phase: 'END-OF-MESSAGE',
          front: 'lmtp',
          authors: ['a@example.net', '"b c"@example.net'],
          size: 12,
          settledAtRcpt: false,
          afterAcceptance: true,
          verdict: 'hold',
          reason: 'late-refusal-held',
          inPlaceOf: 'sender-not-permitted',
          service: 'owner',
          user: 'ann',
          message: '1.2 192.0.2.1',
          recipientsBefore: 3,
          ref: 'K7Q2M9XP',
        }),
        event({
          verdict: 'accept',
          reason: 'shadow',
          would: 'reject',
          wouldReason: 'sender-banned',
          authors: [],
        }),
        event({ sender: 'bücher@example.net', helo: '\ufffd "quotes" <x>' }),
      ]
      await append(batch('1', events))
      const found = await made.other.after(undefined, 10)
      expect(found.map(({ id, ...rest }) => rest)).toEqual(events)
      expect(await made.other.count()).toBe(5)
    })

    test('events are read onwards and backwards, a page at a time', async () => {
      const events = Array.from({ length: 7 }, (_, size) => event({ size }))
      await append(batch('1', events.slice(0, 3)), batch('2', events.slice(3)))
      const sizes = (found: readonly JournalEvent[]): unknown[] => found.map(({ size }) => size)
      const first = await journal.after(undefined, 3)
      expect(sizes(first)).toEqual([0, 1, 2])
      const next = await journal.after(first[2]!.id, 3)
      expect(sizes(next)).toEqual([3, 4, 5])
      expect(sizes(await journal.after(next[2]!.id, 3))).toEqual([6])
      const [last] = await journal.before(undefined, 1)
      expect(sizes([last!])).toEqual([6])
      expect(await journal.after(last!.id, 3)).toEqual([])
      expect(sizes(await journal.before(last!.id, 3))).toEqual([5, 4, 3])
      expect(sizes(await journal.before(first[1]!.id, 3))).toEqual([0])
      expect(new Set((await journal.after(undefined, 10)).map(({ id }) => id)).size).toBe(7)
      for (const { id } of first) expect(id).toMatch(/^\d{13}-\d+$/)
    })

    test('after a time that is written as an id', async () => {
      await append(batch('1', [event({ size: 1 })]))
      expect(await journal.after('0-0', 10)).toHaveLength(1)
      expect(await journal.after(`${Date.now() + 60_000}-0`, 10)).toEqual([])
      expect(await journal.before(`${Date.now() - 60_000}-0`, 10)).toEqual([])
    })

    test('a batch counts once, however often it is written', async () => {
      const one = batch('1', [event(), event(ACCEPTED)])
      const two = batch('2', [event()])
      await append(one, one, two, two)
      await made.other.append(two, KEEP)
      await made.other.append(batch('2', [event()], 'another writer'), KEEP)
      expect(await journal.count()).toBe(4)
      const [day] = await journal.figures('day', [periodStart('day', Date.now())])
      expect(day!.get('decisions')).toBe(4)
    })

    test('counters are those of the events, for the site and for each list', async () => {
      const time = Date.now()
      await append(
        batch('1', [event({ time }), event({ time, list: NEWS }), event({ ...ACCEPTED, time })]),
        batch('2', [event({ time, latency: 7 }), event({ ...ACCEPTED, time, reason: 'existence-only' })]),
      )
      for (const period of PERIODS) {
        const starts = [periodStart(period, time)]
        const [site] = await made.other.figures(period, starts)
        expect(Object.fromEntries(site!)).toEqual({
          decisions: 4,
          probes: 1,
          'verdict:reject': 3,
          'verdict:accept': 1,
          'reason:sender-not-permitted': 3,
          'reason:sender-permitted': 1,
          'reject:sender-not-permitted': 3,
          'accept:sender-permitted': 1,
          'front:policy': 4,
          'at:policy:RCPT:reject': 3,
          'at:policy:RCPT:accept': 1,
          'latency:1': 3,
          'latency:10': 1,
        })
        const [team] = await made.other.listFigures(TEAM, period, starts)
        expect(Object.fromEntries(team!)).toEqual({
          probes: 1,
          'verdict:reject': 2,
          'verdict:accept': 1,
          'reason:sender-not-permitted': 2,
          'reason:sender-permitted': 1,
        })
      }
    })

    test('who is refused most, over several periods', async () => {
      const now = Date.now()
      const from = (sender: string, time: number, fields = {}): JournalEvent =>
        event({ sender, senderDomain: sender.split('@')[1]!, time, ...fields })
      await append(
        batch('1', [from('a@x.example', now), from('A@x.example', now), from('b@y.example', now)]),
        batch('2', [from('b@y.example', now - 3_600_000), from('b@y.example', now - 3_600_000)]),
        batch('3', [event({ ...ACCEPTED, time: now, list: NEWS })]),
      )
      const hours = lastStarts('hour', 2, now)
      expect(await journal.top('senders', 'hour', hours, 5)).toEqual([
        { name: 'b@y.example', count: 3 },
        { name: 'a@x.example', count: 2 },
      ])
      expect(await journal.top('domains', 'hour', hours.slice(1), 1)).toEqual([
        { name: 'x.example', count: 2 },
      ])
      expect(await journal.top('lists', 'hour', hours, 5)).toEqual([{ name: TEAM, count: 5 }])
      expect(await journal.uniqueSenders('hour', hours)).toBe(3)
      expect(await journal.uniqueSenders('hour', hours.slice(0, 1))).toBe(1)
    })

    test('many senders are counted to two in a hundred', async () => {
      const events = Array.from({ length: 3000 }, (_, at) => event({ sender: `user${at}@example.net` }))
      await append(batch('1', events))
      const unique = await journal.uniqueSenders('day', [periodStart('day', Date.now())])
      expect(Math.abs(unique - 3000)).toBeLessThan(150)
    })

    test('a node is as it told last', async () => {
      await journal.beat(BEAT)
      await journal.beat({ ...BEAT, written: 9, state: 'stopped' })
      await journal.beat({ ...BEAT, node: 'mx0' })
      expect(await made.other.nodes()).toEqual([
        { ...BEAT, node: 'mx0' },
        { ...BEAT, written: 9, state: 'stopped' },
      ])
    })

    test('the stream is bounded', async () => {
      const retention: Retention = { ...KEEP, maxEvents: 500 }
      for (let at = 0; at < 12; at++) {
        const events = Array.from({ length: 200 }, () => event({ size: at }))
        await journal.append(batch(String(at), events), retention)
      }
      const count = await journal.count()
      // Redis takes whole nodes of its stream away, of a hundred entries each.
      expect(count).toBeGreaterThanOrEqual(500)
      expect(count).toBeLessThan(620)
      expect((await journal.before(undefined, 1))[0]?.size).toBe(11)
      expect(await journal.before(undefined, 3000)).toHaveLength(count)
      const [day] = await journal.figures('day', [periodStart('day', Date.now())])
      expect(day!.get('decisions')).toBe(2400)
    })

    test('top lists are bounded, and keep those with the most', async () => {
      const often = Array.from({ length: 5 }, () => event({ sender: 'often@example.net' }))
      for (let at = 0; at < 3; at++) {
        const others = Array.from({ length: 2000 }, (_, index) =>
          event({ sender: `u${at}-${index}@example.net` }),
        )
        await append(batch(String(at), [...often, ...others]))
      }
      const start = periodStart('day', Date.now())
      const top = await journal.top('senders', 'day', [start], 100_000)
      expect(top.length).toBeLessThanOrEqual(4000)
      expect(top[0]).toEqual({ name: 'often@example.net', count: 15 })
    })

    test('a batch without events has its counters', async () => {
      const time = Date.now()
      const tallies = tally([], { time, repeated: 3, lost: 2 })
      await append({ writer: 'writer', id: '1', events: [], tallies })
      const [minute] = await journal.figures('minute', [periodStart('minute', time)])
      expect(minute).toEqual(
        new Map([
          ['repeated', 3],
          ['lost', 2],
        ]),
      )
    })
  })
}
