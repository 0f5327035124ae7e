/** The figures of several processes as those of one. */
import { describe, expect, test } from 'vitest'
import { Meters } from '../../src/app/meters.ts'
import { combined, departed, readingOf } from '../../src/app/meters-reading.ts'

function meters(at: number): Meters {
  const made = new Meters(() => at)
  made.decisions.add(['policy', 'RCPT', 'reject', 'sender-not-permitted'])
  made.copies.add(['maildir', 'delivered'])
  made.lookups.add(['lists', 'found'])
  made.latencies.set('policy', { counts: [1, 2], sum: 3 })
  Object.assign(made.connections.policy, { open: 2, accepted: 5, refused: 1 })
  made.milter.messages = 4
  made.sink.messages = 6
  made.storeState('up')
  return made
}

describe('figures of several processes', () => {
  test('a reading is what was read, and changes no more', () => {
    const one = meters(10)
    const reading = readingOf(one)
    one.connections.policy.open = 99
    one.decisions.add(['policy', 'RCPT', 'accept', 'sender-permitted'])
    expect(reading.connections.policy.open).toBe(2)
    expect(reading.decisions).toEqual([[['policy', 'RCPT', 'reject', 'sender-not-permitted'], 1]])
    expect(readingOf(combined([reading])).decisions).toEqual(reading.decisions)
  })

  test('counts are summed; what is said of the state is what is said of the worst', () => {
    const [one, other] = [meters(10), meters(20)]
    other.storeState('down')
    other.reloaded(false)
    const all = combined([one, other].map(readingOf))
    expect(all.decisions.counts()).toEqual([[['policy', 'RCPT', 'reject', 'sender-not-permitted'], 2]])
    expect(all.copies.counts()).toEqual([[['maildir', 'delivered'], 2]])
    expect(all.lookups.counts()).toEqual([[['lists', 'found'], 2]])
    expect(all.latencies.get('policy')).toMatchObject({ sum: 6 })
    expect(all.latencies.get('policy')?.counts.slice(0, 3)).toEqual([2, 4, 0])
    expect(all.connections.policy).toEqual({ open: 4, accepted: 10, refused: 2 })
    expect([all.milter.messages, all.sink.messages]).toEqual([8, 12])
    expect(all.store).toEqual({ isUp: false, heardAt: 20, failures: 1, outages: 1 })
    expect(all.reload).toEqual({ wasSuccessful: false, succeededAt: 10 })
  })

  test('who has gone has counted, and is in no state', () => {
    const [one, gone] = [meters(10), meters(5)]
    gone.storeState('down')
    gone.reloaded(false)
    const all = combined([readingOf(one), departed(readingOf(gone))])
    expect(all.connections.policy).toEqual({ open: 2, accepted: 10, refused: 2 })
    expect(all.store).toMatchObject({ isUp: true, failures: 1 })
    expect(all.reload).toEqual({ wasSuccessful: true, succeededAt: 10 })
  })
})
