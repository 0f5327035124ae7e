/** Administration: what each use case answers, by its code, and that nothing changes when it refuses. */
import { beforeEach, describe, expect, test } from 'vitest'
import { readMta } from '../../src/app/administration/mtas.ts'
import { readGrant, readWho } from '../../src/app/administration/people.ts'
import {
  isMalformed,
  MALFORMED_CODES,
  type Outcome,
  type ProblemCode,
  REFUSED_CODES,
} from '../../src/app/administration/problem.ts'
import { Administration } from '../../src/app/administration.ts'
import type { Directory } from '../../src/app/ports.ts'
import type { Domain } from '../../src/core/domain.ts'
import { FLAVOURS, INITIAL_SETTINGS } from '../../src/core/list.ts'
import { problem } from '../../src/core/parsed.ts'
import { candidatesOf } from '../../src/core/recipient.ts'
import type { ListAddress } from '../../src/core/transaction.ts'
import { parseWho, type Who } from '../../src/core/who.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { address, must } from '../support/vectors.ts'

const TEAM = 'team@lists.example.org' as ListAddress
const ALICE = must(parseWho('alice@example.net'))

let store: MemoryStore
let administration: Administration

beforeEach(async () => {
  store = new MemoryStore(() => 0)
  administration = new Administration(store, ['maildir', 'own'])
  await administration.domains.add('lists.example.org')
  await administration.lists.add(TEAM)
})

function codeOf(outcome: Outcome<unknown>): ProblemCode | 'ok' {
  return outcome.ok ? 'ok' : outcome.problem.code
}

function value<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw new Error(outcome.problem.sentence)
  return outcome.value
}

async function all<T>(entries: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = []
  for await (const entry of entries) found.push(entry)
  return found
}

/** The store, some of whose methods are others. */
function withParts(whole: Directory, parts: Partial<Directory>): Directory {
  return new Proxy(whole, {
    get: (target, name) => {
      const part: unknown = Reflect.get(parts, name) ?? Reflect.get(target, name)
      return typeof part === 'function' ? part.bind(target) : part
    },
  })
}

type Case = readonly [
  name: string,
  act: () => Promise<Outcome<unknown>> | Outcome<unknown>,
  code: ProblemCode,
]

const CASES: readonly Case[] = [
  ['a domain that is none', () => administration.domains.add('a..b'), 'domain-invalid'],
  ['an address literal', () => administration.domains.add('[192.0.2.1]'), 'domain-invalid'],
  [
    'a flavour that is none',
    () => administration.domains.add('a.example', { flavour: 'smartlist' }),
    'domain-setting-invalid',
  ],
  [
    'a setting of a domain that is none',
    () => administration.domains.set('lists.example.org', { colour: 'red' }),
    'domain-setting-invalid',
  ],
  ['settings of no domain', () => administration.domains.set('a.example', {}), 'domain-unknown'],
  [
    'a delivery that the configuration does not have',
    () => administration.lists.set(TEAM, { texts: { delivery: 'archive' } }),
    'delivery-unknown',
  ],
  ['a domain with lists', () => administration.domains.remove('lists.example.org'), 'domain-in-use'],
  ['a domain that is not there', () => administration.domains.remove('a.example'), 'domain-unknown'],
  ['a list that is no address', () => administration.lists.add('team'), 'list-invalid'],
  ['a list in no list domain', () => administration.lists.add('team@a.example'), 'domain-unknown'],
  ['a list that is there', () => administration.lists.add('TEAM@lists.example.org'), 'list-exists'],
  [
    'a preset that is none',
    () => administration.lists.add('a@lists.example.org', { preset: 'x' }),
    'preset-invalid',
  ],
  [
    'a setting that is none',
    () => administration.lists.add('a@lists.example.org', { texts: { colour: 'red' } }),
    'setting-invalid',
  ],
  [
    'a value that a setting does not take',
    () => administration.lists.set(TEAM, { texts: { state: 'open' } }),
    'setting-invalid',
  ],
  ['settings of no list', () => administration.lists.set('a@lists.example.org', {}), 'list-unknown'],
  ['the removal of no list', () => administration.lists.remove('a@lists.example.org'), 'list-unknown'],
  ['the lists of no domain', () => administration.lists.all('a.example'), 'domain-unknown'],
  ['a report of no list', () => administration.report('a@lists.example.org'), 'list-unknown'],
  ['the people of no list', () => administration.people.list('a@lists.example.org'), 'list-unknown'],
  [
    'a header rule that is none',
    () => administration.headerRules.add(TEAM, 'wait Subject: x'),
    'rule-invalid',
  ],
  [
    'a header rule before one that is not there',
    () => administration.headerRules.add(TEAM, 'hold Subject: x', 1),
    'rule-unknown',
  ],
  ['the removal of no header rule', () => administration.headerRules.remove(TEAM, 1), 'rule-unknown'],
  ['a who that is none', () => readWho('alice'), 'who-invalid'],
  ['a role that is none', () => readGrant({ roles: ['boss'] }), 'role-invalid'],
  ['an action that is none', () => readGrant({ action: 'bounce' }), 'action-invalid'],
  [
    'a person on no list',
    () => administration.people.add('a@b.example' as ListAddress, ALICE, value(readGrant({}))),
    'list-unknown',
  ],
  ['the removal of nobody', () => administration.people.remove(TEAM, ALICE), 'person-unknown'],
  [
    'the removal of nobody in a role',
    () => administration.people.remove(TEAM, ALICE, 'owner'),
    'person-unknown',
  ],
  ['a role to list that is none', () => administration.people.all(TEAM, 'boss'), 'role-invalid'],
  ['a ban from no list', () => administration.bans.scope('a@lists.example.org'), 'list-unknown'],
  ['a ban that is not there', () => administration.bans.remove('site', ALICE), 'ban-unknown'],
  ['a forbidden sender who is not', () => administration.forbidden.remove(ALICE), 'forbidden-unknown'],
  ['an MTA that is none', () => readMta('192.0.2.1/24'), 'mta-invalid'],
  [
    'an MTA that is not listed',
    () => administration.mtas.remove('known', value(readMta('a.example'))),
    'mta-unlisted',
  ],
]

