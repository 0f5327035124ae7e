/** How long deliveries live: from when they are first wanted to after what is under way in them, and no longer. */
import { describe, expect, test } from 'vitest'
import type {
  Delivery,
  DeliveryOutcome,
  DeliveryRecipient,
  Envelope,
  Message,
} from '../../src/app/message.ts'
import type { Config, DeliverySettings } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import { Deliveries } from '../../src/daemon/deliveries.ts'

const ENVELOPE = {} as Envelope
const MESSAGE = {} as Message
const ONE = [{}] as unknown as readonly DeliveryRecipient[]

const DEFAULTS = ((): Config => {
  const result = loadConfig({ cwd: '/nowhere', env: {} })
  if (!result.ok) throw new Error('the defaults are not in order')
  return result.value
})()

interface Made extends Delivery {
  readonly settings: DeliverySettings
  closed: number
  /** Ends a delivery that is under way. */
  finish: (outcome: DeliveryOutcome | Error) => void
}

/** Deliveries over a configuration that tests change; each delivery is under way until it is told otherwise. */
function world(named: Config['delivery']['named']) {
  let config: Config = { ...DEFAULTS, delivery: { default: 'a', named } }
  const made: Made[] = []
  const failed: [string, unknown][] = []
  const deliveries = new Deliveries(
    () => config,
    (settings, _config, name) => {
      const delivery: Made = {
        name,
        settings,
        closed: 0,
        finish: () => {},
        deliver: () =>
          new Promise((resolve, reject) => {
            delivery.finish = outcome => (outcome instanceof Error ? reject(outcome) : resolve([outcome]))
          }),
        close: async () => {
          delivery.closed++
        },
      }
      made.push(delivery)
      return delivery
    },
    (name, cause) => failed.push([name, cause]),
  )
  return {
    deliveries,
    made,
    failed,
    change: (named: Config['delivery']['named'], change: Partial<Config> = {}) => {
      config = { ...config, ...change, delivery: { default: 'a', named } }
    },
    /** Begins a delivery by name. */
    begin: (name: string | undefined) => {
      const delivery = deliveries.named(name)
      if (delivery === undefined) throw new Error('no delivery')
      return delivery.deliver(ENVELOPE, MESSAGE, ONE)
    },
  }
}

const A = { kind: 'maildir', path: '/a' } as const
const B = { kind: 'maildir', path: '/b' } as const
const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  const pending = Symbol('pending')
  // Every microtask that is due comes before it.
  const later = new Promise(resolve => setImmediate(resolve, pending))
  return (await Promise.race([promise.catch(() => {}), later])) !== pending
}

describe('by name', () => {
  test('each is made once, when it is first wanted; none is the default', () => {
    const { deliveries, made } = world({ a: A, b: B })
    expect(made).toEqual([])
    const first = deliveries.named(undefined)
    expect(deliveries.named('a')).toBe(first)
    expect(deliveries.named('b')).not.toBe(first)
    expect(deliveries.named('b')).toBe(deliveries.named('b'))
    expect(made.map(({ name, settings }) => [name, settings])).toEqual([
      ['a', A],
      ['b', B],
    ])
  })

  test.each(['c', 'A', '', 'toString', '__proto__'])('there is no %j', name => {
    const { deliveries, made } = world({ a: A })
    expect(deliveries.named(name)).toBeUndefined()
    expect(made).toEqual([])
  })

  test('outcomes and failures are its own', async () => {
    const { begin, made } = world({ a: A })
    const taken = begin('a')
    made[0]!.finish({ kind: 'delivered' })
    expect(await taken).toEqual([{ kind: 'delivered' }])
    const broken = begin('a')
    made[0]!.finish(new Error('a bug'))
    await expect(broken).rejects.toThrow('a bug')
  })
})

