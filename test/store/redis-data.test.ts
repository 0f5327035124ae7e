/** What stands in Redis: the one round trip of a question, what is written by hand, the schema, and what is left. */
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Store } from '../../src/app/ports.ts'
import { decide } from '../../src/core/decide.ts'
import { factsNeeded, INITIAL_SITE } from '../../src/core/facts.ts'
import { INITIAL_SETTINGS, parseSettings } from '../../src/core/list.ts'
import { parseMtaKey } from '../../src/core/mta.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { makePerson } from '../../src/core/person.ts'
import { parseWho, type Who } from '../../src/core/who.ts'
import { Keys } from '../../src/store/keys.ts'
import { openRedisStore } from '../../src/store/redis.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { address, must, reversePath } from '../support/vectors.ts'
import { countingProxy, type Turns } from './resp.ts'

const skip = redisMissing('what stands in Redis') !== undefined

const TEAM = address('team@lists.example.org').key
const ALICE = must(parseWho('alice@example.net'))
const MEMBER = must(makePerson(['member']))
const keys = new Keys()
const team = keys.list(TEAM)

const CLIENT = { ip: must(parseIpAddress('192.0.2.7')), name: 'mx.example.net', helo: 'mx.example.net' }
const SENDER = reversePath('alice@example.net')
const RCPT = {
  phase: 'RCPT',
  front: 'policy',
  client: CLIENT,
  sender: SENDER,
  recipient: address('team@lists.example.org'),
  recipientsBefore: 0,
  message: 'm1',
} as const