describe('problems', () => {
  test.each(CASES)('%s', async (_, act, code) => {
    expect(codeOf(await act())).toBe(code)
  })

  test('every code is in a case here, or below', () => {
    const elsewhere: ProblemCode[] = [
      'list-unreadable',
      'person-unreadable',
      'person-known',
      'person-linked',
      'role-unheld',
      'selection-invalid',
    ]
    const covered = new Set([...CASES.map(([, , code]) => code), ...elsewhere])
    expect([...MALFORMED_CODES, ...REFUSED_CODES].filter(code => !covered.has(code))).toEqual([])
  })

  test.each([
    [63, 'ok'],
    [64, 'ok'],
    [65, 'list-invalid'],
  ] as const)('a list name of %i octets: %s', async (octets, want) => {
    expect(codeOf(await administration.lists.add(`${'a'.repeat(octets)}@lists.example.org`))).toBe(want)
  })

  test('octets are counted, not characters', async () => {
    expect(codeOf(await administration.lists.add(`${'ä'.repeat(32)}@lists.example.org`))).toBe('ok')
    expect(codeOf(await administration.lists.add(`${'ä'.repeat(33)}@lists.example.org`))).toBe('list-invalid')
  })

  test('only malformed requests are called so', () => {
    for (const code of MALFORMED_CODES) expect(isMalformed({ code, sentence: '' })).toBe(true)
    for (const code of REFUSED_CODES) expect(isMalformed({ code, sentence: '' })).toBe(false)
  })
})

describe('domains', () => {
  test('adding one again keeps its flavour unless another is given', async () => {
    expect(value(await administration.domains.add('a.example', { flavour: 'sympa' }))).toMatchObject({
      change: 'added',
    })
    expect(value(await administration.domains.add('A.EXAMPLE.'))).toMatchObject({
      change: 'unchanged',
      record: { flavour: 'sympa' },
    })
    expect(value(await administration.domains.add('a.example', { flavour: 'mlmmj' }))).toMatchObject({
      change: 'changed',
    })
  })

  test('settings that are given are changed, the others stay', async () => {
    const { domains } = administration
    await domains.add('a.example', { flavour: 'sympa' })
    const changes = value(await domains.set('A.example', { delivery: 'own' }))
    expect(changes).toMatchObject({
      record: { flavour: 'sympa', delivery: 'own' },
      changes: [{ name: 'delivery', from: '', to: 'own' }],
    })
    expect(value(await domains.add('a.example', { flavour: 'mlmmj' }))).toMatchObject({
      change: 'changed',
      record: { flavour: 'mlmmj', delivery: 'own' },
    })
    expect(value(await domains.set('a.example', { delivery: 'own' })).changes).toEqual([])
    expect(value(await domains.set('a.example', { delivery: '' })).changes).toEqual([
      { name: 'delivery', from: 'own', to: '' },
    ])
    expect(await store.getDomain('a.example' as Domain)).toEqual({ flavour: 'mlmmj' })
  })

  test('a domain whose name ends another is not in use for it', async () => {
    await administration.domains.add('example.org')
    expect(codeOf(await administration.domains.remove('example.org'))).toBe('ok')
  })
})

