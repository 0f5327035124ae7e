/** Delivery into a stream of a real Redis: what an entry holds, when it counts as delivered, and every way to fail. */
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Delivery, DeliveryOutcome, Envelope, Message } from '../../src/app/message.ts'
import { NULL_SENDER } from '../../src/core/address.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { formatReply } from '../../src/core/reply.ts'
import { createStreamDelivery, type StreamSettings } from '../../src/delivery/stream.ts'
import { RedisConnection } from '../../src/store/redis-connection.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { address, must } from '../support/vectors.ts'
import { ENVELOPE, message, to } from './mail.ts'

const KEY = 'postern:stream:mail'
const TEAM = 'team@lists.example.org'
const TEXT = 'Subject: x\r\n\r\nHello.\r\n'

let redis: RedisServer
let client: Redis
const opened: Delivery[] = []

interface Options extends Partial<StreamSettings> {
  readonly server?: RedisServer
  readonly timeoutMs?: number
  readonly password?: string
}

function stream({ server = redis, timeoutMs = 2000, password, ...settings }: Options = {}): Delivery {
  const endpoint = { kind: 'tcp', host: server.host, port: server.port } as const
  const delivery = createStreamDelivery({
    name: 'mail',
    key: KEY,
    maxEntries: 1000,
    maxMessageSize: 10_000_000,
    waitReplicas: 0,
    replicaTimeoutMs: 1000,
    connect: async () => new RedisConnection({ endpoint, timeoutMs, password }),
    ...settings,
  })
  opened.push(delivery)
  return delivery
}

async function outcomeOf(
  delivery: Delivery,
  sent: Message = message(TEXT),
): Promise<DeliveryOutcome | undefined> {
  return (await delivery.deliver(ENVELOPE, sent, [to(TEAM)]))[0]
}

type Entry = Readonly<Record<string, Buffer>>

/** What the stream holds, the oldest first. */
async function entries(): Promise<readonly Entry[]> {
  const found = (await client.xrangeBuffer(KEY, '-', '+')) as unknown as [Buffer, Buffer[]][]
  return found.map(([, fields]) => {
    const entry: Record<string, Buffer> = {}
    for (let at = 0; at < fields.length; at += 2) entry[fields[at]!.toString()] = fields[at + 1]!
    return entry
  })
}

