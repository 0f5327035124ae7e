/** Rounds: no time is too short, none too long by more than two of them, and nothing runs for nobody. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Counting, Rounds } from '../../src/milter/rounds.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

/** Somebody who waits for a round, and notes when it comes. */
class Waiting implements Counting {
  due = Number.POSITIVE_INFINITY
  cameAt: number | undefined

  roundBegins(round: number): void {
    if (round >= this.due) this.cameAt ??= Date.now()
  }
}

describe('rounds', () => {
  test.each([
    [1000, 1000, 0],
    [1000, 1000, 60],
    [1000, 30_000, 124],
    [1000, 7_210_000, 1],
    [30, 40, 1],
    [1, 1, 0],
  ])('of times of %d ms at least: %d ms, from %d ms after their beginning', (shortest, time, later) => {
    const waiting = new Waiting()
    const rounds = new Rounds(new Set([waiting]), shortest)
    rounds.run()
    vi.advanceTimersByTime(later)
    const from = Date.now()
    waiting.due = rounds.after(time)
    vi.advanceTimersByTime(2 * time + 1000)
    const round = Math.max(1, Math.floor(shortest / 8))
    expect(waiting.cameAt).toBeGreaterThanOrEqual(from + time)
    expect(waiting.cameAt).toBeLessThanOrEqual(from + time + 2 * round)
  })

  test('end when nobody is left, and begin again', () => {
    const counting = new Set([new Waiting()])
    const rounds = new Rounds(counting, 80)
    expect(vi.getTimerCount()).toBe(0)
    rounds.run()
    rounds.run()
    expect(vi.getTimerCount()).toBe(1)
    counting.clear()
    vi.advanceTimersByTime(10)
    expect(vi.getTimerCount()).toBe(0)
    const late = new Waiting()
    counting.add(late)
    rounds.run()
    late.due = rounds.after(80)
    vi.advanceTimersByTime(200)
    expect(late.cameAt).toBeDefined()
  })
})