describe.skipIf(skip)('redis', () => {
  let server: RedisServer
  let admin: Redis
  let proxy: Turns
  let store: Store

  beforeAll(async () => {
    server = await startRedis()
    admin = new Redis({ path: server.socket })
    proxy = await countingProxy(server.socket)
  })
  afterAll(async () => {
    admin.disconnect()
    await proxy.close()
    await server.remove()
  })
  beforeEach(async () => {
    await admin.flushall()
    store = openRedisStore({ endpoint: { kind: 'tcp', host: '127.0.0.1', port: proxy.port } })
    await store.check()
    proxy.taken()
  })
  afterEach(() => store.close())

  async function allKeys(): Promise<string[]> {
    const found: string[] = []
    let cursor = '0'
    do {
      const [next, page] = await admin.scan(cursor, 'COUNT', 1000)
      found.push(...page)
      cursor = next
    } while (cursor !== '0')
    return found.sort()
  }

  async function stage(names: readonly string[]): ReturnType<Store['stagePeople']> {
    const staged = await store.stagePeople(TEAM)
    await staged.add(names.map(name => ({ who: must(parseWho(name)), person: MEMBER })))
    return staged
  }

  describe('a question', () => {
    async function commandsOf(tx: Parameters<typeof factsNeeded>[0]): Promise<readonly string[][]> {
      proxy.taken()
      await store.load(factsNeeded(tx, INITIAL_SITE))
      const { turns, commands } = proxy.taken()
      expect(turns).toBe(1)
      return commands
    }

    const heads = (commands: readonly string[][]): string[] =>
      commands.map(([name, key]) => `${name} ${key?.replace(TEAM, 'team')}`)

    test('at EHLO asks for the client', async () => {
      expect(heads(await commandsOf({ phase: 'EHLO', front: 'policy', client: CLIENT }))).toEqual([
        'GET postern:{site}:schema',
        'HLEN postern:{site}:mtas:known',
        'HMGET postern:{site}:mtas:known',
        'HMGET postern:{site}:mtas:refused',
      ])
    })

    test('at MAIL asks for the sender too', async () => {
      expect(heads(await commandsOf({ phase: 'MAIL', front: 'policy', client: {}, sender: SENDER }))).toEqual(
        ['GET postern:{site}:schema', 'HMGET postern:{site}:forbidden', 'HMGET postern:{site}:bans'],
      )
    })

    test('at RCPT asks for all it needs at once, by exact keys', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.putPerson(TEAM, { who: ALICE, person: MEMBER })
      const commands = await commandsOf(RCPT)
      expect(heads(commands)).toEqual([
        'GET postern:{site}:schema',
        'HLEN postern:{site}:mtas:known',
        'HMGET postern:{site}:mtas:known',
        'HMGET postern:{site}:mtas:refused',
        'HMGET postern:{site}:forbidden',
        'HMGET postern:{site}:bans',
        'HMGET postern:{site}:domains',
        'HGETALL postern:{team}:list',
        'HMGET postern:{team}:people',
        'HMGET postern:{team}:bans',
        'SCARD postern:{team}:posts:alice@example.net',
        'SISMEMBER postern:{team}:posts:alice@example.net',
      ])
      expect(commands.at(-4)?.slice(2)).toEqual([
        'alice@example.net',
        '@example.net',
        '@.example.net',
        '@.net',
      ])
    })

    test('without a message asks for no posts, without a sender for nobody', async () => {
      const { message: _, ...unnamed } = RCPT
      expect(heads(await commandsOf({ ...unnamed, client: {}, sender: reversePath('') }))).toEqual([
        'GET postern:{site}:schema',
        'HMGET postern:{site}:domains',
        'HGETALL postern:{team}:list',
      ])
    })

    test('about an address that three lists may have is one round trip as well', async () => {
      const recipient = address('team-owner+x@lists.example.org')
      const commands = await commandsOf({ ...RCPT, recipient })
      expect(commands.filter(([name]) => name === 'HGETALL').map(([, key]) => key)).toEqual([
        'postern:{team-owner+x@lists.example.org}:list',
        'postern:{team-owner@lists.example.org}:list',
        'postern:{team@lists.example.org}:list',
      ])
    })
  })

  describe('by hand', () => {
    const facts = async () => {
      const tx = { ...RCPT, afterAcceptance: true }
      return (await store.load(factsNeeded(tx, INITIAL_SITE))).lists.get(TEAM)
    }

    test('one field makes a list, and the others are as they are at first', async () => {
      expect(await facts()).toBeUndefined()
      await admin.hset(team.list, 'state', 'paused')
      const settings = must(parseSettings({ state: 'paused' }))
      expect((await facts())?.settings).toEqual({ ok: true, value: settings })
      expect(await store.putPerson(TEAM, { who: ALICE, person: MEMBER })).toBe('added')
      await admin.zadd(keys.site.lists, 0, TEAM)
      for await (const list of store.lists())
        expect(list).toEqual({ address: TEAM, settings: { ok: true, value: settings } })
    })

    test.each([
      ['a setting that there is not', ['colour', 'red'], /there is no setting colour/],
      ['a value that there is not', ['state', 'pause'], /state: expected one of active, paused, closed/],
      ['a name of JavaScript’s', ['__proto__', 'x'], /there is no setting __proto__/],
    ])('%s is a problem and no guess', async (_, [field, value], problem) => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.hset(team.list, field!, value!)
      const found = (await facts())?.settings
      expect(found).toEqual({ ok: false, problem: expect.stringMatching(problem) })
      expect((await store.getList(TEAM))?.settings).toEqual(found)
      const listed = []
      for await (const list of store.lists()) listed.push(list.settings)
      expect(listed).toEqual([found])
      await expect(store.updateList(TEAM, { mode: 'shadow' })).rejects.toMatchObject({
        code: 'POSTERN_STORED_DATA',
        message: expect.stringMatching(problem),
      })
      expect(await admin.hget(team.list, 'mode')).toBe('shadow')
    })

    test('a wrong value is put right by writing the setting', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.hset(team.list, 'state', 'pause')
      expect(await store.updateList(TEAM, { state: 'paused' })).toMatchObject({ state: 'paused' })
    })

    test('a person that cannot be read is a problem of that person', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.hset(team.people, { [ALICE]: 'membre', 'bob@example.net': 'member', '@example.net': '' })
      const people = (await facts())?.people
      expect(people?.get(ALICE)).toEqual({ ok: false, problem: expect.stringContaining('membre') })
      expect(people?.get('@example.net' as Who)).toMatchObject({ ok: false })
      expect(await store.getPerson(TEAM, ALICE)).toMatchObject({ ok: false })
      const listed = new Map<string, boolean>()
      for await (const { who, person } of store.people(TEAM)) listed.set(who, person.ok)
      expect(Object.fromEntries(listed)).toEqual({
        'alice@example.net': false,
        'bob@example.net': true,
        '@example.net': false,
      })
    })

    test.each([
      ['Alice@example.net', /should be alice@example\.net/],
      ['alice@EXAMPLE.net', /should be alice@example\.net/],
      ['@Example.NET', /should be @example\.net/],
      ['alice', /not an address/],
      ['"two words"@example.net', undefined],
      ['two words@example.net', undefined],
      ['@.example.net', undefined],
      ['alice@bücher.example', /should be alice@xn--bcher-kva\.example/],
    ])('the name %s, which is looked up as it is written', async (name, problem) => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.hset(team.people, name, 'member')
      for await (const { who, person } of store.people(TEAM)) {
        expect(who).toBe(name)
        expect(person).toEqual(
          problem === undefined
            ? { ok: true, value: MEMBER }
            : { ok: false, problem: expect.stringMatching(problem) },
        )
      }
      expect(await store.countPeople(TEAM)).toBe(1)
    })

    test('a note beside a ban is kept', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.hset(team.bans, ALICE, 'flooded us in May')
      expect(await store.addBan(TEAM, ALICE)).toBe('unchanged')
      expect(await admin.hget(team.bans, ALICE)).toBe('flooded us in May')
      expect([...((await facts())?.bans ?? [])]).toEqual([ALICE])
    })

    test.each([
      ['list', () => team.list],
      ['people', () => team.people],
      ['bans', () => team.bans],
      ['posts of a sender', () => team.postsOf(ALICE)],
      ['admissions', () => team.admitted],
    ])('another type of key where the %s should be is that list’s trouble alone', async (_, key) => {
      const other = address('other@lists.example.org')
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.createList(other.key, INITIAL_SETTINGS)
      await admin.del(key())
      await admin.set(key(), 'x')
      const found = (await facts())?.settings
      expect(found).toEqual({ ok: false, problem: expect.stringContaining(key()) })
      const near = (await store.load(factsNeeded({ ...RCPT, recipient: other }, INITIAL_SITE))).lists.get(
        other.key,
      )
      expect(near?.settings.ok).toBe(true)
    })

    test('another type of key where a command goes says so', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.set(team.people, 'x')
      for (const work of [
        () => store.getPerson(TEAM, ALICE),
        () => store.putPerson(TEAM, { who: ALICE, person: MEMBER }),
        () => store.countPeople(TEAM),
        () => store.people(TEAM)[Symbol.asyncIterator]().next(),
      ]) {
        await expect(work()).rejects.toMatchObject({
          code: 'POSTERN_STORED_DATA',
          message: `the key ${team.people} holds another type of value`,
        })
      }
      await admin.set(team.list, 'x')
      expect((await store.getList(TEAM))?.settings).toMatchObject({ ok: false })
      expect(await store.removeList(TEAM)).toBe(true)
      expect(await allKeys()).toEqual([keys.site.schema])
    })

    test('another type of key where the site’s should be makes every answer temporary', async () => {
      await admin.set(keys.site.bans, 'x')
      await expect(store.load(factsNeeded(RCPT, INITIAL_SITE))).rejects.toMatchObject({
        code: 'POSTERN_STORE_UNAVAILABLE',
        message: expect.stringContaining(keys.site.bans),
      })
    })

    test('a flavour of a domain that there is not: decisions go on, listings say so', async () => {
      await admin.hset(keys.site.domains, 'lists.example.org', 'mailwoman')
      expect((await store.load(factsNeeded(RCPT, INITIAL_SITE))).domain).toEqual({
        ok: true,
        value: { flavour: 'mailman' },
      })
      const { domain } = RCPT.recipient
      await expect(store.getDomain(domain)).rejects.toThrow(/lists\.example\.org.*mailwoman/)
      expect(await store.putDomain(domain, { flavour: 'sympa' })).toBe('changed')
      expect(await store.getDomain(domain)).toEqual({ flavour: 'sympa' })
    })

    test('a domain’s flavour alone is what is written where nothing else is set, and what is read', async () => {
      const { domain } = RCPT.recipient
      await store.putDomain(domain, { flavour: 'sympa' })
      expect(await admin.hget(keys.site.domains, domain)).toBe('sympa')
      await store.putDomain(domain, { flavour: 'sympa', delivery: 'archive' })
      expect(await admin.hget(keys.site.domains, domain)).toBe('sympa delivery=archive')
    })

    test.each(['mailman delivery=Archive', 'mailman wings=2', 'mailman sympa'])(
      'a domain that is %j: decisions defer, listings say so',
      async text => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await admin.hset(keys.site.domains, 'lists.example.org', text)
        const facts = await store.load(factsNeeded(RCPT, INITIAL_SITE))
        expect(facts.domain?.ok).toBe(false)
        expect(decide(RCPT, facts, INITIAL_SITE)).toMatchObject({ kind: 'defer', reason: 'list-unreadable' })
        await expect(store.getDomain(RCPT.recipient.domain)).rejects.toThrow(/lists\.example\.org/)
      },
    )

    test('an index that names a list that is gone is passed over', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.zadd(keys.site.lists, 0, 'gone@lists.example.org')
      const listed = []
      for await (const list of store.lists()) listed.push(list.address)
      expect(listed).toEqual([TEAM])
    })
  })

  describe('the schema', () => {
    test('is written with the first change, and not before', async () => {
      await store.load(factsNeeded(RCPT, INITIAL_SITE))
      await store.getList(TEAM)
      expect(await allKeys()).toEqual([])
      await store.addForbidden(ALICE)
      expect(await admin.get(keys.site.schema)).toBe('1')
    })

    test.each([
      ['2', /schema version 2.*knows 1.*too old/],
      ['0', /should be 1 and is "0"/],
      ['one', /should be 1 and is "one"/],
      ['', /should be 1 and is ""/],
    ])('%j is refused: nothing is judged by it and nothing is changed', async (version, message) => {
      await admin.set(keys.site.schema, version)
      await expect(store.check()).rejects.toMatchObject({
        code: 'POSTERN_STORE_SCHEMA',
        message: expect.stringMatching(message),
      })
      await expect(store.load(factsNeeded(RCPT, INITIAL_SITE))).rejects.toMatchObject({
        code: 'POSTERN_STORE_UNAVAILABLE',
        message: expect.stringMatching(message),
        cause: { code: 'POSTERN_STORE_SCHEMA' },
      })
      const changes = [
        () => store.addForbidden(ALICE),
        () => store.removeForbidden(ALICE),
        () => store.createList(TEAM, INITIAL_SETTINGS),
        () => store.updateList(TEAM, {}),
        () => store.removeList(TEAM),
        () => store.stagePeople(TEAM),
        () => store.countPost({ list: TEAM, sender: ALICE, message: 'm1', posts: 1, seconds: 60 }),
      ]
      for (const change of changes) {
        await expect(change()).rejects.toMatchObject({ code: 'POSTERN_STORE_SCHEMA' })
      }
      expect(await allKeys()).toEqual([keys.site.schema])
      await admin.set(keys.site.schema, '1')
      await store.check()
      expect(await store.addForbidden(ALICE)).toBe('added')
    })

    test('of a newer version that takes over counts with the next question', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.load(factsNeeded(RCPT, INITIAL_SITE))
      await admin.set(keys.site.schema, '2')
      await expect(store.load(factsNeeded(RCPT, INITIAL_SITE))).rejects.toThrow(/schema version 2/)
    })
  })

  describe('what is left', () => {
    test('of a list that was removed: nothing', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.addBan(TEAM, ALICE)
      const staged = await stage(['a@x.example', 'b@x.example'])
      await staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [ALICE] }, { dryRun: false })
      const posters = Array.from({ length: 1200 }, (_, i) => must(parseWho(`p${i}@x.example`)))
      const post = { list: TEAM, message: 'm', posts: 9, seconds: 3600 }
      await Promise.all([ALICE, ...posters].map(sender => store.countPost({ ...post, sender })))
      expect((await allKeys()).length).toBe(1201 + 6)
      await store.removeList(TEAM)
      expect(await allKeys()).toEqual([keys.site.schema])
    })

    test('of staged people that were abandoned or only tried: nothing', async () => {
      await (await stage(['a@x.example'])).abandon()
      const tried = await stage(['a@x.example'])
      await tried.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [ALICE] }, { dryRun: true })
      expect(await allKeys()).toEqual([keys.site.schema])
    })

    test('of an import that died: keys that expire, and what is committed does not', async () => {
      const staged = await stage(['a@x.example'])
      const [people] = (await allKeys()).filter(key => key.includes('staging'))
      expect(people).toMatch(/^postern:\{team@lists\.example\.org\}:people:staging:[0-9a-f-]{36}$/)
      const left = await admin.ttl(people!)
      expect(left).toBeGreaterThan(3500)
      expect(left).toBeLessThanOrEqual(3600)
      await admin.expire(people!, 10)
      await staged.add([{ who: ALICE, person: MEMBER }])
      expect(await admin.ttl(people!)).toBeGreaterThan(3500)
      await staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [ALICE] }, { dryRun: false })
      expect(await allKeys()).toEqual(
        [team.bans, team.list, team.people, keys.site.lists, keys.site.schema].sort(),
      )
      for (const key of await allKeys()) expect(await admin.ttl(key)).toBe(-1)
    })

    test('what was staged and has expired is not put in place as if nobody had been', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.putPerson(TEAM, { who: ALICE, person: MEMBER })
      const staged = await stage(['a@x.example'])
      await admin.del((await allKeys()).filter(key => key.includes('staging')))
      await expect(
        staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false }),
      ).rejects.toMatchObject({ code: 'POSTERN_STAGING_LOST' })
      expect(await store.getPerson(TEAM, ALICE)).toEqual({ ok: true, value: MEMBER })
    })

    test('of posts whose period has passed: nothing', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.countPost({ list: TEAM, sender: ALICE, message: 'm', posts: 9, seconds: 1 })
      expect(await allKeys()).toContain(team.postsOf(ALICE))
      await vi.waitFor(async () => expect(await allKeys()).not.toContain(team.posts), { timeout: 10_000 })
      expect(await allKeys()).toEqual([team.list, keys.site.lists, keys.site.schema].sort())
    })

    test('of admissions that have ended: nothing', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.admit({ list: TEAM, sender: ALICE, seconds: 1 })
      expect(await admin.ttl(team.admitted)).toBeGreaterThan(0)
      await vi.waitFor(async () => expect(await allKeys()).not.toContain(team.admitted), { timeout: 10_000 })
      expect(await allKeys()).toEqual([team.list, keys.site.lists, keys.site.schema].sort())
    })

    test('of admissions, some that have ended are forgotten with each, and the first to end if there are too many', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.call('ZADD', team.admitted, 1, 'old@x.example', 2, 'older@x.example')
      await store.admit({ list: TEAM, sender: ALICE, seconds: 60 })
      expect(await admin.zrange(team.admitted, '0', '-1')).toEqual([ALICE])
      await admin.eval(
        "for i = 1, 99999 do redis.call('ZADD', KEYS[1], 5000000000 + i, i .. '@x.example') end",
        1,
        team.admitted,
      )
      await store.admit({ list: TEAM, sender: must(parseWho('bob@example.net')), seconds: 120 })
      expect(await admin.zcard(team.admitted)).toBe(100_000)
      expect(await admin.zscore(team.admitted, ALICE)).toBeNull()
    })

    test('of senders whose period has passed, the index forgets some with each post', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await admin.call('ZADD', team.posts, 1, 'old@x.example', 2, 'older@x.example')
      await store.countPost({ list: TEAM, sender: ALICE, message: 'm', posts: 9, seconds: 60 })
      expect(await admin.zrange(team.posts, '0', '-1')).toEqual([ALICE])
    })
  })

  test('scripts that the server has forgotten are sent again', async () => {
    await store.createList(TEAM, INITIAL_SETTINGS)
    await admin.script('FLUSH')
    expect(await store.putPerson(TEAM, { who: ALICE, person: MEMBER })).toBe('added')
    proxy.taken()
    expect(await store.putPerson(TEAM, { who: ALICE, person: MEMBER })).toBe('unchanged')
    expect(proxy.taken().commands.map(([name]) => name)).toEqual(['EVALSHA'])
  })

  test('lists made and removed by two at once are in the index if they are there', async () => {
    const second = openRedisStore({ endpoint: { kind: 'unix', path: server.socket } })
    for (let round = 0; round < 30; round++) {
      await Promise.all([
        store.createList(TEAM, INITIAL_SETTINGS),
        second.removeList(TEAM),
        store.createList(TEAM, INITIAL_SETTINGS),
      ])
      const there = (await admin.exists(team.list)) === 1
      if (there) expect(await admin.zrange(keys.site.lists, '0', '-1')).toEqual([TEAM])
    }
    await second.close()
  })

  describe('the work of a decision', () => {
    /** How often each command was called, and the bytes both ways, for one question. */
    async function cost(): Promise<{ readonly calls: Record<string, number>; readonly bytes: number }> {
      await admin.config('RESETSTAT')
      proxy.taken()
      const facts = await store.load(factsNeeded(RCPT, INITIAL_SITE))
      expect(facts.lists.get(TEAM)?.people.get(ALICE)).toEqual({ ok: true, value: MEMBER })
      const { bytes } = proxy.taken()
      const lines = (await admin.info('commandstats')).split('\r\n')
      const calls = lines.flatMap(line => {
        const match = /^cmdstat_([a-z]+):calls=(\d+)/.exec(line)
        return match === null || match[1] === 'info' ? [] : [[match[1], Number(match[2])] as const]
      })
      return { calls: Object.fromEntries(calls), bytes: bytes.sent + bytes.received }
    }

    test('is the same for ten members and for a hundred thousand', async () => {
      await store.createList(TEAM, INITIAL_SETTINGS)
      await store.addMta('known', must(parseMtaKey('192.0.2.0/24')))
      await store.putPerson(TEAM, { who: ALICE, person: MEMBER })
      const fill = (count: number): Promise<unknown> =>
        admin.eval(
          "for i = 1, ARGV[1] do redis.call('HSET', KEYS[1], 'p' .. i .. '@x.example', 'member'); redis.call('HSET', KEYS[2], 'b' .. i .. '@x.example', '') end",
          2,
          team.people,
          team.bans,
          String(count),
        )
      await fill(9)
      const small = await cost()
      await fill(100_000)
      expect(await store.countPeople(TEAM)).toBe(100_001)
      expect(await cost()).toEqual(small)
      expect(small.calls).toEqual({ get: 1, hlen: 1, hmget: 7, hgetall: 1, scard: 1, sismember: 1 })
    })
  })
})