describe('another configuration', () => {
  test('with the same settings keeps what there is', () => {
    const { deliveries, made, change } = world({ a: A })
    const before = deliveries.named('a')
    change({ a: { ...A }, b: B })
    expect(deliveries.named('a')).toBe(before)
    expect(made.length).toBe(1)
  })

  test.each<[string, Config['delivery']['named'], Partial<Config>]>([
    ['other settings', { a: B }, {}],
    ['another host name', { a: A }, { lmtp: { ...DEFAULTS.lmtp, hostname: 'other.example' } }],
  ])('with %s: the next message gets the new one, the old one is let go of', (_, named, rest) => {
    const { deliveries, made, change } = world({ a: A })
    const before = deliveries.named('a')
    change(named, rest)
    expect(deliveries.named('a')).not.toBe(before)
    expect(made.map(({ closed }) => closed)).toEqual([1, 0])
    expect(made[1]?.settings).toEqual(named['a'])
  })

  test('without it lets go of it when it is told, and not only when it is wanted', async () => {
    const { deliveries, made, change } = world({ a: A, b: B })
    deliveries.named('b')
    change({ a: A })
    deliveries.refresh()
    expect(made[0]?.closed).toBe(1)
    expect(deliveries.named('b')).toBeUndefined()
  })

  test('what is under way is finished first, and the new one waits for none of it', async () => {
    const { deliveries, made, change, begin } = world({ a: A })
    const [first, second] = [begin('a'), begin('a')]
    const finishSecond = made[0]!.finish
    change({ a: B })
    const third = begin('a')
    expect(made.map(({ closed }) => closed)).toEqual([0, 0])
    made[1]!.finish({ kind: 'delivered' })
    expect(await third).toEqual([{ kind: 'delivered' }])
    finishSecond({ kind: 'delivered' })
    expect(await second).toEqual([{ kind: 'delivered' }])
    expect(await settled(first)).toBe(false)
    expect(made[0]!.closed).toBe(0)
    const closing = deliveries.close()
    expect(await settled(closing)).toBe(false)
  })

  test('an old one takes nothing more', async () => {
    const { deliveries, change } = world({ a: A })
    const old = deliveries.named('a')!
    change({ a: B })
    deliveries.refresh()
    await expect(old.deliver(ENVELOPE, MESSAGE, ONE)).rejects.toThrow('the delivery a has been let go of')
  })
})

describe('the end', () => {
  test('waits for what is under way, in old ones too, and closes each once', async () => {
    const { deliveries, made, change, begin } = world({ a: A, b: B })
    const old = begin('a')
    change({ a: B, b: B })
    const failing = begin('b')
    deliveries.named('a')
    const closing = deliveries.close()
    expect(await settled(closing)).toBe(false)
    made[0]!.finish({ kind: 'delivered' })
    expect(await old).toEqual([{ kind: 'delivered' }])
    expect(await settled(closing)).toBe(false)
    made[1]!.finish(new Error('no'))
    await expect(failing).rejects.toThrow('no')
    await closing
    expect(made.map(({ name, closed }) => [name, closed])).toEqual([
      ['a', 1],
      ['b', 1],
      ['a', 1],
    ])
  })

  test('does not wait for ever, and tells of what it has given up', async () => {
    const { deliveries, made, failed, begin } = world({ a: A, b: B })
    const [stuck, done] = [begin('a'), begin('b')]
    made[1]!.finish({ kind: 'delivered' })
    await done
    await deliveries.close(20)
    expect(failed).toEqual([['a', new Error('given up with 1 under way, which will come again')]])
    expect(made.map(({ closed }) => closed)).toEqual([0, 1])
    made[0]!.finish({ kind: 'delivered' })
    expect(await stuck).toEqual([{ kind: 'delivered' }])
  })

  test('one that cannot be let go of in order is told of, and keeps no other', async () => {
    const { deliveries, made, failed } = world({ a: A, b: B })
    deliveries.named('a')
    deliveries.named('b')
    const cause = new Error('stuck')
    made[0]!.close = () => Promise.reject(cause)
    await deliveries.close()
    expect(failed).toEqual([['a', cause]])
    expect(made[1]!.closed).toBe(1)
  })
})
