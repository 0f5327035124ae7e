/** What each map answers, on a site with lists of every flavour. */
import { beforeAll, describe, expect, test } from 'vitest'
import type { Log } from '../../src/app/log.ts'
import { NO_LOG } from '../../src/app/log.ts'
import { type FactsStore, StoreUnavailable } from '../../src/app/ports.ts'
import type { Facts, FactsQuery } from '../../src/core/facts.ts'
import { problem } from '../../src/core/parsed.ts'
import { SocketmapExchange } from '../../src/socketmap/exchange.ts'
import { MAPS, type MapSettings } from '../../src/socketmap/maps.ts'
import { keptLog } from '../policy/policy-server.ts'
import { away, late } from '../policy/stores.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { address, putState } from '../support/vectors.ts'
import { lookupIn, netstring, SETTINGS } from './socketmap-server.ts'

let store: MemoryStore
beforeAll(async () => {
  store = new MemoryStore()
  await putState(store, {
    postern: 1,
    domains: [
      { domain: 'lists.example.org' },
      { domain: 'own.example.org' },
      { domain: 'bücher.example' },
      { domain: 'empty.example.org' },
    ],
    lists: [
      { address: 'team@lists.example.org' },
      { address: 'paused@lists.example.org', settings: { state: 'paused' } },
      { address: 'closed@lists.example.org', settings: { state: 'closed' } },
      { address: 'dev@lists.example.org', settings: { flavour: 'mlmmj' } },
      { address: 'choir@lists.example.org', settings: { flavour: 'sympa' } },
      { address: 'site-owner@lists.example.org' },
      { address: 'postmaster@own.example.org' },
      { address: 'abuse@own.example.org' },
      { address: 'josé@bücher.example' },
      { address: 'orphan@nowhere.example' },
    ],
  })
})

/** Asks an exchange for one thing. Keys are UTF-8; the answer is a netstring's contents. */
async function ask(
  request: string | Buffer,
  { settings = SETTINGS, from = store as Pick<FactsStore, 'load'>, log = NO_LOG as Log } = {},
): Promise<string> {
  const exchange = new SocketmapExchange({ lookup: lookupIn(from), log, settings })
  exchange.feed(Buffer.from(netstring(Buffer.from(request).toString('latin1')), 'latin1'))
  const answer = await exchange.next()
  if (typeof answer !== 'string') throw new Error('no answer')
  const [, length, text = ''] = /^(\d+):([\s\S]*),$/.exec(answer) ?? []
  expect(text.length).toBe(Number(length))
  return Buffer.from(text, 'latin1').toString('utf8')
}

const NOTHING = 'NOTFOUND '
const SINK = 'OK lmtp:inet:127.0.0.1:10042'