describe('deliveries', () => {
  const ways: readonly [string, (delivery: string, to: Administration) => Promise<Outcome<unknown>>][] = [
    ['a new domain', (delivery, { domains }) => domains.add('b.example', { delivery })],
    ['a domain', (delivery, { domains }) => domains.set('lists.example.org', { delivery })],
    ['a new list', (delivery, { lists }) => lists.add('b@lists.example.org', { texts: { delivery } })],
    ['a list', (delivery, { lists }) => lists.set(TEAM, { texts: { delivery } })],
  ]

  test.each(ways)('%s takes one that is known, or none', async (_, choose) => {
    expect(codeOf(await choose('own', administration))).toBe('ok')
    expect(codeOf(await choose('', administration))).not.toBe('delivery-unknown')
  })

  test.each(ways)('%s does not take one that is not, and is not changed', async (_, choose) => {
    const refused = await choose('owns', administration)
    expect(refused).toEqual({
      ok: false,
      problem: {
        code: 'delivery-unknown',
        sentence: 'the configuration has no delivery owns, only maildir, own',
      },
    })
    expect(await store.getDomain('b.example' as Domain)).toBeUndefined()
    expect(await store.getDomain('lists.example.org' as Domain)).toEqual({ flavour: 'mailman' })
    expect(await store.getList('b@lists.example.org' as ListAddress)).toBeUndefined()
    expect(await store.getList(TEAM as ListAddress)).toMatchObject({
      settings: { value: { delivery: undefined } },
    })
  })

  test.each(ways)('%s takes any where none are known', async (_, choose) => {
    expect(codeOf(await choose('owns', new Administration(store)))).toBe('ok')
  })

  test('one that has gone from the configuration since does not keep other settings from being changed', async () => {
    await new Administration(store).lists.set(TEAM, { texts: { delivery: 'gone' } })
    expect(codeOf(await administration.lists.set(TEAM, { texts: { max_size: '5' } }))).toBe('ok')
  })

  test('a report says who has chosen', async () => {
    const chosen = async (): Promise<unknown> => value(await administration.report(TEAM)).delivery
    expect(await chosen()).toBeUndefined()
    await administration.domains.set('lists.example.org', { delivery: 'own' })
    expect(await chosen()).toEqual({ name: 'own', by: 'domain' })
    await administration.lists.set(TEAM, { texts: { delivery: 'maildir' } })
    expect(await chosen()).toEqual({ name: 'maildir', by: 'list' })
  })
})

describe('lists', () => {
  test("a new list has its domain's flavour, unless told otherwise", async () => {
    await administration.domains.add('a.example', { flavour: 'mlmmj' })
    expect(value(await administration.lists.add('x@a.example')).settings.flavour).toBe('mlmmj')
    const own = await administration.lists.add('y@a.example', { texts: { flavour: 'sympa' } })
    expect(value(own).settings.flavour).toBe('sympa')
  })

  test('settings go over the preset, and the preset over what is there', async () => {
    await administration.lists.set(TEAM, { texts: { max_size: '5' } })
    const { settings, changes } = value(
      await administration.lists.set(TEAM, { preset: 'moderated', texts: { member_action: 'accept' } }),
    )
    expect(settings).toMatchObject({ max_size: 5, member_action: 'accept', nonmember_action: 'hold' })
    expect(changes).toEqual([{ name: 'nonmember_action', from: 'reject', to: 'hold' }])
  })

  test.each(FLAVOURS)(
    'overlaps with service addresses of %s are said, whichever list comes first',
    async flavour => {
      const separator = flavour === 'mlmmj' ? '+' : '-'
      await administration.domains.add('a.example', { flavour })
      const owner = `x${separator}owner@a.example`
      expect(candidatesOf(address(owner)).some(({ service }) => service === 'owner')).toBe(true)
      await administration.lists.add(owner)
      const overlap = { taker: owner, giver: 'x@a.example', service: 'owner' }
      expect(value(await administration.lists.add('x@a.example')).overlaps).toEqual([overlap])
      await administration.lists.remove(owner)
      expect(value(await administration.lists.add(owner)).overlaps).toEqual([overlap])
    },
  )

  test('a service address of another flavour is no overlap', async () => {
    expect(value(await administration.lists.add('team+owner@lists.example.org')).overlaps).toEqual([
      { taker: 'team+owner@lists.example.org', giver: TEAM, service: undefined },
    ])
    await administration.domains.add('a.example', { flavour: 'mlmmj' })
    await administration.lists.add('x@a.example')
    expect(value(await administration.lists.add('x-owner@a.example')).overlaps).toEqual([])
  })

  test('settings that cannot be understood are neither shown nor changed', async () => {
    const damaged: Directory = withParts(store, {
      getList: async () => ({ address: TEAM, settings: problem('state: nonsense') }),
    })
    const other = new Administration(damaged)
    expect(codeOf(await other.report(TEAM))).toBe('list-unreadable')
    expect(codeOf(await other.lists.set(TEAM, { texts: { state: 'active' } }))).toBe('list-unreadable')
  })
})

