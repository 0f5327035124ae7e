/** Redis away, hanging, refusing and coming back: the store fails in time, says why, and recovers by itself. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Store } from '../../src/app/ports.ts'
import { factsNeeded, INITIAL_SITE } from '../../src/core/facts.ts'
import { INITIAL_SETTINGS } from '../../src/core/list.ts'
import { openRedisStore, type RedisStoreOptions } from '../../src/store/redis.ts'
import { requirePart } from '../support/parts.ts'
import { freePort } from '../support/ports.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { address, reversePath } from '../support/vectors.ts'
import { cuttingServer, silentServer, stubbornServer } from './resp.ts'

const skip = redisMissing('the store while Redis is away') !== undefined

const QUERY = factsNeeded(
  {
    phase: 'RCPT',
    front: 'policy',
    client: { name: 'mx.example.net' },
    sender: reversePath('alice@example.net'),
    recipient: address('team@lists.example.org'),
    recipientsBefore: 0,
    message: 'm1',
  },
  INITIAL_SITE,
)

const UNAVAILABLE = { name: 'StoreUnavailable', code: 'POSTERN_STORE_UNAVAILABLE' }

/** Milliseconds that something takes, which must fail. */
async function failsIn(work: () => unknown): Promise<number> {
  const started = performance.now()
  await expect((async () => work())()).rejects.toMatchObject(UNAVAILABLE)
  return performance.now() - started
}

async function errorOf(work: Promise<unknown>): Promise<Error> {
  const [result] = await Promise.allSettled([work])
  if (result?.status !== 'rejected') throw new Error('it did not fail')
  return result.reason as Error
}

/** Waits until the store works again. */
async function works(store: Store): Promise<void> {
  await vi.waitFor(() => store.check(), { timeout: 10_000, interval: 10 })
}

async function withStore(options: RedisStoreOptions, use: (store: Store) => Promise<void>): Promise<void> {
  const store = openRedisStore(options)
  try {
    await use(store)
  } finally {
    await store.close()
  }
}

const at = (port: number): RedisStoreOptions => ({ endpoint: { kind: 'tcp', host: '127.0.0.1', port } })

describe.skipIf(skip)('redis away', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server.remove())

  test('stopped and back again, with the same store', async () => {
    await withStore({ ...at(server.port), timeoutMs: 2000 }, async store => {
      await store.load(QUERY)
      await server.stop()
      await vi.waitFor(() => expect(store.check()).rejects.toMatchObject(UNAVAILABLE))
      expect(await failsIn(() => store.load(QUERY))).toBeLessThan(500)
      expect(await failsIn(() => store.getList(address('team@lists.example.org').key))).toBeLessThan(500)
      await vi.waitFor(async () => expect(String(await errorOf(store.check()))).toContain('ECONNREFUSED'))
      await server.restart()
      await works(store)
      await store.load(QUERY)
    })
  })

  test('what is under way when Redis ends fails at once', async () => {
    await withStore({ ...at(server.port), timeoutMs: 5000 }, async store => {
      await store.check()
      server.pause()
      try {
        const loading = failsIn(() => store.load(QUERY))
        await server.stop()
        expect(await loading).toBeLessThan(1000)
      } finally {
        await server.restart()
      }
      await works(store)
    })
  })

  test('hanging: the time allowed and not more, then at once, and back again', async () => {
    await withStore({ ...at(server.port), timeoutMs: 1000 }, async store => {
      await store.check()
      server.pause()
      try {
        const waited = await failsIn(() => store.load(QUERY))
        expect(waited).toBeGreaterThan(900)
        expect(waited).toBeLessThan(3000)
        await vi.waitFor(async () => expect(await failsIn(() => store.load(QUERY))).toBeLessThan(400))
      } finally {
        server.resume()
      }
      await works(store)
    })
  })

  test('not there yet: opening does not fail, the first question does, and the store finds Redis later', async () => {
    const port = await freePort()
    await withStore(at(port), async store => {
      expect(await failsIn(() => store.load(QUERY))).toBeLessThan(500)
      const late = await startRedis({ args: ['--port', String(port)] })
      try {
        await works(store)
      } finally {
        await late.remove()
      }
    })
  })

  test('the first question waits for the connection', async () => {
    await withStore(at(server.port), async store => {
      await expect(store.load(QUERY)).resolves.toMatchObject({ domain: undefined })
    })
  })

  test('the first change in a store that has just been opened is done', async () => {
    await withStore(at(server.port), async store => {
      expect(await store.createList(address('a@lists.example.org').key, INITIAL_SETTINGS)).toBe('added')
    })
  })

  test('closed: what is under way ends, what comes later fails', async () => {
    const store = openRedisStore(at(server.port))
    await store.check()
    const loading = store.load(QUERY)
    await store.close()
    await expect(loading).resolves.toBeDefined()
    await expect(store.check()).rejects.toThrow(/closed/)
    await store.close()
  })
})

