/** The writer of the journal: what it does while its store is slow, away, or answers and is not heard. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { periodStart } from '../../src/app/counters.ts'
import type { Decided } from '../../src/app/gate.ts'
import type { JournalBatch, Retention } from '../../src/app/journal.ts'
import { JournalWriter, MAX_WAITING } from '../../src/app/journal-writer.ts'
import type { Log } from '../../src/app/log.ts'
import { StoreUnavailable } from '../../src/app/ports.ts'
import { replyFor } from '../../src/core/reason.ts'
import { NO_CLOAK } from '../../src/daemon/address-cloak.ts'
import { KEEP, TEAM } from '../conformance/journal-conformance.ts'
import { MemoryJournal } from '../support/memory-journal.ts'
import { address, reversePath } from '../support/vectors.ts'

const DAY = (): string[] => [periodStart('day', Date.now())]

function decided(sender = 'eve@example.com', message?: string): Decided {
  const reply = replyFor('sender-not-permitted', { list: TEAM })
  return {
    tx: {
      phase: 'RCPT',
      front: 'policy',
      client: {},
      sender: reversePath(sender),
      recipient: address('team@lists.example.org'),
      recipientsBefore: 0,
      ...(message !== undefined && { message }),
    },
    verdict: { kind: 'reject', reason: 'sender-not-permitted', rule: 'sender-permitted', reply, list: TEAM },
    at: Date.now(),
    latency: 1,
    queueId: undefined,
  }
}

/** A memory journal that can fail, before or after it has written. */
class Fallible extends MemoryJournal {
  fails: 'never' | 'before' | 'after' | 'for good' = 'never'
  batches = 0

  override async append(batch: JournalBatch, retention: Retention): Promise<void> {
    this.batches++
    if (this.fails === 'before') throw new StoreUnavailable('away')
    if (this.fails === 'for good') throw new Error('of another type')
    await super.append(batch, retention)
    if (this.fails === 'after') throw new StoreUnavailable('no answer')
  }
}

let sink: Fallible
let said: [string, unknown][]
let writer: JournalWriter

beforeEach(() => {
  vi.useFakeTimers({ now: Date.UTC(2026, 10, 22, 12) })
  sink = new Fallible()
  said = []
  const say = (message: string, fields?: object): void => void said.push([message, fields])
  const log: Log = { debug: say, info: say, warn: say, error: say }
  writer = new JournalWriter({
    sink,
    node: 'mx1',
    version: '0.1.0',
    pid: 7,
    writer: 'w',
    retention: { ...KEEP, maxEvents: 100_000 },
    addresses: NO_CLOAK,
    clock: Date.now,
    log,
  })
})
afterEach(() => {
  vi.useRealTimers()
})

const messages = (): string[] => said.map(([message]) => message)

describe('in batches', () => {
  test('of what came within a tenth of a second', async () => {
    for (let at = 0; at < 10; at++) writer.record(decided())
    expect(sink.batches).toBe(0)
    await vi.advanceTimersByTimeAsync(100)
    expect([sink.batches, await sink.count()]).toEqual([1, 10])
    expect(writer.heartbeat()).toMatchObject({ written: 10, waiting: 0, lost: 0 })
  })

  test('of two hundred at most, one after the other', async () => {
    for (let at = 0; at < 1000; at++) writer.record(decided())
    await vi.advanceTimersByTimeAsync(100)
    expect([sink.batches, await sink.count()]).toEqual([5, 1000])
  })

  test('repetitions are counted, and are no events', async () => {
    for (let at = 0; at < 4; at++) writer.record(decided('eve@example.com', 'm1'))
    writer.record(decided('eve@example.com', 'm2'))
    writer.record(decided('eve@example.com'))
    writer.record(decided('eve@example.com'))
    await vi.advanceTimersByTimeAsync(100)
    expect(await sink.count()).toBe(4)
    const [day] = await sink.figures('day', DAY())
    expect([day!.get('decisions'), day!.get('repeated')]).toEqual([4, 3])
    await vi.advanceTimersByTimeAsync(600_000)
    writer.record(decided('eve@example.com', 'm1'))
    await vi.advanceTimersByTimeAsync(100)
    expect(await sink.count()).toBe(5)
  })
})