describe('people', () => {
  const grant = (roles: readonly string[], action?: string) => value(readGrant({ roles, action }))
  const add = async (roles: readonly string[], action?: string) =>
    value(await administration.people.add(TEAM, ALICE, grant(roles, action)))

  test('a role keeps the others, an action stays', async () => {
    expect(await add([])).toMatchObject({ change: 'added', person: { roles: ['member'] } })
    expect((await add(['owner'])).person).toEqual({ roles: ['owner', 'member'] })
    expect((await add([], 'hold')).person).toEqual({ roles: ['owner', 'member'], action: 'hold' })
    expect((await add(['moderator'])).person).toEqual({
      roles: ['owner', 'moderator', 'member'],
      action: 'hold',
    })
    expect((await add([], 'none')).person).toEqual({ roles: ['owner', 'moderator', 'member'] })
    expect(await add([])).toMatchObject({ change: 'unchanged' })
  })

  test('an action alone makes nobody a member who is something already', async () => {
    await add(['owner'])
    expect((await add([], 'discard')).person).toEqual({ roles: ['owner'], action: 'discard' })
    expect((await add([])).person.roles).toEqual(['owner', 'member'])
  })

  test('an action alone makes somebody new a member', async () => {
    expect((await add([], 'hold')).person).toEqual({ roles: ['member'], action: 'hold' })
  })

  test('a role is removed, and with the last one the record', async () => {
    await add(['owner', 'member'], 'hold')
    const { people } = administration
    expect(codeOf(await people.remove(TEAM, ALICE, 'moderator'))).toBe('role-unheld')
    expect(value(await people.remove(TEAM, ALICE, 'member')).left).toEqual({
      roles: ['owner'],
      action: 'hold',
    })
    expect(value(await people.remove(TEAM, ALICE, 'owner')).left).toBeUndefined()
    expect(await store.countPeople(TEAM)).toBe(0)
  })

  test('a record that cannot be understood can be replaced and removed, but loses no single role', async () => {
    await add([])
    const damaged: Directory = withParts(store, {
      getPerson: async () => problem('expected roles'),
      people: async function* () {
        yield { who: ALICE, person: problem('expected roles') }
      },
    })
    const { people } = new Administration(damaged)
    expect(await all(value(people.all(TEAM, 'owner')))).toEqual([
      { who: ALICE, person: problem('expected roles') },
    ])
    expect(codeOf(await people.remove(TEAM, ALICE, 'member'))).toBe('person-unreadable')
    expect(value(await people.add(TEAM, ALICE, grant(['owner']))).person).toEqual({ roles: ['owner'] })
    expect(codeOf(await people.remove(TEAM, ALICE))).toBe('ok')
  })

  test('listed in order, by role', async () => {
    const add = async (who: string, role: string) =>
      value(await administration.people.add(TEAM, must(parseWho(who)), grant([role])))
    await add('zoe@example.net', 'member')
    await add('@example.net', 'nonmember')
    await add('bob@example.net', 'owner')
    const who = async (role?: string) =>
      (await all(value(administration.people.all(TEAM, role)))).map(entry => entry.who as string)
    expect(await who()).toEqual(['@example.net', 'bob@example.net', 'zoe@example.net'])
    expect(await who('owner')).toEqual(['bob@example.net'])
  })

  test('the report counts roles, actions and bans', async () => {
    await add(['owner', 'member'], 'hold')
    value(await administration.people.add(TEAM, '@example.net' as Who, grant(['nonmember'])))
    await administration.bans.add(TEAM, '@spam.example' as Who)
    expect(value(await administration.report(TEAM))).toEqual({
      address: TEAM,
      settings: INITIAL_SETTINGS,
      presets: ['members'],
      roles: { owner: 1, moderator: 0, member: 1, nonmember: 1 },
      people: { total: 2, withAction: 1, unreadable: 0 },
      bans: 1,
    })
  })
})

describe('MTAs', () => {
  test('the first known one begins the list, the last one ends it; refused ones do neither', async () => {
    const { mtas } = administration
    const [a, b] = [value(readMta('192.0.2.0/24')), value(readMta('.a.example'))]
    expect(await mtas.add('refused', a)).toEqual({ change: 'added', begins: false })
    expect(await mtas.add('known', a)).toEqual({ change: 'added', begins: true })
    expect(await mtas.add('known', b)).toEqual({ change: 'added', begins: false })
    expect(await mtas.add('known', b)).toEqual({ change: 'unchanged', begins: false })
    expect(await all(mtas.all('known'))).toEqual(['.a.example', '192.0.2.0/24'])
    expect(value(await mtas.remove('known', a))).toEqual({ ends: false })
    expect(value(await mtas.remove('known', b))).toEqual({ ends: true })
    expect(value(await mtas.remove('refused', a))).toEqual({ ends: false })
  })
})
