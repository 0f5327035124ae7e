/** The reader in docs/delivery.md, as it stands there, with a stream that Postern has filled. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Delivery } from '../../src/app/message.ts'
import { createStreamDelivery } from '../../src/delivery/stream.ts'
import { RedisConnection } from '../../src/store/redis-connection.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { ENVELOPE, message, to } from './mail.ts'

const KEY = 'postern:stream:archive'
const PACKAGES = fileURLToPath(new URL('../../node_modules', import.meta.url))
const page = readFileSync(new URL('../../docs/delivery.md', import.meta.url), 'utf8')
const READER = /```js\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
/** In milliseconds. */
const PATIENCE = 10_000

/** Every octet, and what a line-wise reader stumbles over. */
const OCTETS = Buffer.concat([
  Buffer.from('Subject: x\r\n\r\n\0\r\n.\r\n\n\r'),
  Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 7919) % 256)),
])

describe.skipIf(redisMissing('the reader of a stream') !== undefined)('the reader', () => {
  let redis: RedisServer
  let client: Redis
  let delivery: Delivery
  let directory: string
  const readers: ChildProcess[] = []

  beforeAll(async () => {
    redis = await startRedis()
    client = new Redis(redis.url, { protocol: 2 })
    const endpoint = { kind: 'tcp', host: redis.host, port: redis.port } as const
    delivery = createStreamDelivery({
      name: 'archive',
      key: KEY,
      maxEntries: 100,
      maxMessageSize: 10_000_000,
      waitReplicas: 0,
      replicaTimeoutMs: 1000,
      connect: async () => new RedisConnection({ endpoint }),
    })
  })

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'postern-reader-'))
    symlinkSync(PACKAGES, join(directory, 'node_modules'))
    writeFileSync(join(directory, 'reader.mjs'), READER)
  })

  afterEach(async () => {
    for (const reader of readers.splice(0)) {
      if (reader.exitCode !== null || reader.signalCode !== null) continue
      reader.kill('SIGKILL')
      await once(reader, 'exit')
    }
    await client.flushall()
    rmSync(directory, { recursive: true, force: true })
  })

  afterAll(async () => {
    await delivery?.close?.()
    client?.disconnect()
    await redis?.remove()
  })

  function start(name: string): ChildProcess {
    const reader = spawn(process.execPath, ['reader.mjs', KEY, name], {
      cwd: directory,
      env: { ...process.env, REDIS_URL: redis.url },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    readers.push(reader)
    return reader
  }

  function kept(): readonly Buffer[] {
    return readdirSync(directory)
      .filter(name => name.endsWith('.eml'))
      .sort()
      .map(name => readFileSync(join(directory, name)))
  }

  const removed = (): Promise<void> =>
    vi.waitFor(async () => expect(await client.xlen(KEY)).toBe(0), PATIENCE)

  test('reads what was sent, octet for octet, and removes it', async () => {
    const reader = start('reader-1')
    const recipients = [to('team@lists.example.org'), to('open@lists.example.org')]
    expect(await delivery.deliver(ENVELOPE, message(OCTETS), recipients)).toEqual([
      { kind: 'delivered' },
      { kind: 'delivered' },
    ])
    await vi.waitFor(() => expect(kept()).toHaveLength(2), PATIENCE)
    await removed()
    expect(kept().every(octets => octets.equals(OCTETS))).toBe(true)
    expect(await client.xpending(KEY, 'archive')).toEqual([0, null, null, null])
    reader.kill('SIGTERM')
    expect(await once(reader, 'exit')).toEqual([0, null])
  })

  test('shares the mail with another, and neither gets the other’s', async () => {
    start('reader-1')
    start('reader-2')
    const recipients = Array.from({ length: 20 }, () => to('team@lists.example.org'))
    await delivery.deliver(ENVELOPE, message('x\r\n'), recipients)
    await removed()
    expect(kept()).toHaveLength(20)
  })

  test('that died over a message gets it again', async () => {
    await client.xgroup('CREATE', KEY, 'archive', '0', 'MKSTREAM')
    await delivery.deliver(ENVELOPE, message(OCTETS), [to('team@lists.example.org')])
    // As a reader of this name that ends here would have done.
    await client.xreadgroup('GROUP', 'archive', 'reader-1', 'STREAMS', KEY, '>')
    start('reader-1')
    await removed()
    expect(kept().map(octets => octets.equals(OCTETS))).toEqual([true])
  })

  test('goes on if what it was given is gone', async () => {
    await client.xgroup('CREATE', KEY, 'archive', '0', 'MKSTREAM')
    await delivery.deliver(ENVELOPE, message('gone\r\n'), [to('team@lists.example.org')])
    await client.xreadgroup('GROUP', 'archive', 'reader-1', 'STREAMS', KEY, '>')
    await client.del(KEY)
    await client.xgroup('CREATE', KEY, 'archive', '0', 'MKSTREAM')
    await delivery.deliver(ENVELOPE, message('there\r\n'), [to('team@lists.example.org')])
    const [[id] = ['']] = await client.xrange(KEY, '-', '+')
    await client.xreadgroup('GROUP', 'archive', 'reader-1', 'STREAMS', KEY, '>')
    await client.xdel(KEY, id)
    await delivery.deliver(ENVELOPE, message('next\r\n'), [to('team@lists.example.org')])
    start('reader-1')
    await removed()
    expect(kept().map(String)).toEqual(['next\r\n'])
  })
})
