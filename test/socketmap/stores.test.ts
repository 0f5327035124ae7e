/** Look-ups in the real stores: by exact keys, in one round trip, and a change is known at the next one. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { NO_LOG } from '../../src/app/log.ts'
import type { Store } from '../../src/app/ports.ts'
import { parseDomain } from '../../src/core/domain.ts'
import { INITIAL_SETTINGS } from '../../src/core/list.ts'
import { SocketmapExchange } from '../../src/socketmap/exchange.ts'
import { openEmbeddedStore } from '../../src/store/embedded.ts'
import { openRedisStore } from '../../src/store/redis.ts'
import { countingProxy, type Turns } from '../store/resp.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { address, must } from '../support/vectors.ts'
import { lookupIn, netstring, SETTINGS } from './socketmap-server.ts'

const TEAM = address('team@lists.example.org').key
const DOMAIN = must(parseDomain('lists.example.org'))

/** Asks for one thing: the answer, and whether it was at hand. */
async function ask(store: Store, request: string): Promise<{ answer: string; atHand: boolean }> {
  const exchange = new SocketmapExchange({ lookup: lookupIn(store), log: NO_LOG, settings: SETTINGS })
  exchange.feed(Buffer.from(netstring(request)))
  const answer = exchange.next()
  const text = await answer
  if (typeof text !== 'string') throw new Error('no answer')
  return { answer: text.replace(/^\d+:|,$/g, ''), atHand: !(answer instanceof Promise) }
}

async function fill(store: Store): Promise<void> {
  await store.putDomain(DOMAIN, { flavour: 'mailman', delivery: undefined })
  await store.createList(TEAM, INITIAL_SETTINGS)
}

/** A list that is made and removed is there and gone at the next question. */
async function followsChanges(store: Store): Promise<void> {
  const request = 'recipient fresh@lists.example.org'
  const fresh = address('fresh@lists.example.org').key
  expect((await ask(store, request)).answer).toBe('NOTFOUND ')
  await store.createList(fresh, INITIAL_SETTINGS)
  expect((await ask(store, request)).answer).toBe('OK fresh@lists.example.org')
  await store.removeList(fresh)
  expect((await ask(store, request)).answer).toBe('NOTFOUND ')
}

describe.skipIf(redisMissing('socketmap in Redis'))('in Redis', () => {
  let redis: RedisServer
  let proxy: Turns
  let store: Store
  beforeAll(async () => {
    redis = await startRedis()
    proxy = await countingProxy(redis.socket)
    store = openRedisStore({ endpoint: { kind: 'tcp', host: '127.0.0.1', port: proxy.port } })
    await fill(store)
  })
  afterAll(async () => {
    await store?.close()
    await proxy?.close()
    await redis?.remove()
  })

  test.each<[string, string, number, string[]]>([
    ['recipient team@lists.example.org', 'OK team@lists.example.org', 1, ['team@lists.example.org']],
    [
      'recipient team-owner+x@lists.example.org',
      'OK team@lists.example.org',
      1,
      ['team-owner+x@lists.example.org', 'team-owner@lists.example.org', 'team@lists.example.org'],
    ],
    ['domain lists.example.org', 'OK lists.example.org', 1, []],
    ['transport team@lists.example.org', 'OK lmtp:inet:127.0.0.1:10042', 1, []],
    ['restriction team@lists.example.org', 'OK postern', 1, []],
    ['alias abuse@lists.example.org', 'OK postmaster@example.org', 1, ['abuse@lists.example.org']],
    ['alias team@lists.example.org', 'NOTFOUND ', 0, []],
    ['recipient team', 'NOTFOUND ', 0, []],
    ['transport *', 'NOTFOUND ', 0, []],
  ])('%s: %s in %d round trips', async (request, want, trips, lists) => {
    proxy.taken()
    expect((await ask(store, request)).answer).toBe(want)
    const { turns, commands } = proxy.taken()
    expect(turns).toBe(trips)
    const read = commands
      .filter(([name]) => name === 'HGETALL')
      .map(([, key]) => /\{(.*)\}/.exec(key ?? '')?.[1])
    expect(read).toEqual(lists)
    // Nothing about people, bans, MTAs or posts.
    const names = commands.map(([name]) => name)
    expect(new Set(names)).toEqual(
      new Set(trips === 0 ? [] : ['GET', 'HMGET', ...lists.map(() => 'HGETALL')]),
    )
    expect(names.filter(name => name === 'HMGET').length).toBe(trips)
  })

  test('a change is known at the next question', () => followsChanges(store))
})

describe('in the embedded store', () => {
  const path = mkdtempSync(join(tmpdir(), 'socketmap-store-'))
  let store: Store
  beforeAll(async () => {
    store = await openEmbeddedStore({ path })
    await fill(store)
  })
  afterAll(async () => {
    await store?.close()
    rmSync(path, { recursive: true, force: true })
  })

  test.each([
    ['recipient team-owner+x@lists.example.org', 'OK team@lists.example.org'],
    ['domain lists.example.org', 'OK lists.example.org'],
    ['alias abuse@lists.example.org', 'OK postmaster@example.org'],
  ])('%s is answered at once', async (request, answer) => {
    expect(await ask(store, request)).toEqual({ answer, atHand: true })
  })

  test('a change is known at the next question', () => followsChanges(store))
})