describe.skipIf(redisMissing('delivery into a Redis stream') !== undefined)('a stream', () => {
  beforeAll(async () => {
    redis = await startRedis()
    client = new Redis(redis.url, { protocol: 2 })
  })

  beforeEach(async () => {
    await client.flushall()
  })

  afterEach(async () => {
    await Promise.all(opened.splice(0).map(delivery => delivery.close?.()))
  })

  afterAll(async () => {
    client?.disconnect()
    await redis?.remove()
  })

  describe('gets', () => {
    test('an entry with the envelope and the message as it came', async () => {
      const octets = Buffer.concat([
        Buffer.from('Subject: x\r\n\r\n'),
        Buffer.from(Array.from({ length: 3_000_001 }, (_, index) => (index * 7919) % 256)),
      ])
      const envelope: Envelope = {
        ...ENVELOPE,
        client: {
          ip: must(parseIpAddress('192.0.2.7')),
          name: 'a.example.net',
          helo: 'helo.example.net',
          user: 'alice',
        },
        smtputf8: true,
      }
      const copy = to('Team-Owner@lists.example.org', { list: address(TEAM).key, service: 'owner' })
      expect(await stream().deliver(envelope, message(octets), [copy])).toEqual([{ kind: 'delivered' }])
      const [entry, ...more] = await entries()
      expect(more).toEqual([])
      const { message: kept, ...fields } = entry!
      expect(Object.entries(fields).map(([name, value]) => `${name}=${value}`)).toEqual([
        'id=ID1',
        'sender=alice@example.net',
        'recipient=Team-Owner@lists.example.org',
        'list=team@lists.example.org',
        'service=owner',
        `received=${Date.UTC(2026, 0, 2, 3, 4, 5)}`,
        'client_address=192.0.2.7',
        'client_name=a.example.net',
        'client_helo=helo.example.net',
        'client_user=alice',
        'smtputf8=1',
        `size=${octets.length}`,
      ])
      expect(kept!.equals(octets)).toBe(true)
    })

    test('empty fields for what is not known', async () => {
      const [outcome] = await stream().deliver({ ...ENVELOPE, sender: NULL_SENDER }, message(''), [to(TEAM)])
      expect(outcome).toEqual({ kind: 'delivered' })
      const [entry] = await entries()
      const empty = Object.entries(entry!).filter(([, value]) => value.length === 0)
      expect(empty.map(([name]) => name)).toEqual([
        'sender',
        'service',
        'client_address',
        'client_name',
        'client_helo',
        'client_user',
        'message',
      ])
      expect(entry!['smtputf8']!.toString()).toBe('0')
    })

    test('an entry for each recipient, in order, and two for the same one', async () => {
      const recipients = [to(TEAM), to('open@lists.example.org'), to(TEAM)]
      expect(await stream().deliver(ENVELOPE, message(TEXT), recipients)).toEqual(
        recipients.map(() => ({ kind: 'delivered' })),
      )
      expect((await entries()).map(entry => entry['recipient']!.toString())).toEqual([
        TEAM,
        'open@lists.example.org',
        TEAM,
      ])
    })
  })

  describe('that is full', () => {
    test('takes no more, loses nothing, and goes on when something was removed', async () => {
      const delivery = stream({ maxEntries: 2 })
      const outcomes = await delivery.deliver(ENVELOPE, message(TEXT), [to(TEAM), to(TEAM), to(TEAM)])
      expect(outcomes).toMatchObject([
        { kind: 'delivered' },
        { kind: 'delivered' },
        {
          kind: 'refused',
          cause: { code: 'POSTERN_STREAM', message: `${KEY} holds 2 entries that nobody has removed` },
        },
      ])
      expect(outcomes[2]?.kind === 'refused' && formatReply(outcomes[2].reply)).toBe(
        '451 4.3.1 There is no room for the message at the moment; try again later',
      )
      expect(await entries()).toHaveLength(2)
      const [first] = await client.xrange(KEY, '-', '+', 'COUNT', 1)
      await client.xdel(KEY, first![0])
      expect(await outcomeOf(delivery)).toEqual({ kind: 'delivered' })
    })

    test('is not sent what it has no room for', async () => {
      const sent: Message = {
        size: 100,
        read: () => {
          throw new Error('it is read')
        },
      }
      await outcomeOf(stream())
      expect(await stream({ maxEntries: 1 }).deliver(ENVELOPE, sent, [to(TEAM), to(TEAM)])).toMatchObject([
        { kind: 'refused', reply: { code: 451 } },
        { kind: 'refused', reply: { code: 451 } },
      ])
    })

    test('is so to the entry, whoever adds to it at the same time', async () => {
      const deliveries = Array.from({ length: 5 }, () => stream({ maxEntries: 10 }))
      const outcomes = await Promise.all(
        Array.from({ length: 50 }, (_, index) => outcomeOf(deliveries[index % 5]!)),
      )
      expect(outcomes.filter(outcome => outcome?.kind === 'delivered')).toHaveLength(10)
      expect(outcomes.filter(outcome => outcome?.kind === 'refused')).toHaveLength(40)
      expect(await client.xlen(KEY)).toBe(10)
    })
  })

  describe('gets nothing', () => {
    test('of a message that is too large, which is not read', async () => {
      const sent: Message = {
        size: 1001,
        read: () => {
          throw new Error('it is read')
        },
      }
      const outcomes = await stream({ maxMessageSize: 1000 }).deliver(ENVELOPE, sent, [to(TEAM), to(TEAM)])
      expect(outcomes.map(outcome => outcome.kind === 'refused' && formatReply(outcome.reply))).toEqual([
        '552 5.3.4 The message is larger than its destination takes',
        '552 5.3.4 The message is larger than its destination takes',
      ])
      expect(await outcomeOf(stream({ maxMessageSize: TEXT.length }))).toEqual({ kind: 'delivered' })
    })

    test('of a message that cannot be read to its end', async () => {
      const broken: Message = {
        size: 100,
        async *read() {
          yield Buffer.from('Subject: x\r\n')
          throw new Error('the spool is gone')
        },
      }
      expect(await outcomeOf(stream(), broken)).toMatchObject({
        kind: 'failed',
        cause: { message: 'the spool is gone' },
      })
      expect(await entries()).toEqual([])
    })

    test('where another type of value is', async () => {
      await client.set(KEY, 'x')
      expect(await outcomeOf(stream())).toMatchObject({
        kind: 'failed',
        cause: { message: `the key ${KEY} holds another type of value` },
      })
      expect(await client.get(KEY)).toBe('x')
    })

    test('where Redis has no memory left', async () => {
      await client.config('SET', 'maxmemory', '1')
      try {
        expect(await outcomeOf(stream())).toMatchObject({
          kind: 'failed',
          cause: { message: expect.stringContaining('OOM') },
        })
      } finally {
        await client.config('SET', 'maxmemory', '0')
      }
      expect(await entries()).toEqual([])
    })

    test('where Redis is a replica', async () => {
      await client.call('REPLICAOF', '127.0.0.1', '1')
      try {
        expect(await outcomeOf(stream())).toMatchObject({
          kind: 'failed',
          cause: { message: expect.stringContaining('READONLY') },
        })
      } finally {
        await client.call('REPLICAOF', 'NO', 'ONE')
      }
      expect(await entries()).toEqual([])
    })

    test('where the password is wrong, and it is told nobody', async () => {
      await client.call('ACL', 'SETUSER', 'default', '>right')
      try {
        const outcome = await outcomeOf(stream({ password: 'wrong-secret' }))
        expect(outcome).toMatchObject({
          kind: 'failed',
          cause: { message: expect.stringMatching(/WRONGPASS|NOAUTH/) },
        })
        expect(inspect(outcome, { depth: 20, showHidden: true })).not.toContain('wrong-secret')
      } finally {
        await client.call('ACL', 'SETUSER', 'default', 'nopass')
      }
    })
  })

  describe('whose Redis', () => {
    test('is away for a while is written to again as soon as it is back', async () => {
      const server = await startRedis()
      try {
        const delivery = stream({ server, timeoutMs: 500 })
        expect(await outcomeOf(delivery)).toEqual({ kind: 'delivered' })
        await server.stop()
        expect(await outcomeOf(delivery)).toMatchObject({
          kind: 'failed',
          cause: { code: 'POSTERN_STORE_UNAVAILABLE' },
        })
        await server.restart()
        await vi.waitFor(async () => expect(await outcomeOf(delivery)).toEqual({ kind: 'delivered' }), 15_000)
      } finally {
        await server.remove()
      }
    })

    test('stands still is not waited for', async () => {
      const server = await startRedis()
      try {
        const delivery = stream({ server, timeoutMs: 500 })
        expect(await outcomeOf(delivery)).toEqual({ kind: 'delivered' })
        server.pause()
        const begun = performance.now()
        expect(await outcomeOf(delivery)).toMatchObject({ kind: 'failed' })
        expect(performance.now() - begun).toBeLessThan(5000)
        server.resume()
      } finally {
        await server.remove()
      }
    })

    test('flushes what it writes has it after a crash', async () => {
      const server = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
      const other = new Redis(server.url, { protocol: 2, lazyConnect: true, retryStrategy: () => null })
      try {
        const outcomes = await stream({ server }).deliver(ENVELOPE, message(TEXT), [to(TEAM), to(TEAM)])
        expect(outcomes).toEqual([{ kind: 'delivered' }, { kind: 'delivered' }])
        await server.restart()
        await other.connect()
        expect(await other.xlen(KEY)).toBe(2)
      } finally {
        other.disconnect()
        await server.remove()
      }
    })
  })

  describe('whose replicas are waited for', () => {
    test('has what was delivered on a replica, and takes back what is not', async () => {
      await client.config('SET', 'repl-diskless-sync-delay', '0')
      const replica = await startRedis({ args: ['--replicaof', redis.host, String(redis.port)] })
      const there = new Redis(replica.url, { protocol: 2 })
      there.on('error', () => {})
      try {
        await vi.waitFor(async () => expect(await client.info('replication')).toMatch(/state=online/), 20_000)
        const delivery = stream({ waitReplicas: 1, replicaTimeoutMs: 1500 })
        expect(await outcomeOf(delivery)).toEqual({ kind: 'delivered' })
        expect(await there.xlen(KEY)).toBe(1)
        await replica.stop()
        expect(await outcomeOf(stream({ waitReplicas: 1, replicaTimeoutMs: 100 }))).toMatchObject({
          kind: 'failed',
          cause: { code: 'POSTERN_STREAM', message: `${KEY}: 0 replicas of 1 have the entry` },
        })
        expect(await client.xlen(KEY)).toBe(1)
      } finally {
        there.disconnect()
        await replica.remove()
      }
    })
  })

  describe('let go of', () => {
    test('has everything that was under way, and its connection is closed', async () => {
      const delivery = stream()
      const outcomes = Array.from({ length: 20 }, () => outcomeOf(delivery))
      await delivery.close?.()
      expect(await Promise.all(outcomes)).toEqual(outcomes.map(() => ({ kind: 'delivered' })))
      expect(await client.xlen(KEY)).toBe(20)
      await vi.waitFor(async () => expect(String(await client.client('LIST'))).not.toContain('name=postern'))
    })

    test('before anything came, connects nowhere', async () => {
      const connect = vi.fn()
      await stream({ connect }).close?.()
      expect(connect).not.toHaveBeenCalled()
    })
  })

  describe('a copy that is handed over again', () => {
    const handOver = (key: string) => ({ key, noted: undefined, note: async () => {} })
    const once = (delivery: Delivery, key: string): Promise<DeliveryOutcome> | undefined =>
      delivery.deliverOnce?.(ENVELOPE, message(TEXT), to(TEAM), handOver(key))

    test('is one entry, whoever hands it over, and whether a reader has taken it or not', async () => {
      const delivery = stream()
      const both = await Promise.all([once(delivery, 'one'), once(stream(), 'one')])
      expect(both).toEqual([{ kind: 'delivered' }, { kind: 'delivered' }])
      expect(await entries()).toHaveLength(1)
      await client.xtrim(KEY, 'MAXLEN', 0)
      expect(await once(delivery, 'one')).toEqual({ kind: 'delivered' })
      expect(await entries()).toEqual([])
      expect(await once(delivery, 'two')).toEqual({ kind: 'delivered' })
      expect(await entries()).toHaveLength(1)
    })

    test('is remembered for a month, where the stream is in a cluster', async () => {
      await once(stream(), 'one')
      const [marker = ''] = (await client.keys('*')).filter(key => key !== KEY)
      expect(marker).toBe(`${KEY}:accepted:one:{${KEY}}`)
      // What stands in the first braces is what a cluster goes by.
      expect(/\{([^}]+)\}/.exec(marker)?.[1]).toBe(KEY)
      expect(await client.ttl(marker)).toBeGreaterThan(29 * 86_400)
      const tagged = 'p:{team}:stream'
      await once(stream({ key: tagged }), 'one')
      expect(await client.exists(`${tagged}:accepted:one`)).toBe(1)
    })

    test('is not remembered where there was no room, or no replica has it', async () => {
      const full = stream({ maxEntries: 1 })
      await outcomeOf(full)
      expect(await once(full, 'one')).toMatchObject({ kind: 'refused' })
      await client.xtrim(KEY, 'MAXLEN', 0)
      expect(await once(stream({ waitReplicas: 1, replicaTimeoutMs: 50 }), 'one')).toMatchObject({
        kind: 'failed',
      })
      expect(await client.keys('*:accepted:*')).toEqual([])
      expect(await once(full, 'one')).toEqual({ kind: 'delivered' })
      expect(await entries()).toHaveLength(1)
    })
  })

  test('that others fill up holds those back who wait too long for their turn', async () => {
    let goOn: () => void = () => {}
    const wait = new Promise<void>(resolve => {
      goOn = resolve
    })
    const slow: Message = {
      size: 1,
      async *read() {
        await wait
        yield Buffer.from('x')
      },
    }
    const delivery = stream({ turnTimeoutMs: 100 })
    const first = Array.from({ length: 4 }, () => outcomeOf(delivery, slow))
    const late = outcomeOf(delivery)
    await new Promise(resolve => setTimeout(resolve, 150))
    goOn()
    expect(await late).toMatchObject({
      kind: 'failed',
      cause: { message: `${KEY}: waited too long for a turn` },
    })
    expect(await Promise.all(first)).toEqual(first.map(() => ({ kind: 'delivered' })))
  })
})
