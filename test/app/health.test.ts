/** Whether the daemon can do its work: what was heard of the store, and what it says when it is asked. */
import { describe, expect, test } from 'vitest'
import { Health, type HealthParts } from '../../src/app/health.ts'
import { Meters } from '../../src/app/meters.ts'
import { StoreUnavailable } from '../../src/app/ports.ts'

interface World {
  readonly health: Health
  readonly meters: Meters
  /** How often the store was asked. */
  asked: number
  now: number
  store: () => Promise<void>
}

const AWAY = (): Promise<void> => Promise.reject(new StoreUnavailable('away'))
const THERE = (): Promise<void> => Promise.resolve()

function world(parts: Partial<HealthParts> = {}): World {
  const made = { asked: 0, now: 1_000_000, store: THERE } as { -readonly [K in keyof World]: World[K] }
  const clock = (): number => made.now
  made.meters = new Meters(clock)
  made.health = new Health({
    store: {
      check: () => {
        made.asked++
        return made.store()
      },
    },
    recorder: made.meters,
    meters: made.meters,
    clock,
    isStopping: () => false,
    deaf: () => [],
    ...parts,
  })
  return made
}

describe('the store', () => {
  test('is asked where nothing has been heard of it, and its answer is believed for a second', async () => {
    const w = world()
    expect(await w.health.hindrances()).toEqual([])
    w.store = AWAY
    expect(await w.health.hindrances()).toEqual([])
    expect(w.asked).toBe(1)
    w.now += 1000
    expect(await w.health.hindrances()).toEqual([{ reason: 'store-unavailable' }])
    expect(w.asked).toBe(2)
    expect(w.meters.store).toMatchObject({ isUp: false, failures: 1, outages: 1 })
    w.now += 1000
    w.store = THERE
    expect(await w.health.hindrances()).toEqual([])
    expect(w.asked).toBe(3)
  })

  test('is not asked where the gate has just heard of it', async () => {
    const w = world()
    w.meters.storeState('down')
    expect(await w.health.hindrances()).toEqual([{ reason: 'store-unavailable' }])
    w.meters.storeState('up')
    expect(await w.health.hindrances()).toEqual([])
    expect(w.asked).toBe(0)
  })

  test('that cannot be used at all is away, too', async () => {
    const w = world()
    w.store = () => Promise.reject(new Error('of a later version'))
    expect(await w.health.isStoreUp()).toBe(false)
  })

  test('is asked once for all who want to know, and has so much time and no more', async () => {
    const w = world({ patience: 20 })
    w.store = () => new Promise(() => {})
    expect(await Promise.all([w.health.isStoreUp(), w.health.isStoreUp()])).toEqual([false, false])
    expect(await w.health.isStoreUp()).toBe(false)
    expect(w.asked).toBe(1)
  })
})

test('whatever is in the way is said', async () => {
  const w = world({ isStopping: () => true, deaf: () => ['milter', 'lmtp'] })
  w.store = AWAY
  expect(await w.health.hindrances()).toEqual([
    { reason: 'stopping' },
    { reason: 'store-unavailable' },
    { reason: 'not-listening', front: 'milter' },
    { reason: 'not-listening', front: 'lmtp' },
  ])
})