const TABLE: readonly (readonly [request: string, want: string])[] = [
  // A list's posting and service addresses, by its flavour.
  ['recipient team@lists.example.org', 'OK team@lists.example.org'],
  ['recipient Team@LISTS.example.ORG', 'OK team@lists.example.org'],
  ['recipient "team"@lists.example.org', 'OK team@lists.example.org'],
  ['recipient team-owner@lists.example.org', 'OK team@lists.example.org'],
  ['recipient team-bounces+alice=example.net@lists.example.org', 'OK team@lists.example.org'],
  ['recipient team+detail@lists.example.org', 'OK team@lists.example.org'],
  ['recipient team+owner@lists.example.org', 'OK team@lists.example.org'],
  ['recipient team-nothing@lists.example.org', NOTHING],
  ['recipient dev+owner@lists.example.org', 'OK dev@lists.example.org'],
  ['recipient dev+confsub-0123abc@lists.example.org', 'OK dev@lists.example.org'],
  ['recipient dev+detail@lists.example.org', NOTHING],
  ['recipient dev-owner@lists.example.org', NOTHING],
  ['recipient choir-editor@lists.example.org', 'OK choir@lists.example.org'],
  ['recipient choir+detail@lists.example.org', NOTHING],
  ['recipient site-owner@lists.example.org', 'OK site-owner@lists.example.org'],
  ['recipient josé@bücher.example', 'OK josé@xn--bcher-kva.example'],
  ['recipient JOSE\u0301@xn--bcher-kva.example', 'OK josé@xn--bcher-kva.example'],
  // A list that takes no posts is there all the same.
  ['recipient paused@lists.example.org', 'OK paused@lists.example.org'],
  ['recipient closed@lists.example.org', 'OK closed@lists.example.org'],
  // Nobody.
  ['recipient nosuch@lists.example.org', NOTHING],
  ['recipient postmaster@lists.example.org', NOTHING],
  ['recipient postmaster@own.example.org', 'OK postmaster@own.example.org'],
  ['recipient team@elsewhere.example', NOTHING],
  ['recipient orphan@nowhere.example', NOTHING],
  // Keys that are no address.
  ['recipient @lists.example.org', NOTHING],
  ['recipient lists.example.org', NOTHING],
  ['recipient team', NOTHING],
  ['recipient team@', NOTHING],
  ['recipient ', NOTHING],
  ['recipient *', NOTHING],
  ['recipient  team@lists.example.org', NOTHING],
  ['recipient team@lists.example.org ', NOTHING],
  [`recipient ${'x'.repeat(300)}@lists.example.org`, NOTHING],
  [`recipient ${'x'.repeat(4000)}@lists.example.org`, NOTHING],
  ['recipient team\n@lists.example.org', NOTHING],

  ['domain lists.example.org', 'OK lists.example.org'],
  ['domain LISTS.Example.org', 'OK lists.example.org'],
  ['domain lists.example.org.', 'OK lists.example.org'],
  ['domain bücher.example', 'OK xn--bcher-kva.example'],
  ['domain empty.example.org', 'OK empty.example.org'],
  ['domain sub.lists.example.org', NOTHING],
  ['domain .lists.example.org', NOTHING],
  ['domain example.org', NOTHING],
  ['domain nowhere.example', NOTHING],
  ['domain team@lists.example.org', NOTHING],
  ['domain 192.0.2.1', NOTHING],
  ['domain ', NOTHING],

  ['transport team@lists.example.org', SINK],
  ['transport nosuch@lists.example.org', SINK],
  ['transport lists.example.org', SINK],
  ['transport LISTS.example.org', SINK],
  [`transport ${'x'.repeat(300)}@lists.example.org`, SINK],
  ['transport team@elsewhere.example', NOTHING],
  ['transport elsewhere.example', NOTHING],
  ['transport .lists.example.org', NOTHING],
  ['transport sub.lists.example.org', NOTHING],
  ['transport *', NOTHING],
  ['transport ', NOTHING],

  ['alias postmaster@lists.example.org', 'OK postmaster@example.org'],
  ['alias PostMaster@empty.example.org', 'OK postmaster@example.org'],
  ['alias abuse@lists.example.org', 'OK postmaster@example.org'],
  ['alias postmaster@own.example.org', NOTHING],
  ['alias abuse@own.example.org', NOTHING],
  ['alias postmaster+x@lists.example.org', NOTHING],
  ['alias team@lists.example.org', NOTHING],
  ['alias nosuch@lists.example.org', NOTHING],
  ['alias postmaster@example.org', NOTHING],
  ['alias abuse@elsewhere.example', NOTHING],
  ['alias postmaster', NOTHING],
  ['alias lists.example.org', NOTHING],
  ['alias @lists.example.org', NOTHING],

  ['restriction team@lists.example.org', 'OK postern'],
  ['restriction nosuch@lists.example.org', 'OK postern'],
  ['restriction postmaster@own.example.org', 'OK postern'],
  ['restriction abuse@own.example.org', 'OK postern'],
  ['restriction postmaster@lists.example.org', NOTHING],
  ['restriction abuse@lists.example.org', NOTHING],
  ['restriction postmaster@elsewhere.example', NOTHING],
  ['restriction bob@elsewhere.example', NOTHING],
  ['restriction lists.example.org', NOTHING],
]

describe('the maps', () => {
  test.each(TABLE)('%s', async (request, want) => {
    expect(await ask(request)).toBe(want)
    expect(await ask(request, { from: late(store) })).toBe(want)
  })

  test('every map is in the table, found and not found', () => {
    const known = (found: boolean): string[] => [
      ...new Set(
        TABLE.filter(([, want]) => want.startsWith('OK ') === found).map(([request]) =>
          request.slice(0, request.indexOf(' ')),
        ),
      ),
    ]
    expect(known(true)).toEqual(Object.keys(MAPS))
    expect(known(false)).toEqual(Object.keys(MAPS))
  })

  test('a key that is not UTF-8 is nobody', async () => {
    const key = Buffer.from('recipient te\xe9m@lists.example.org', 'latin1')
    expect(await ask(key)).toBe(NOTHING)
  })
})

describe('questions that make no sense', () => {
  test.each([
    ['a map that there is not', 'nosuch team@lists.example.org', 'there is no map of that name'],
    ['a name of JavaScript’s', 'constructor x', 'there is no map of that name'],
    ['no name', ' team@lists.example.org', 'there is no map of that name'],
    ['no key', 'recipient', "expected a map's name, a space and a key"],
    ['nothing', '', "expected a map's name, a space and a key"],
  ])('%s', async (_, request, reason) => {
    expect(await ask(request)).toMatch(new RegExp(`^PERM ${reason}`))
  })

  test('where to find a sink that does not listen', async () => {
    const settings: MapSettings = { ...SETTINGS, sink: [] }
    expect(await ask('transport lists.example.org', { settings })).toMatch(/^PERM .* socketmap\.transport /)
    const told = { ...settings, transport: 'lmtp:unix:private/postern' }
    expect(await ask('transport lists.example.org', { settings: told })).toBe('OK lmtp:unix:private/postern')
  })
})

