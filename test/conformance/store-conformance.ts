/**
 * What every store promises (`src/app/ports.ts`), as tests that each adapter runs: the memory store of the other tests,
 * the embedded store, and Redis in each way to reach it.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PersonEntry, Store } from '../../src/app/ports.ts'
import { type Facts, type FactsQuery, factsNeeded, INITIAL_SITE, isEmptyQuery } from '../../src/core/facts.ts'
import { INITIAL_SETTINGS, type ListSettings, parseSettings } from '../../src/core/list.ts'
import type { MtaKey } from '../../src/core/mta.ts'
import { parseMtaKey } from '../../src/core/mta.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { makePerson, type Person, parsePerson, type Role } from '../../src/core/person.ts'
import type { ListAddress, Transaction } from '../../src/core/transaction.ts'
import { parseWho, type Who, whoIs, whoKeysOf } from '../../src/core/who.ts'
import { address, must, reversePath } from '../support/vectors.ts'

/** A store in a state of its own: empty, and nobody else's. */
export interface StoreUnderTest {
  readonly store: Store
  /** Another handle to the same data. */
  readonly other: Store
  /** Moves the store's clock, where it has one that can be moved; otherwise time passes by itself. */
  advance(ms: number): void
  close(): Promise<void>
}

const TEAM = address('team@lists.example.org').key
const OTHER = address('other@lists.example.org').key
const ALICE = who('alice@example.net')
const BOB = who('bob@example.net')
const DOMAIN = TEAM.slice(TEAM.indexOf('@') + 1) as FactsQuery['domain'] & string

const NOTHING_ASKED: FactsQuery = {
  provenMtas: [],
  claimedMtas: [],
  sender: [],
  authors: [],
  domain: undefined,
  lists: [],
  poster: undefined,
  message: undefined,
}

function who(text: string): Who {
  return must(parseWho(text))
}

function mta(text: string): MtaKey {
  return must(parseMtaKey(text))
}

function person(...roles: Role[]): Person {
  return must(makePerson(roles))
}

function settings(texts: Record<string, string> = {}): ListSettings {
  return must(parseSettings(texts))
}

function members(names: readonly string[]): PersonEntry[] {
  return names.map(name => ({ who: who(name), person: person('member') }))
}

async function all<T>(entries: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = []
  for await (const entry of entries) found.push(entry)
  return found
}

async function sorted<T extends string>(entries: AsyncIterable<T>): Promise<T[]> {
  return (await all(entries)).sort()
}

