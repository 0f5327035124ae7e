/** The deliveries in force: made once, and again where anything of their settings has changed, a password too. */
import { describe, expect, test, vi } from 'vitest'
import type { Delivery } from '../../src/app/message.ts'
import type { Config, DeliverySettings } from '../../src/config/config.ts'
import { Secret } from '../../src/config/secret.ts'
import { Deliveries } from '../../src/daemon/deliveries.ts'

function stream(password: string, key = 'mail'): DeliverySettings {
  return {
    kind: 'stream',
    redis: {
      endpoint: { kind: 'tcp', host: 'r', port: 1 },
      tls: false,
      username: undefined,
      password: new Secret(password),
      db: 0,
    },
    key,
    maxEntries: 1,
    maxMessageSize: 1,
    waitReplicas: 0,
    timeoutMs: 1,
  }
}

function configWith(settings: DeliverySettings | undefined, hostname = 'h'): Config {
  const named = settings === undefined ? {} : { s: settings }
  return { delivery: { default: 's', named }, lmtp: { hostname } } as unknown as Config
}

/** Deliveries whose configuration can be changed, and what was made and let go of. */
function deliveries(settings: DeliverySettings) {
  const state = { config: configWith(settings) }
  const closed: string[] = []
  let count = 0
  const made = new Deliveries(
    () => state.config,
    (): Delivery => {
      const name = `made ${++count}`
      return { name, deliver: vi.fn(), close: async () => void closed.push(name) }
    },
    vi.fn(),
  )
  return { state, closed, named: (name?: string) => made.named(name)?.name, made }
}

describe('a delivery', () => {
  test('is made once for settings that are the same', () => {
    const { state, closed, named } = deliveries(stream('a'))
    expect([named(), named('s')]).toEqual(['made 1', 'made 1'])
    state.config = configWith(stream('a'))
    expect(named()).toBe('made 1')
    expect(closed).toEqual([])
  })

  test.each<[string, Config]>([
    ['its password', configWith(stream('b'))],
    ['its key', configWith(stream('a', 'other'))],
    ['the host’s name', configWith(stream('a'), 'i')],
  ])('is made anew, and the old one let go of, if %s has changed', (_, config) => {
    const { state, closed, named } = deliveries(stream('a'))
    named()
    state.config = config
    expect(named()).toBe('made 2')
    expect(closed).toEqual(['made 1'])
  })

  test('that is gone is let go of, and one of every object is none', () => {
    const { state, closed, named } = deliveries(stream('a'))
    named()
    state.config = configWith(undefined)
    expect([named(), named('constructor')]).toEqual([undefined, undefined])
    expect(closed).toEqual(['made 1'])
  })
})