describe('what the site has to say', () => {
  test('a transport of its own comes before the sink', async () => {
    const settings = { ...SETTINGS, transport: 'relay:[mx.example.org]:24' }
    expect(await ask('transport team@lists.example.org', { settings })).toBe('OK relay:[mx.example.org]:24')
  })

  test('without a postmaster nobody has an alias, and everybody is asked about', async () => {
    const settings = { ...SETTINGS, postmaster: undefined }
    expect(await ask('alias postmaster@lists.example.org', { settings })).toBe(NOTHING)
    expect(await ask('restriction abuse@lists.example.org', { settings })).toBe('OK postern')
  })

  test('a postmaster in a list domain is no alias of himself', async () => {
    const settings = { ...SETTINGS, postmaster: address('postmaster@lists.example.org') }
    expect(await ask('alias postmaster@lists.example.org', { settings })).toBe(NOTHING)
    expect(await ask('alias abuse@lists.example.org', { settings })).toBe('OK postmaster@lists.example.org')
  })

  test('a postmaster whose local part needs quotes', async () => {
    const settings = { ...SETTINGS, postmaster: address('"post master"@example.org') }
    expect(await ask('alias abuse@lists.example.org', { settings })).toBe('OK "post master"@example.org')
  })
})

describe('failures of ours', () => {
  const TEMPORARY = 'TEMP Postern cannot look it up now; try again later'
  const ASKING = [
    'recipient team@lists.example.org',
    'domain lists.example.org',
    'transport team@lists.example.org',
    'alias abuse@lists.example.org',
    'restriction team@lists.example.org',
    'restriction abuse@lists.example.org',
  ]

  test.each(['at once', 'late'] as const)('the store is away, and says so %s', async when => {
    for (const request of ASKING) expect(await ask(request, { from: away(when) })).toBe(TEMPORARY)
  })

  test('the recorder hears that the store is away, and that it is back', async () => {
    const heard: unknown[] = []
    const { Lookup } = await import('../../src/app/lookup.ts')
    for (const from of [away('late'), away('at once'), store]) {
      const recorder = { storeState: (...state: unknown[]) => void heard.push(state) }
      await new Lookup({ store: from, recorder }).target(address('team@lists.example.org'))
    }
    expect(heard).toEqual([
      ['down', expect.any(StoreUnavailable)],
      ['down', expect.any(StoreUnavailable)],
      ['up'],
    ])
  })

  test.each(['at once', 'late'])('a bug, %s: logged', async when => {
    const { log, lines } = keptLog()
    const load = (): never => {
      throw new Error('a bug')
    }
    const from = { load: when === 'late' ? async () => load() : load }
    for (const request of ASKING) expect(await ask(request, { from, log })).toBe(TEMPORARY)
    expect(lines.map(({ level, message, fields }) => [level, message, String(fields.cause)])).toEqual(
      ASKING.map(() => ['error', 'socketmap request failed', 'Error: a bug']),
    )
  })

  test("a list's data make no sense: it is there, for the law to say more", async () => {
    const list = (query: FactsQuery): Facts => {
      const facts = store.load(query)
      const lists = [...facts.lists].map(
        ([name, one]) => [name, { ...one, settings: problem('nonsense') }] as const,
      )
      return { ...facts, lists: new Map(lists) }
    }
    expect(await ask('recipient team@lists.example.org', { from: { load: list } })).toBe(
      'OK team@lists.example.org',
    )
  })

  test("a domain's data make no sense: it is a list domain, and nobody knows of its addresses", async () => {
    const load = (query: FactsQuery): Facts => ({ ...store.load(query), domain: problem('nonsense') })
    const from = { load }
    expect(await ask('domain lists.example.org', { from })).toBe('OK lists.example.org')
    expect(await ask('transport x@lists.example.org', { from })).toBe(SINK)
    expect(await ask('recipient team@lists.example.org', { from })).toBe('OK team@lists.example.org')
    expect(await ask('recipient nosuch@lists.example.org', { from })).toBe(TEMPORARY)
    expect(await ask('alias abuse@lists.example.org', { from })).toBe(TEMPORARY)
    expect(await ask('restriction abuse@lists.example.org', { from })).toBe('OK postern')
  })
})