describe('a server that is none', () => {
  test('takes the connection and says nothing', async () => {
    const silent = await silentServer()
    await withStore({ ...at(silent.port), timeoutMs: 1000 }, async store => {
      expect(await failsIn(() => store.load(QUERY))).toBeLessThan(3000)
      expect(await failsIn(() => store.load(QUERY))).toBeLessThan(400)
      expect(
        await failsIn(() =>
          store.countPost({
            list: address('team@lists.example.org').key,
            sender: QUERY.sender[0]!,
            message: 'm1',
            posts: 1,
            seconds: 1,
          }),
        ),
      ).toBeLessThan(400)
    })
    await silent.close()
  })

  test('ends the connection at each question: the question fails at once, though there is a connection again', async () => {
    const cutting = await cuttingServer()
    await withStore({ ...at(cutting.port), timeoutMs: 5000 }, async store => {
      for (let i = 0; i < 5; i++) expect(await failsIn(() => store.load(QUERY))).toBeLessThan(1500)
    })
    await cutting.close()
  })

  test.each([
    '-LOADING Redis is loading the dataset in memory\r\n',
    "-READONLY You can't write against a read only replica.\r\n",
    '-CLUSTERDOWN The cluster is down\r\n',
    "-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    '-MOVED 3999 127.0.0.1:6381\r\n',
    '-TRYAGAIN Multiple keys request during rehashing of slot\r\n',
    '-NOAUTH Authentication required.\r\n',
    "-NOPERM this user has no permissions to run the 'get' command\r\n",
    "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    '-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n',
    '-MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk.\r\n',
    '-ERR max number of clients reached\r\n',
    'HTTP/1.1 400 Bad Request\r\n\r\n',
  ])('answers %j', async reply => {
    const stubborn = await stubbornServer(reply)
    await withStore({ ...at(stubborn.port), timeoutMs: 500 }, async store => {
      const code = /^-(\w+)/.exec(reply)?.[1] ?? ''
      for (const work of [
        () => store.load(QUERY),
        () => store.check(),
        () => store.createList(address('a@lists.example.org').key, INITIAL_SETTINGS),
        () => store.removeList(address('a@lists.example.org').key),
      ]) {
        const error = await errorOf((async () => work())())
        expect(error).toMatchObject(UNAVAILABLE)
        expect(error.message).toContain(code)
        expect(error.cause).toBeInstanceOf(Error)
      }
    })
    await stubborn.close()
  })
})

