/** The Redis store against real servers, in every way to reach one. */
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { openRedisStore, type RedisStoreOptions } from '../../src/store/redis.ts'
import { describeStore, type StoreUnderTest } from '../conformance/store-conformance.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'

const skip = redisMissing('the store in Redis') !== undefined

/** A server for the tests of a `describe`, empty before each of them. */
function withRedis(args: readonly string[] = []): () => RedisServer {
  let server: RedisServer | undefined
  let admin: Redis | undefined
  beforeAll(async () => {
    server = await startRedis({ args })
    admin = new Redis({ path: server.socket })
  })
  beforeEach(async () => {
    await admin?.flushall()
  })
  afterAll(async () => {
    admin?.disconnect()
    await server?.remove()
  })
  return () => server!
}

function underTest(options: RedisStoreOptions): StoreUnderTest {
  const store = openRedisStore(options)
  const other = openRedisStore(options)
  return {
    store,
    other,
    advance: () => {},
    close: async () => {
      await Promise.all([store.close(), other.close()])
    },
  }
}

describe.skipIf(skip)('redis', () => {
  const server = withRedis()
  describeStore('redis over TCP', async () =>
    underTest({ endpoint: { kind: 'tcp', host: server().host, port: server().port } }),
  )
  describeStore('redis over a unix socket', async () =>
    underTest({ endpoint: { kind: 'unix', path: server().socket }, db: 3, prefix: 'elsewhere:' }),
  )
})

describe.skipIf(skip)('redis cluster', () => {
  const server = withRedis(['--cluster-enabled', 'yes'])
  beforeAll(async () => {
    // One node that has every slot: it refuses commands and scripts whose keys do not share one.
    const node = new Redis({ path: server().socket })
    await node.call('CLUSTER', 'ADDSLOTSRANGE', 0, 16383)
    await vi.waitUntil(async () => String(await node.call('CLUSTER', 'INFO')).includes('cluster_state:ok'), {
      timeout: 20_000,
    })
    await expect(node.mget('a', 'b')).rejects.toThrow('CROSSSLOT')
    node.disconnect()
  })
  describeStore('redis in cluster mode', async () =>
    underTest({ endpoint: { kind: 'unix', path: server().socket } }),
  )
  test('a database that there is not is no other database', async () => {
    const store = openRedisStore({ endpoint: { kind: 'unix', path: server().socket }, db: 3 })
    await expect(store.check()).rejects.toMatchObject({ code: 'POSTERN_STORE_UNAVAILABLE' })
    await store.close()
  })
})