describe('the store away', () => {
  test('nothing is lost as long as there is room, and all is counted once', async () => {
    sink.fails = 'before'
    for (let at = 0; at < 500; at++) writer.record(decided())
    await vi.advanceTimersByTimeAsync(60_000)
    expect(writer.heartbeat()).toMatchObject({ written: 0, waiting: 500, lost: 0 })
    sink.fails = 'never'
    await vi.advanceTimersByTimeAsync(2000)
    expect(writer.heartbeat()).toMatchObject({ written: 500, waiting: 0, lost: 0 })
    expect(messages()).toEqual(['journal not written', 'journal written again'])
    const [day] = await sink.figures('day', DAY())
    expect(day!.get('decisions')).toBe(500)
  })

  test('an answer that was lost doubles nothing', async () => {
    sink.fails = 'after'
    for (let at = 0; at < 500; at++) writer.record(decided())
    await vi.advanceTimersByTimeAsync(5000)
    expect(sink.batches).toBeGreaterThan(2)
    sink.fails = 'never'
    await vi.advanceTimersByTimeAsync(2000)
    expect(await sink.count()).toBe(500)
    const [day] = await sink.figures('day', DAY())
    expect(day!.get('decisions')).toBe(500)
  })

  test('beyond what there is room for, events are lost, counted and told of once', async () => {
    sink.fails = 'before'
    const more = 700
    for (let at = 0; at < 300; at++) writer.record(decided())
    await vi.advanceTimersByTimeAsync(200)
    for (let at = 0; at < MAX_WAITING + more; at++) writer.record(decided())
    const { lost, waiting } = writer.heartbeat()
    expect([lost, lost + waiting]).toEqual([more + 100, MAX_WAITING + more + 300])
    sink.fails = 'never'
    await vi.advanceTimersByTimeAsync(5000)
    expect(messages()).toEqual([
      'journal not written',
      'journal entries are being lost',
      'journal written again',
    ])
    expect(said[2]![1]).toMatchObject({ lost })
    const [day] = await sink.figures('day', DAY())
    expect([day!.get('decisions'), day!.get('lost')]).toEqual([MAX_WAITING + 200, lost])
    expect(await sink.count()).toBe(MAX_WAITING + 200)
  })

  test('a batch that can never be written is lost, and the next one is not', async () => {
    sink.fails = 'for good'
    for (let at = 0; at < 5; at++) writer.record(decided())
    await vi.advanceTimersByTimeAsync(100)
    sink.fails = 'never'
    for (let at = 0; at < 3; at++) writer.record(decided())
    await vi.advanceTimersByTimeAsync(3000)
    expect(writer.heartbeat()).toMatchObject({ written: 3, lost: 5, waiting: 0 })
    const [day] = await sink.figures('day', DAY())
    expect([day!.get('decisions'), day!.get('lost')]).toEqual([3, 5])
  })
})

describe('the end', () => {
  test('writes what there is, and says that the node has stopped', async () => {
    writer.start()
    for (let at = 0; at < 450; at++) writer.record(decided())
    await writer.close()
    expect(await sink.count()).toBe(450)
    expect(await sink.nodes()).toMatchObject([{ node: 'mx1', state: 'stopped', written: 450 }])
  })

  test('does not wait for ever, and says what is lost', async () => {
    sink.fails = 'before'
    for (let at = 0; at < 5; at++) writer.record(decided())
    const closed = writer.close()
    await vi.advanceTimersByTimeAsync(5000)
    await closed
    expect(messages().at(-1)).toBe('journal entries lost at the end')
    expect(said.at(-1)![1]).toMatchObject({ lost: 5 })
  })
})

test('a node tells every few seconds how it is', async () => {
  writer.start()
  writer.record(decided())
  await vi.advanceTimersByTimeAsync(5000)
  expect(await sink.nodes()).toMatchObject([
    { node: 'mx1', pid: 7, written: 1, time: Date.now(), state: 'serving' },
  ])
})