describe.skipIf(skip)('redis with passwords', () => {
  const PASSWORD = 'correct horse'
  const OTHER = 'battery staple'
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis({ password: PASSWORD })
    const admin = new Redis({ path: server.socket, password: PASSWORD })
    await admin.acl('SETUSER', 'postern', 'on', `>${OTHER}`, '~postern:*', '+@all', '-@dangerous')
    await admin.acl('SETUSER', 'reader', 'on', `>${OTHER}`, '~postern:*', '+@read', '+@connection')
    admin.disconnect()
  })
  afterAll(() => server.remove())

  const unix = (): RedisStoreOptions => ({ endpoint: { kind: 'unix', path: server.socket }, timeoutMs: 1000 })

  test('the right one, of the default user and of another', async () => {
    await withStore({ ...unix(), password: PASSWORD }, store => store.check())
    await withStore({ ...unix(), username: 'postern', password: OTHER }, async store => {
      const list = address('acl@lists.example.org').key
      expect(await store.createList(list, INITIAL_SETTINGS)).toBe('added')
      await store.load(QUERY)
      expect(await store.removeList(list)).toBe(true)
    })
  })

  test('none, the wrong one, and one of somebody else', async () => {
    for (const wrong of [{}, { password: 'open sesame' }, { username: 'nobody', password: OTHER }]) {
      await withStore({ ...unix(), ...wrong }, async store => {
        const error = await errorOf((async () => store.load(QUERY))())
        expect(error).toMatchObject(UNAVAILABLE)
        expect(error.message).toMatch(/NOAUTH|WRONGPASS/)
        expect(await failsIn(() => store.load(QUERY))).toBeLessThan(500)
      })
    }
  })

  test('no secret is in what the store says of itself or of its errors', async () => {
    await withStore({ ...unix(), username: 'postern', password: 'open sesame' }, async store => {
      const error = await errorOf(store.check())
      for (const shown of [
        inspect(error, { depth: 9, showHidden: true }),
        JSON.stringify(error),
        store.description,
      ]) {
        expect(shown).not.toContain('sesame')
      }
      expect(inspect(error, { depth: 9 })).toContain('WRONGPASS')
      expect(inspect(store, { depth: 9 })).not.toContain('sesame')
    })
  })

  test('made right on the server, without a restart', async () => {
    await withStore({ ...unix(), username: 'late', password: OTHER }, async store => {
      await expect(store.check()).rejects.toThrow(/WRONGPASS/)
      const admin = new Redis({ path: server.socket, password: PASSWORD })
      await admin.acl('SETUSER', 'late', 'on', `>${OTHER}`, '~*', '+@all')
      admin.disconnect()
      await works(store)
    })
  })

  test('of a user who may only read: decisions go on, changes fail', async () => {
    await withStore({ ...unix(), username: 'reader', password: OTHER }, async store => {
      await store.load(QUERY)
      await expect(store.addForbidden(QUERY.sender[0]!)).rejects.toThrow(/NOPERM/)
      await store.load(QUERY)
    })
  })
})

describe.skipIf(skip || requirePart('the store in Redis by TLS', '/usr/bin/openssl') !== undefined)(
  'redis by TLS',
  () => {
    const directory = mkdtempSync(join(tmpdir(), 'postern-tls-'))
    const file = (name: string): string => join(directory, name)
    const openssl = (...args: string[]): void =>
      void execFileSync('/usr/bin/openssl', args, { cwd: directory, stdio: 'pipe' })
    let server: RedisServer

    beforeAll(async () => {
      const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
      openssl(
        'req',
        '-x509',
        ...ec,
        '-days',
        '2',
        '-subj',
        '/CN=Test CA',
        '-keyout',
        'ca.key',
        '-out',
        'ca.crt',
      )
      openssl(
        'req',
        ...ec,
        '-subj',
        '/CN=127.0.0.1',
        '-addext',
        'subjectAltName=IP:127.0.0.1',
        '-keyout',
        'redis.key',
        '-out',
        'redis.csr',
      )
      openssl(
        'x509',
        '-req',
        '-in',
        'redis.csr',
        '-CA',
        'ca.crt',
        '-CAkey',
        'ca.key',
        '-CAcreateserial',
        '-days',
        '2',
        '-copy_extensions',
        'copy',
        '-out',
        'redis.crt',
      )
      const port = await freePort()
      server = await startRedis({
        args: [
          '--port',
          '0',
          '--tls-port',
          String(port),
          '--tls-cert-file',
          file('redis.crt'),
          '--tls-key-file',
          file('redis.key'),
          '--tls-ca-cert-file',
          file('ca.crt'),
          '--tls-auth-clients',
          'no',
        ],
      })
      tls = { endpoint: { kind: 'tcp', host: '127.0.0.1', port }, timeoutMs: 1000 }
    })
    afterAll(async () => {
      await server.remove()
      rmSync(directory, { recursive: true })
    })
    let tls: RedisStoreOptions

    test('with an authority that it knows', async () => {
      await withStore({ ...tls, tls: { ca: readFileSync(file('ca.crt')) } }, async store => {
        await store.load(QUERY)
        expect(await store.addForbidden(QUERY.sender[0]!)).toBe('added')
      })
    })

    test('not with one that it does not know, and not without TLS', async () => {
      await withStore({ ...tls, tls: true }, async store => {
        await expect(store.load(QUERY)).rejects.toThrow(/certificate|self-signed/i)
        await expect(store.load(QUERY)).rejects.toMatchObject(UNAVAILABLE)
      })
      await withStore(tls, async store => {
        await expect(store.load(QUERY)).rejects.toMatchObject(UNAVAILABLE)
      })
    })
  },
)