/** Everybody on a list, by name, as their texts. */
async function peopleOf(store: Store, list: ListAddress): Promise<Record<string, string>> {
  const entries = await all(store.people(list))
  const texts = entries.map(entry => [entry.who, must(entry.person).roles.join(' ')] as const)
  expect(new Set(texts.map(([name]) => name)).size).toBe(texts.length)
  return Object.fromEntries(texts.sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Local parts that a careless key would trip over. */
const ODD_LOCAL_PARTS = [
  '{curly}',
  '}',
  '{',
  '{}',
  '}{',
  'a}:list',
  'team@lists.example.org}',
  '%7Bcurly%7D',
  '*',
  '[a-z]?',
  'a:b',
  '@',
  '@x',
  'two words',
  'say "hi"',
  '"quoted"',
  'back\\slash',
  "o'neill",
  'site',
  'grüße',
  'почта',
  '日本語',
  '🦊',
  'ﬀ',
  '-',
  '__proto__',
  'constructor',
] as const

/** An address whose decoded local part is `local`. */
function odd(local: string): ReturnType<typeof address> {
  return address(`"${local.replace(/["\\]/g, '\\$&')}"@lists.example.org`)
}

/** The longest local part that there is, in characters of three bytes. */
const LONGEST = '語'.repeat(255)

/** Runs the suite. `make` gives an empty store. */
export function describeStore(
  name: string,
  make: () => Promise<StoreUnderTest>,
  options: { readonly skip?: boolean } = {},
): void {
  describe.skipIf(options.skip === true)(`${name}: a store`, () => {
    let under: StoreUnderTest
    let store: Store
    let other: Store

    beforeEach(async () => {
      under = await make()
      store = under.store
      other = under.other
    })

    afterEach(async () => {
      await under.close()
    })

    const load = async (query: Partial<FactsQuery>): Promise<Facts> =>
      store.load({ ...NOTHING_ASKED, ...query })

    test('says what it is, and that it is well', async () => {
      expect(store.description).toMatch(/\S/)
      await expect(store.check()).resolves.toBeUndefined()
    })

    describe('domains', () => {
      test('are put, changed, found, listed and removed', async () => {
        expect(await store.getDomain(DOMAIN)).toBeUndefined()
        expect(await store.putDomain(DOMAIN, { flavour: 'mailman' })).toBe('added')
        expect(await store.putDomain(DOMAIN, { flavour: 'mailman' })).toBe('unchanged')
        expect(await store.putDomain(DOMAIN, { flavour: 'sympa' })).toBe('changed')
        expect(await other.getDomain(DOMAIN)).toEqual({ flavour: 'sympa' })
        expect(await all(other.domains())).toEqual([{ domain: DOMAIN, record: { flavour: 'sympa' } }])
        expect((await load({ domain: DOMAIN })).domain).toEqual({ ok: true, value: { flavour: 'sympa' } })
        expect(await store.removeDomain(DOMAIN)).toBe(true)
        expect(await store.removeDomain(DOMAIN)).toBe(false)
        expect((await load({ domain: DOMAIN })).domain).toBeUndefined()
        expect(await all(other.domains())).toEqual([])
      })

      test('keep all their settings, and each counts as a change', async () => {
        const record = { flavour: 'mlmmj', delivery: 'archive' } as const
        expect(await store.putDomain(DOMAIN, record)).toBe('added')
        expect(await store.putDomain(DOMAIN, { ...record })).toBe('unchanged')
        expect(await other.getDomain(DOMAIN)).toEqual(record)
        expect(await all(other.domains())).toEqual([{ domain: DOMAIN, record }])
        expect((await load({ domain: DOMAIN })).domain).toEqual({ ok: true, value: record })
        expect(await store.putDomain(DOMAIN, { flavour: 'mlmmj' })).toBe('changed')
        expect((await load({ domain: DOMAIN })).domain).toEqual({ ok: true, value: { flavour: 'mlmmj' } })
      })
    })

    describe('lists', () => {
      test('are made once, with all their settings', async () => {
        const given = settings({
          flavour: 'mlmmj',
          state: 'paused',
          rate: '7/2h',
          reply_text: 'Ask the owners',
          max_size: '123456789012',
        })
        expect(await store.getList(TEAM)).toBeUndefined()
        expect(await store.createList(TEAM, given)).toBe('added')
        expect(await store.createList(TEAM, INITIAL_SETTINGS)).toBe('unchanged')
        expect(await other.getList(TEAM)).toEqual({ address: TEAM, settings: { ok: true, value: given } })
        expect((await load({ lists: [TEAM] })).lists.get(TEAM)?.settings).toEqual({ ok: true, value: given })
      })

      test('change some of their settings, and keep the others', async () => {
        expect(await store.updateList(TEAM, { state: 'paused' })).toBeUndefined()
        expect(await store.getList(TEAM)).toBeUndefined()
        await store.createList(TEAM, settings({ rate: '7/2h', max_size: '5' }))
        const changed = settings({ max_size: '5', state: 'closed' })
        expect(await store.updateList(TEAM, { state: 'closed', rate: undefined })).toEqual(changed)
        expect(await store.updateList(TEAM, {})).toEqual(changed)
        expect(must((await other.getList(TEAM))!.settings)).toEqual(changed)
      })

      test('changed from two handles at once keep both changes', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await Promise.all([
          store.updateList(TEAM, { state: 'paused' }),
          other.updateList(TEAM, { mode: 'shadow' }),
          store.updateList(TEAM, { max_size: 9 }),
        ])
        expect(must((await store.getList(TEAM))!.settings)).toEqual(
          settings({ state: 'paused', mode: 'shadow', max_size: '9' }),
        )
      })

      test('made from two handles at once are made once', async () => {
        const made = await Promise.all(
          [store, other, store, other].map(handle => handle.createList(TEAM, INITIAL_SETTINGS)),
        )
        expect(made.sort()).toEqual(['added', 'unchanged', 'unchanged', 'unchanged'])
      })

      test('go with all that belongs to them', async () => {
        await store.createList(TEAM, settings({ rate: '5/1h' }))
        await store.putPerson(TEAM, { who: ALICE, person: person('member') })
        await store.addBan(TEAM, BOB)
        const post = { list: TEAM, sender: ALICE, posts: 5, seconds: 3600 }
        await store.countPost({ ...post, message: 'm1' })
        expect(await store.removeList(TEAM)).toBe(true)
        expect(await store.removeList(TEAM)).toBe(false)
        expect(await all(other.lists())).toEqual([])
        expect((await load({ lists: [TEAM], sender: [ALICE] })).lists.size).toBe(0)
        await store.createList(TEAM, INITIAL_SETTINGS)
        expect(await store.countPeople(TEAM)).toBe(0)
        expect(await all(store.people(TEAM))).toEqual([])
        expect(await all(store.bans(TEAM))).toEqual([])
        const [facts] = (await load({ lists: [TEAM], poster: ALICE, message: 'm1' })).lists.values()
        expect(facts?.posts).toEqual({ made: 0, counted: false })
      })

      test('that go take nothing of others with them', async () => {
        const near = odd('team@lists.example.org x').key
        for (const list of [TEAM, OTHER, near]) {
          await store.createList(list, INITIAL_SETTINGS)
          await store.putPerson(list, { who: ALICE, person: person('member') })
          await store.countPost({ list, sender: ALICE, message: 'm1', posts: 5, seconds: 3600 })
        }
        await store.removeList(TEAM)
        const facts = await load({ lists: [OTHER, near], sender: [ALICE], poster: ALICE, message: 'm1' })
        for (const list of [OTHER, near]) {
          expect(facts.lists.get(list)?.people.size).toBe(1)
          expect(facts.lists.get(list)?.posts).toEqual({ made: 1, counted: true })
        }
      })

      test('are listed by address, all or of one domain', async () => {
        const names = [
          'b@x.example',
          'a@x.example',
          'a@y.example',
          'é@x.example',
          '"a@x.example"@y.example',
          '"@x"@y.example',
        ]
        const keys = [...names.map(text => address(text).key), odd('🦊').key, odd('\uffdc').key]
        for (const key of keys) await store.createList(key, INITIAL_SETTINGS)
        const bytes = (key: string): string => Buffer.from(key).toString('hex')
        const inOrder = [...keys].sort((a, b) => (bytes(a) < bytes(b) ? -1 : 1))
        expect((await all(other.lists())).map(list => list.address)).toEqual(inOrder)
        const ofX = (await all(other.lists(address('a@x.example').domain))).map(list => list.address)
        expect(ofX).toEqual(inOrder.filter(key => key.endsWith('@x.example')))
        expect(await all(other.lists(address('a@z.example').domain))).toEqual([])
      })

      test('are listed in bounded steps, while they come and go', async () => {
        const keys = Array.from({ length: 1203 }, (_, i) => address(`l${10_000 + i}@x.example`).key)
        await Promise.all(keys.map(key => store.createList(key, INITIAL_SETTINGS)))
        const seen: ListAddress[] = []
        for await (const { address: key } of store.lists()) {
          seen.push(key)
          if (seen.length === 700) await other.removeList(keys[3]!)
        }
        expect(seen).toEqual(keys)
        expect(await all(store.lists())).toHaveLength(1202)
      })
    })

    describe('people', () => {
      test('belong to lists that are there', async () => {
        expect(await store.putPerson(TEAM, { who: ALICE, person: person('member') })).toBeUndefined()
        expect(await store.removePerson(TEAM, ALICE)).toBe(false)
        expect(await store.getPerson(TEAM, ALICE)).toBeUndefined()
        expect(await store.countPeople(TEAM)).toBe(0)
        expect(await all(store.people(TEAM))).toEqual([])
        await store.createList(TEAM, INITIAL_SETTINGS)
        expect(await store.countPeople(TEAM)).toBe(0)
      })

      test('are put, changed, found, counted, listed and removed', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        expect(await store.putPerson(TEAM, { who: ALICE, person: person('member') })).toBe('added')
        expect(await store.putPerson(TEAM, { who: ALICE, person: person('member') })).toBe('unchanged')
        const owner = must(parsePerson('owner member action=hold'))
        expect(await store.putPerson(TEAM, { who: ALICE, person: owner })).toBe('changed')
        expect(await other.putPerson(TEAM, { who: who('@.example.com'), person: person('nonmember') })).toBe(
          'added',
        )
        expect(await other.getPerson(TEAM, ALICE)).toEqual({ ok: true, value: owner })
        expect(await other.countPeople(TEAM)).toBe(2)
        expect(await peopleOf(other, TEAM)).toEqual({
          '@.example.com': 'nonmember',
          'alice@example.net': 'owner member',
        })
        expect(await store.removePerson(TEAM, ALICE)).toBe(true)
        expect(await store.removePerson(TEAM, ALICE)).toBe(false)
        expect(await store.countPeople(TEAM)).toBe(1)
      })

      test('added from two handles at once are all there', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        const names = Array.from({ length: 200 }, (_, i) => `p${i}@example.net`)
        const changes = await Promise.all(
          names.flatMap(name => [store, other].map(handle => handle.putPerson(TEAM, members([name])[0]!))),
        )
        expect(changes.filter(change => change === 'added')).toHaveLength(200)
        expect(changes.filter(change => change === 'unchanged')).toHaveLength(200)
        expect(await store.countPeople(TEAM)).toBe(200)
      })

      test('are listed in bounded steps, all of them', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        const names = Array.from({ length: 3000 }, (_, i) => `p${i}@example.net`)
        const staged = await store.stagePeople(TEAM)
        await staged.add(members(names))
        await staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false })
        const seen = new Set<string>()
        for await (const entry of store.people(TEAM)) {
          seen.add(entry.who)
          if (seen.size % 1000 === 0) await load({ lists: [TEAM], sender: [ALICE] })
        }
        expect([...seen].sort()).toEqual([...names].sort())
        for await (const _ of store.people(TEAM)) break
      })
    })

    describe('bans', () => {
      test('belong to a list or to the site', async () => {
        expect(await store.addBan(TEAM, ALICE)).toBeUndefined()
        expect(await store.addBan('site', BOB)).toBe('added')
        await store.createList(TEAM, INITIAL_SETTINGS)
        expect(await store.addBan(TEAM, ALICE)).toBe('added')
        expect(await other.addBan(TEAM, ALICE)).toBe('unchanged')
        expect(await other.addBan('site', BOB)).toBe('unchanged')
        expect(await all(other.bans(TEAM))).toEqual([ALICE])
        expect(await all(other.bans('site'))).toEqual([BOB])
        const facts = await load({ lists: [TEAM], sender: [ALICE, BOB] })
        expect([...facts.siteBans]).toEqual([BOB])
        expect([...(facts.lists.get(TEAM)?.bans ?? [])]).toEqual([ALICE])
        expect(await store.removeBan(TEAM, BOB)).toBe(false)
        expect(await store.removeBan(OTHER, ALICE)).toBe(false)
        expect(await store.removeBan(TEAM, ALICE)).toBe(true)
        expect(await store.removeBan('site', BOB)).toBe(true)
        expect(await store.removeBan('site', BOB)).toBe(false)
        expect(await all(other.bans('site'))).toEqual([])
      })
    })

    describe('forbidden senders and MTAs', () => {
      test('are added, listed and removed', async () => {
        const forbidden = [who('@spam.example'), who('@.spam.example'), ALICE].sort()
        for (const entry of forbidden) expect(await store.addForbidden(entry)).toBe('added')
        expect(await store.addForbidden(ALICE)).toBe('unchanged')
        expect(await sorted(other.forbidden())).toEqual(forbidden)
        expect(await other.removeForbidden(ALICE)).toBe(true)
        expect(await other.removeForbidden(ALICE)).toBe(false)
        expect(await sorted(store.forbidden())).toEqual(forbidden.filter(entry => entry !== ALICE))
      })

      test.each(['known', 'refused'] as const)('%s MTAs', async list => {
        const keys = [
          mta('192.0.2.0/24'),
          mta('2001:db8::/32'),
          mta('mx.example.net'),
          mta('.example.com'),
        ].sort()
        for (const key of keys) expect(await store.addMta(list, key)).toBe('added')
        expect(await other.addMta(list, keys[0]!)).toBe('unchanged')
        expect(await sorted(other.mtas(list))).toEqual(keys)
        expect(await all(store.mtas(list === 'known' ? 'refused' : 'known'))).toEqual([])
        for (const key of keys) expect(await other.removeMta(list, key)).toBe(true)
        expect(await other.removeMta(list, keys[0]!)).toBe(false)
        expect(await all(store.mtas(list))).toEqual([])
      })
    })

    describe('what decisions look up', () => {
      const ip = must(parseIpAddress('2001:db8::25'))
      const client = { ip, name: 'mx.example.net', helo: 'helo.example.com' }
      const sender = reversePath('Alice@Example.NET')
      const recipient = address('team-owner@lists.example.org')

      async function found(tx: Transaction): Promise<Facts> {
        const query = factsNeeded(tx, INITIAL_SITE)
        expect(isEmptyQuery(query)).toBe(false)
        return store.load(query)
      }

      beforeEach(async () => {
        await store.putDomain(DOMAIN, { flavour: 'mailman' })
        await store.addMta('known', mta('2001:db8::/32'))
        await store.addMta('known', mta('.example.net'))
        await store.addMta('refused', mta('.example.com'))
        await store.addForbidden(who('@.net'))
        await store.addBan('site', who('@example.net'))
        await store.createList(TEAM, settings({ rate: '5/1h' }))
        await store.putPerson(TEAM, { who: ALICE, person: person('member') })
        await store.putPerson(TEAM, { who: who('@.example.net'), person: person('nonmember') })
        await store.putPerson(TEAM, { who: BOB, person: person('owner') })
        await store.addBan(TEAM, BOB)
        await store.countPost({ list: TEAM, sender: ALICE, message: 'm1', posts: 5, seconds: 3600 })
      })

      test.each(['CONNECT', 'EHLO'] as const)('%s: the client', async phase => {
        expect(await found({ phase, front: 'policy', client })).toEqual({
          knownMtasKept: true,
          knownMta: '2001:db8::/32',
          refusedMta: '.example.com',
          forbidden: new Set(),
          siteBans: new Set(),
          domain: undefined,
          lists: new Map(),
        })
      })

      test('MAIL: the client and the sender', async () => {
        expect(await found({ phase: 'MAIL', front: 'policy', client, sender })).toEqual({
          knownMtasKept: true,
          knownMta: '2001:db8::/32',
          refusedMta: '.example.com',
          forbidden: new Set(['@.net']),
          siteBans: new Set(['@example.net']),
          domain: undefined,
          lists: new Map(),
        })
      })

      test('RCPT: everything but what nobody asked', async () => {
        const tx = { phase: 'RCPT', front: 'policy', client, sender, recipient, recipientsBefore: 0 } as const
        const facts = await found({ ...tx, message: 'm1' })
        expect(facts).toEqual({
          knownMtasKept: true,
          knownMta: '2001:db8::/32',
          refusedMta: '.example.com',
          forbidden: new Set(['@.net']),
          siteBans: new Set(['@example.net']),
          domain: { ok: true, value: { flavour: 'mailman' } },
          lists: new Map([
            [
              TEAM,
              {
                address: TEAM,
                settings: { ok: true, value: settings({ rate: '5/1h' }) },
                people: new Map([
                  [ALICE, { ok: true, value: person('member') }],
                  ['@.example.net', { ok: true, value: person('nonmember') }],
                ]),
                bans: new Set(),
                posts: { made: 1, counted: true },
              },
            ],
          ]),
        })
        const unnamed = await found(tx)
        expect(unnamed.lists.get(TEAM)?.posts).toEqual({ made: 0, counted: false })
        const another = await found({ ...tx, message: 'm2' })
        expect(another.lists.get(TEAM)?.posts).toEqual({ made: 1, counted: false })
      })

      test('RCPT from the null sender: the list alone', async () => {
        const null_ = reversePath('')
        const tx = {
          phase: 'RCPT',
          front: 'policy',
          client: {},
          sender: null_,
          recipient,
          recipientsBefore: 0,
        } as const
        const facts = await found({ ...tx, message: 'm1' })
        expect(facts).toMatchObject({ forbidden: new Set(), siteBans: new Set() })
        expect(facts.lists.get(TEAM)).toMatchObject({
          people: new Map(),
          bans: new Set(),
          posts: { made: 0, counted: false },
        })
      })

      test('END-OF-MESSAGE: the authors too, each once', async () => {
        const authors = ['bob@example.net', 'alice@example.net', 'carol@example.com'].map(address)
        const facts = await found({
          phase: 'END-OF-MESSAGE',
          front: 'lmtp',
          client,
          sender,
          recipient,
          size: 1,
          settledAtRcpt: false,
          authorship: { from: authors, all: authors },
          afterAcceptance: true,
        })
        expect(facts.knownMta).toBeUndefined()
        expect(facts.refusedMta).toBeUndefined()
        const list = facts.lists.get(TEAM)
        expect([...(list?.people.keys() ?? [])].sort()).toEqual(['@.example.net', ALICE, BOB])
        expect([...(list?.bans ?? [])]).toEqual([BOB])
        expect(list?.posts).toEqual({ made: 0, counted: false })
      })

      test('the key that is nearest to the client counts', async () => {
        await store.addMta('known', mta('2001:db8::25'))
        await store.addMta('refused', mta('::/0'))
        const facts = await found({ phase: 'EHLO', front: 'policy', client })
        expect(facts).toMatchObject({ knownMta: '2001:db8::25', refusedMta: '::/0' })
        await store.removeMta('refused', mta('::/0'))
        await store.addMta('refused', mta('helo.example.com'))
        expect((await found({ phase: 'EHLO', front: 'policy', client })).refusedMta).toBe('helo.example.com')
      })

      test('no list of known MTAs is kept when it is empty', async () => {
        await store.removeMta('known', mta('2001:db8::/32'))
        expect((await found({ phase: 'EHLO', front: 'policy', client })).knownMta).toBe('.example.net')
        await store.removeMta('known', mta('.example.net'))
        expect(await found({ phase: 'EHLO', front: 'policy', client })).toMatchObject({
          knownMtasKept: false,
          knownMta: undefined,
        })
      })

      test('a change is seen by the next look of another handle', async () => {
        const query = { ...NOTHING_ASKED, lists: [TEAM], sender: [BOB] }
        for (let round = 0; round < 20; round++) {
          await store.removePerson(TEAM, BOB)
          expect((await other.load(query)).lists.get(TEAM)?.people.size).toBe(0)
          await store.putPerson(TEAM, { who: BOB, person: person('member') })
          expect((await other.load(query)).lists.get(TEAM)?.people.size).toBe(1)
        }
      })
    })

    describe('posts', () => {
      const post = { list: TEAM, sender: ALICE, posts: 3, seconds: 1 }
      const postsOf = async (sender: Who, message: string): Promise<unknown> =>
        (await load({ lists: [TEAM], poster: sender, message })).lists.get(TEAM)?.posts

      test('are counted once for each message and sender', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await store.countPost({ ...post, seconds: 3600, message: 'm1' })
        await other.countPost({ ...post, seconds: 3600, message: 'm1' })
        expect(await postsOf(ALICE, 'm1')).toEqual({ made: 1, counted: true })
        expect(await postsOf(ALICE, 'm2')).toEqual({ made: 1, counted: false })
        expect(await postsOf(BOB, 'm1')).toEqual({ made: 0, counted: false })
      })

      test('counted at once from two handles are all there, and not more than are wanted', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        const messages = Array.from({ length: 30 }, (_, i) => `m${i % 15}`)
        await Promise.all(
          messages.map((message, i) =>
            (i % 2 === 0 ? store : other).countPost({ ...post, posts: 10, seconds: 3600, message }),
          ),
        )
        expect(await postsOf(ALICE, 'x')).toEqual({ made: 10, counted: false })
      })

      test('are forgotten when the period that the first began has passed', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await store.countPost({ ...post, message: 'm1' })
        await store.countPost({ ...post, message: 'm2' })
        expect(await postsOf(ALICE, 'm2')).toEqual({ made: 2, counted: true })
        under.advance(999)
        await store.countPost({ ...post, message: 'm2' })
        under.advance(1)
        await expect.poll(() => postsOf(ALICE, 'm2'), { timeout: 5000 }).toEqual({ made: 0, counted: false })
        await store.countPost({ ...post, seconds: 3600, message: 'm3' })
        expect(await postsOf(ALICE, 'm3')).toEqual({ made: 1, counted: true })
      })

      test('are not counted for a list that is not there', async () => {
        await store.countPost({ ...post, seconds: 3600, message: 'm1' })
        await store.createList(TEAM, INITIAL_SETTINGS)
        expect(await postsOf(ALICE, 'm1')).toEqual({ made: 0, counted: false })
      })

      test('stay when the list is replaced', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await store.countPost({ ...post, seconds: 3600, message: 'm1' })
        const staged = await store.stagePeople(TEAM)
        await staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false })
        expect(await postsOf(ALICE, 'm1')).toEqual({ made: 1, counted: true })
      })

      test.each([
        ['a long id', 'x'.repeat(5000)],
        ['controls', 'a\u0000b\r\n'],
        ['nothing', ''],
        ['other scripts', 'née 🦊'],
      ])('take any message id: %s', async (_, message) => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await store.countPost({ ...post, seconds: 3600, message })
        expect(await postsOf(ALICE, message)).toEqual({ made: 1, counted: true })
        expect(await postsOf(ALICE, `${message}.`)).toEqual({ made: 1, counted: false })
      })
    })

    describe('admissions', () => {
      const admission = { list: TEAM, sender: ALICE, seconds: 3600 }
      const isAdmitted = async (list: ListAddress, sender: Who): Promise<boolean | undefined> =>
        (await load({ lists: [list], admitted: sender })).lists.get(list)?.admitted

      test('are those of the one address to the one list', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await store.createList(OTHER, INITIAL_SETTINGS)
        await store.admit(admission)
        await other.admit(admission)
        expect(await isAdmitted(TEAM, ALICE)).toBe(true)
        expect(await isAdmitted(TEAM, BOB)).toBe(false)
        expect(await isAdmitted(OTHER, ALICE)).toBe(false)
      })

      test('are not told if nobody asks', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await store.admit(admission)
        const list = (await load({ lists: [TEAM], sender: [ALICE] })).lists.get(TEAM)
        expect(list).toBeDefined()
        expect(list && 'admitted' in list).toBe(false)
      })

      test('are forgotten in time, counted from the last one', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await store.admit({ ...admission, seconds: 1 })
        await store.admit({ ...admission, sender: BOB, seconds: 1 })
        await other.admit(admission)
        expect(await isAdmitted(TEAM, BOB)).toBe(true)
        under.advance(1000)
        await expect.poll(() => isAdmitted(TEAM, BOB), { timeout: 5000 }).toBe(false)
        expect(await isAdmitted(TEAM, ALICE)).toBe(true)
      })

      test('are not kept for a list that is not there, and go with theirs', async () => {
        await store.admit(admission)
        await store.createList(TEAM, INITIAL_SETTINGS)
        expect(await isAdmitted(TEAM, ALICE)).toBe(false)
        await store.admit(admission)
        await store.removeList(TEAM)
        await store.createList(TEAM, INITIAL_SETTINGS)
        expect(await isAdmitted(TEAM, ALICE)).toBe(false)
      })

      test('stay when the list is replaced', async () => {
        await store.createList(TEAM, INITIAL_SETTINGS)
        await store.admit(admission)
        const staged = await store.stagePeople(TEAM)
        await staged.commit({ address: TEAM, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false })
        expect(await isAdmitted(TEAM, ALICE)).toBe(true)
      })
    })

    describe('staged people', () => {
      const bans = [who('@spam.example'), BOB]
      const replacement = { address: TEAM, settings: settings({ state: 'paused' }), bans }

      async function aList(): Promise<void> {
        await store.createList(TEAM, INITIAL_SETTINGS)
        for (const entry of members(['a@x.example', 'b@x.example', 'c@x.example'])) {
          await store.putPerson(TEAM, entry)
        }
        await store.addBan(TEAM, ALICE)
      }

      async function expectUntouched(): Promise<void> {
        expect(must((await other.getList(TEAM))!.settings)).toEqual(INITIAL_SETTINGS)
        expect(await peopleOf(other, TEAM)).toEqual({
          'a@x.example': 'member',
          'b@x.example': 'member',
          'c@x.example': 'member',
        })
        expect(await all(other.bans(TEAM))).toEqual([ALICE])
      }

      test('take the place of a list, all at once', async () => {
        await aList()
        const staged = await store.stagePeople(TEAM)
        await staged.add(members(['a@x.example', 'd@x.example']))
        await staged.add([{ who: who('b@x.example'), person: person('owner') }])
        await expectUntouched()
        const change = await staged.commit(replacement, { dryRun: false })
        expect(change).toEqual({ added: 1, changed: 1, removed: 1, unchanged: 1 })
        expect(must((await other.getList(TEAM))!.settings)).toEqual(replacement.settings)
        expect(await peopleOf(other, TEAM)).toEqual({
          'a@x.example': 'member',
          'b@x.example': 'owner',
          'd@x.example': 'member',
        })
        expect(await other.countPeople(TEAM)).toBe(3)
        expect(await sorted(other.bans(TEAM))).toEqual([...bans].sort())
        await staged.abandon()
        expect(await other.countPeople(TEAM)).toBe(3)
      })

      test('make a list that was not there', async () => {
        const staged = await store.stagePeople(TEAM)
        expect(await store.getList(TEAM)).toBeUndefined()
        await staged.add(members(['a@x.example']))
        expect(await store.getList(TEAM)).toBeUndefined()
        expect(await all(store.people(TEAM))).toEqual([])
        const change = await staged.commit(replacement, { dryRun: false })
        expect(change).toEqual({ added: 1, changed: 0, removed: 0, unchanged: 0 })
        expect((await all(other.lists())).map(list => list.address)).toEqual([TEAM])
        expect(await other.putPerson(TEAM, { who: ALICE, person: person('member') })).toBe('added')
        expect(await other.countPeople(TEAM)).toBe(2)
      })

      test('are counted once, as what they are last, in one batch and over several', async () => {
        await aList()
        const staged = await store.stagePeople(TEAM)
        const [a] = members(['a@x.example'])
        const owner = { who: a!.who, person: person('owner') }
        const fresh = who('new@x.example')
        await staged.add([a!, owner, a!])
        await staged.add([owner])
        await staged.add([a!])
        await staged.add([
          { who: fresh, person: person('member') },
          { who: fresh, person: person('owner') },
        ])
        await staged.add([{ who: fresh, person: person('moderator') }])
        const change = await staged.commit(replacement, { dryRun: false })
        expect(change).toEqual({ added: 1, changed: 0, removed: 2, unchanged: 1 })
        expect(await peopleOf(other, TEAM)).toEqual({ 'a@x.example': 'member', 'new@x.example': 'moderator' })
      })

      test('may be nobody', async () => {
        await aList()
        const staged = await store.stagePeople(TEAM)
        await staged.add([])
        const change = await staged.commit({ ...replacement, bans: [] }, { dryRun: false })
        expect(change).toEqual({ added: 0, changed: 0, removed: 3, unchanged: 0 })
        expect(await other.countPeople(TEAM)).toBe(0)
        expect(await all(other.people(TEAM))).toEqual([])
        expect(await all(other.bans(TEAM))).toEqual([])
        expect(await other.getList(TEAM)).toBeDefined()
      })

      test('only tried, change nothing', async () => {
        await aList()
        const staged = await store.stagePeople(TEAM)
        await staged.add(members(['a@x.example', 'd@x.example']))
        const change = await staged.commit(replacement, { dryRun: true })
        expect(change).toEqual({ added: 1, changed: 0, removed: 2, unchanged: 1 })
        await expectUntouched()
        const unknown = await store.stagePeople(OTHER)
        await unknown.add(members(['a@x.example']))
        expect(await unknown.commit({ ...replacement, address: OTHER }, { dryRun: true })).toEqual({
          added: 1,
          changed: 0,
          removed: 0,
          unchanged: 0,
        })
        expect((await all(store.lists())).map(list => list.address)).toEqual([TEAM])
      })

      test('abandoned, change nothing', async () => {
        await aList()
        const staged = await store.stagePeople(TEAM)
        await staged.add(members(['d@x.example']))
        await staged.abandon()
        await staged.abandon()
        await expectUntouched()
      })

      test('staged twice at once do not meet', async () => {
        await aList()
        const one = await store.stagePeople(TEAM)
        const two = await other.stagePeople(TEAM)
        await Promise.all([one.add(members(['one@x.example'])), two.add(members(['two@x.example']))])
        await one.commit(replacement, { dryRun: false })
        expect(Object.keys(await peopleOf(other, TEAM))).toEqual(['one@x.example'])
        await two.commit(replacement, { dryRun: false })
        expect(Object.keys(await peopleOf(other, TEAM))).toEqual(['two@x.example'])
      })

      test('a question meets the old list or the new one, never half of each', async () => {
        const many = (prefix: string): string[] =>
          Array.from({ length: 3000 }, (_, i) => `${prefix}${i}@x.example`)
        await store.createList(TEAM, settings({ max_size: '1' }))
        const asked = [who('old7@x.example'), who('new7@x.example'), who('@old.example'), who('@new.example')]
        const seen = new Set<string>()
        let done = false
        const watch = async (): Promise<void> => {
          while (!done) {
            const facts = await other.load({ ...NOTHING_ASKED, lists: [TEAM], sender: asked })
            const list = facts.lists.get(TEAM)!
            seen.add(`${must(list.settings).max_size} ${[...list.people.keys()]} ${[...list.bans]}`)
            await new Promise(resolve => setImmediate(resolve))
          }
        }
        const watching = watch()
        for (const [size, name] of [
          [2, 'old'],
          [3, 'new'],
          [2, 'old'],
        ] as const) {
          const staged = await store.stagePeople(TEAM)
          await staged.add(members(many(name)))
          const list = {
            address: TEAM,
            settings: settings({ max_size: `${size}` }),
            bans: [who(`@${name}.example`)],
          }
          await staged.commit(list, { dryRun: false })
          await new Promise(resolve => setImmediate(resolve))
        }
        done = true
        await watching
        const whole = ['1  ', '2 old7@x.example @old.example', '3 new7@x.example @new.example']
        expect(whole).toEqual(expect.arrayContaining([...seen]))
        expect(seen.size).toBeGreaterThan(1)
      })
    })

    describe('names', () => {
      test.each(ODD_LOCAL_PARTS)('%j as a list and as a person', async local => {
        const list = odd(local).key
        const name = whoIs(odd(local))
        await store.createList(list, settings({ max_size: '7' }))
        await store.createList(OTHER, INITIAL_SETTINGS)
        expect(await store.putPerson(list, { who: name, person: person('member') })).toBe('added')
        expect(await store.addBan(list, name)).toBe('added')
        expect(await store.addBan('site', name)).toBe('added')
        expect(await store.addForbidden(name)).toBe('added')
        await store.countPost({ list, sender: name, message: 'm1', posts: 2, seconds: 3600 })
        await store.admit({ list, sender: name, seconds: 3600 })
        const query = {
          ...NOTHING_ASKED,
          lists: [list, OTHER],
          sender: whoKeysOf(odd(local)),
          poster: whoIs(odd(local)),
          message: 'm1',
          admitted: name,
        }
        const facts = await other.load(query)
        expect(facts).toMatchObject({ forbidden: new Set([name]), siteBans: new Set([name]) })
        expect(facts.lists.get(list)).toEqual({
          address: list,
          settings: { ok: true, value: settings({ max_size: '7' }) },
          people: new Map([[name, { ok: true, value: person('member') }]]),
          bans: new Set([name]),
          posts: { made: 1, counted: true },
          admitted: true,
        })
        expect(facts.lists.get(OTHER)).toMatchObject({ people: new Map(), bans: new Set(), admitted: false })
        expect(await peopleOf(other, list)).toEqual({ [name]: 'member' })
        expect((await all(other.lists())).map(found => found.address)).toContain(list)
        expect(await store.removeList(list)).toBe(true)
        expect((await all(other.lists())).map(found => found.address)).toEqual([OTHER])
      })

      test('as long as they may be', async () => {
        const domain = `${'d'.repeat(63)}.${'e'.repeat(63)}.${'f'.repeat(63)}.${'g'.repeat(59)}.org`
        const longest = address(`"${LONGEST}"@${domain}`)
        expect(longest.key.length).toBeGreaterThan(500)
        const list = longest.key
        const name = whoIs(longest)
        await store.createList(list, INITIAL_SETTINGS)
        expect(await store.putPerson(list, { who: name, person: person('member') })).toBe('added')
        expect(await store.addBan(list, name)).toBe('added')
        await store.countPost({ list, sender: name, message: 'm'.repeat(900), posts: 2, seconds: 3600 })
        await store.admit({ list, sender: name, seconds: 3600 })
        const facts = await other.load({
          ...NOTHING_ASKED,
          lists: [list],
          sender: [name],
          poster: name,
          message: 'm'.repeat(900),
          admitted: name,
        })
        expect(facts.lists.get(list)).toMatchObject({
          bans: new Set([name]),
          posts: { made: 1, counted: true },
          admitted: true,
        })
        expect(facts.lists.get(list)?.people.size).toBe(1)
        expect(await peopleOf(other, list)).toEqual({ [name]: 'member' })
        const staged = await store.stagePeople(list)
        await staged.add([{ who: name, person: person('owner') }])
        expect(
          await staged.commit({ address: list, settings: INITIAL_SETTINGS, bans: [name] }, { dryRun: false }),
        ).toEqual({
          added: 0,
          changed: 1,
          removed: 0,
          unchanged: 0,
        })
        expect(await store.removeList(list)).toBe(true)
      })
    })
  })
}
