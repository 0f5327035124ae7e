/** The journal in Redis, against real servers: alone, in cluster mode, and what the keys live for. */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { periodStart } from '../../src/app/counters.ts'
import { Keys } from '../../src/store/keys.ts'
import type { RedisStoreOptions } from '../../src/store/redis.ts'
import { openRedisJournal } from '../../src/store/redis-journal.ts'
import {
  ACCEPTED,
  batch,
  describeJournal,
  event,
  type JournalUnderTest,
  KEEP,
  TEAM,
} from '../conformance/journal-conformance.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'

const skip = redisMissing('the journal in Redis') !== undefined
const keys = new Keys().journal

function underTest(options: RedisStoreOptions): JournalUnderTest {
  const [journal, other] = [openRedisJournal(options), openRedisJournal(options)]
  return {
    journal,
    other,
    close: async () => {
      await Promise.all([journal.close(), other.close()])
    },
  }
}

describe.skipIf(skip)('redis', () => {
  let server: RedisServer
  let admin: Redis
  const open = () => openRedisJournal({ endpoint: { kind: 'unix', path: server.socket } })
  beforeAll(async () => {
    server = await startRedis()
    admin = new Redis({ path: server.socket })
  })
  beforeEach(async () => {
    await admin.flushall()
  })
  afterAll(async () => {
    admin.disconnect()
    await server.remove()
  })

  describeJournal('redis over a unix socket', async () =>
    underTest({ endpoint: { kind: 'unix', path: server.socket }, db: 3, prefix: 'elsewhere:' }),
  )

  test('everything but the stream has an end', async () => {
    const journal = open()
    const time = Date.now()
    await journal.append(batch('1', [event({ time }), event({ ...ACCEPTED, time })]), KEEP)
    await journal.beat({
      node: 'mx1',
      pid: 1,
      version: '1',
      started: 0,
      time,
      state: 'serving',
      written: 0,
      lost: 0,
      waiting: 0,
    })
    const [minute, hour, day] = [
      periodStart('minute', time),
      periodStart('hour', time),
      periodStart('day', time),
    ]
    const HOUR = 3_600_000
    const ends = {
      [keys.counters('minute', minute)]: HOUR,
      [keys.listCounters('minute', minute)]: HOUR,
      [keys.counters('hour', hour)]: 48 * HOUR,
      [keys.listCounters('hour', hour)]: 48 * HOUR,
      [keys.senders('hour', hour)]: 48 * HOUR,
      [keys.top('senders', 'hour', hour)]: 48 * HOUR,
      [keys.top('domains', 'hour', hour)]: 48 * HOUR,
      [keys.top('lists', 'hour', hour)]: 48 * HOUR,
      [keys.counters('day', day)]: 30 * 24 * HOUR,
      [keys.listCounters('day', day)]: 30 * 24 * HOUR,
      [keys.senders('day', day)]: 30 * 24 * HOUR,
      [keys.top('senders', 'day', day)]: 30 * 24 * HOUR,
      [keys.top('domains', 'day', day)]: 30 * 24 * HOUR,
      [keys.top('lists', 'day', day)]: 30 * 24 * HOUR,
      [keys.batch('writer')]: 23 * HOUR,
      [keys.nodes]: 7 * 24 * HOUR - 10_000,
      [keys.node('mx1')]: 7 * 24 * HOUR - 10_000,
    }
    const found = (await admin.keys('*')).sort()
    expect(found).toEqual([...Object.keys(ends), keys.events].sort())
    for (const [key, atLeast] of Object.entries(ends)) {
      const left = await admin.pttl(key)
      expect([key, left >= atLeast]).toEqual([key, true])
      expect([key, left <= atLeast + 24 * HOUR]).toEqual([key, true])
    }
    await journal.close()
  })

  test('a key of another type stops the whole batch', async () => {
    const journal = open()
    const time = Date.now()
    const lists = keys.listCounters('hour', periodStart('hour', time))
    await admin.set(lists, 'no hash')
    await expect(journal.append(batch('1', [event({ time })]), KEEP)).rejects.toMatchObject({
      code: 'POSTERN_STORED_DATA',
    })
    expect(await admin.keys('*')).toEqual([lists])
    await journal.close()
  })

  test('a store of another version is left alone', async () => {
    await admin.set(new Keys().site.schema, '99')
    const journal = open()
    await expect(journal.append(batch('1', [event()]), KEEP)).rejects.toMatchObject({
      code: 'POSTERN_STORE_SCHEMA',
    })
    expect(await admin.keys('*')).toEqual([new Keys().site.schema])
    await journal.close()
  })

  test('entries that are no events of ours are passed over', async () => {
    const journal = open()
    await journal.append(batch('1', [event()]), KEEP)
    await admin.xadd(keys.events, '*', 'hello', 'world')
    await admin.xadd(keys.events, '*', 'time', '1', 'node', 'x', 'reason', 'a-reason-to-come')
    expect(await journal.before(undefined, 10)).toHaveLength(1)
    expect(
      (await journal.listFigures(TEAM, 'day', [periodStart('day', Date.now())]))[0]!.get('verdict:reject'),
    ).toBe(1)
    await journal.close()
  })
})

describe.skipIf(skip)('redis in cluster mode', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis({ args: ['--cluster-enabled', 'yes'] })
    const node = new Redis({ path: server.socket })
    await node.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383)
    await vi.waitUntil(async () => String(await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok'), {
      timeout: 20_000,
    })
    node.disconnect()
  })
  beforeEach(async () => {
    const node = new Redis({ path: server.socket })
    await node.flushall()
    node.disconnect()
  })
  afterAll(() => server.remove())

  describeJournal('redis in cluster mode', async () =>
    underTest({ endpoint: { kind: 'unix', path: server.socket } }),
  )
})
