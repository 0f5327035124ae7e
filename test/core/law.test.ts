/** The law's properties, over random lists and senders, and the cases that the vectors cannot hold. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decide, type TraceStep } from '../../src/core/decide.ts'
import { type Facts, INITIAL_SITE, type ListFacts, NO_FACTS } from '../../src/core/facts.ts'
import { ACTIONS, INITIAL_SETTINGS, type ListSettings } from '../../src/core/list.ts'
import type { ListDomain } from '../../src/core/list-domain.ts'
import { parsed, problem } from '../../src/core/parsed.ts'
import { makePerson, type Person, ROLES } from '../../src/core/person.ts'
import type { ListAddress, RcptTransaction } from '../../src/core/transaction.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import { type Who, whoKeysOf } from '../../src/core/who.ts'
import { address, must, reversePath } from '../support/vectors.ts'

const LIST = 'team@lists.example.org' as ListAddress
const SENDER = 'alice@example.net'

interface Scene {
  settings?: Partial<ListSettings>
  people?: readonly (readonly [Who, Person])[]
  bans?: readonly Who[]
  siteBans?: readonly Who[]
  forbidden?: readonly Who[]
  domain?: Facts['domain']
  posts?: ListFacts['posts']
}

function factsOf(scene: Scene): Facts {
  const list: ListFacts = {
    address: LIST,
    settings: parsed({ ...INITIAL_SETTINGS, ...scene.settings }),
    people: new Map((scene.people ?? []).map(([who, person]) => [who, parsed(person)])),
    bans: new Set(scene.bans),
    posts: scene.posts ?? { made: 0, counted: false },
  }
  return {
    ...NO_FACTS,
    domain: scene.domain ?? parsed<ListDomain>({ flavour: 'mailman' }),
    siteBans: new Set(scene.siteBans),
    forbidden: new Set(scene.forbidden),
    lists: new Map([[LIST, list]]),
  }
}

const RCPT: RcptTransaction = {
  phase: 'RCPT',
  front: 'cli',
  client: {},
  sender: reversePath(SENDER),
  recipient: address(LIST),
  recipientsBefore: 0,
  message: 'm1',
}

function judge(scene: Scene, tx: RcptTransaction = RCPT): Verdict {
  return decide(tx, factsOf(scene), INITIAL_SITE)
}

const keys = whoKeysOf(address(SENDER))
const who = fc.constantFrom(...keys)
const person = fc
  .tuple(
    fc.array(fc.constantFrom(...ROLES), { minLength: 1 }),
    fc.option(fc.constantFrom(...ACTIONS), { nil: undefined }),
  )
  .map(([roles, action]) => must(makePerson(roles, action)))
const scene: fc.Arbitrary<Scene> = fc.record({
  settings: fc.record({
    state: fc.constantFrom('active', 'active', 'active', 'paused', 'closed'),
    owner_action: fc.constantFrom(...ACTIONS),
    moderator_action: fc.constantFrom(...ACTIONS),
    member_action: fc.constantFrom(...ACTIONS),
    nonmember_action: fc.constantFrom(...ACTIONS),
    identity: fc.constantFrom('envelope', 'author', 'any'),
    mode: fc.constantFrom('enforce', 'enforce', 'shadow'),
  }),
  people: fc.array(fc.tuple(who, person), { maxLength: 3 }),
  bans: fc.array(who, { maxLength: 1 }),
  siteBans: fc.array(who, { maxLength: 1 }),
  forbidden: fc.array(who, { maxLength: 1 }),
})

const taken = (verdict: Verdict): boolean => verdict.kind !== 'reject' && verdict.kind !== 'defer'

describe('properties of the law at RCPT', () => {
  test('a ban, the site’s or the list’s, never helps', () => {
    fc.assert(
      fc.property(scene, who, fc.boolean(), (before, banned, site) => {
        fc.pre(before.settings?.mode === 'enforce')
        const after = site
          ? { ...before, siteBans: [...(before.siteBans ?? []), banned] }
          : { ...before, bans: [...(before.bans ?? []), banned] }
        expect(taken(judge(after))).toBe(false)
      }),
    )
  })

  test('whatever the list says, the null sender and service addresses hear of existence alone', () => {
    fc.assert(
      fc.property(scene, given => {
        const nobody = judge(given, { ...RCPT, sender: reversePath('') })
        const service = judge(given, { ...RCPT, recipient: address('team-owner@lists.example.org') })
        const open = given.settings?.state === 'active' || given.settings?.mode === 'shadow'
        expect([taken(nobody), taken(service)]).toEqual([open, open])
      }),
    )
  })

  test('shadow takes everything and notes what enforcing would have said', () => {
    fc.assert(
      fc.property(scene, given => {
        const shadow = judge({ ...given, settings: { ...given.settings, mode: 'shadow' } })
        const enforce = judge({ ...given, settings: { ...given.settings, mode: 'enforce' } })
        expect(taken(shadow)).toBe(true)
        const { shadow: marked, ...said } = shadow.shadowed ?? shadow
        expect(said).toEqual(enforce)
        expect(shadow.service).toBe(enforce.service)
        expect([true, undefined]).toContain(marked)
      }),
    )
  })

  test('explaining is deciding: the trace ends with the rule that settled it', () => {
    fc.assert(
      fc.property(scene, given => {
        const trace: TraceStep[] = []
        const verdict = decide(RCPT, factsOf(given), INITIAL_SITE, trace)
        expect(verdict).toEqual(judge(given))
        const last = trace.at(-1)
        expect(last?.rule).toBe(verdict.rule)
        expect(last?.verdict).toBe((verdict.shadowed ?? verdict).kind)
        expect(trace.slice(0, -1).every(step => step.verdict === undefined && step.saw !== '')).toBe(true)
      }),
    )
  })

  test('a permanent refusal of a post is 5.7.2 or the list’s being closed', () => {
    fc.assert(
      fc.property(scene, given => {
        const verdict = judge({ ...given, forbidden: [] })
        if (verdict.kind !== 'reject') return
        expect([verdict.reply.code, verdict.reply.enhanced]).toEqual(
          verdict.reason === 'list-closed' ? [550, '5.2.4'] : [550, '5.7.2'],
        )
      }),
    )
  })
})

describe('rate', () => {
  const settings = { rate: { posts: 2, seconds: 3600 }, nonmember_action: 'accept' } as const
  test.each([
    { name: 'below', posts: { made: 1, counted: false }, want: ['accept', 'sender-permitted'] },
    { name: 'reached', posts: { made: 2, counted: false }, want: ['defer', 'rate-exceeded'] },
    {
      name: 'reached by this very message',
      posts: { made: 2, counted: true },
      want: ['accept', 'sender-permitted'],
    },
  ])('$name', ({ posts, want }) => {
    const verdict = judge({ settings, posts })
    expect([verdict.kind, verdict.reason]).toEqual(want)
  })

  test('the sink does not judge it', () => {
    const { message: _, ...unnamed } = RCPT
    expect(judge({ settings, posts: { made: 9, counted: false } }, unnamed).kind).toBe('accept')
  })

  test('who may not post hears that, not the rate', () => {
    const verdict = judge({
      settings: { ...settings, nonmember_action: 'reject' },
      posts: { made: 9, counted: false },
    })
    expect(verdict.reason).toBe('sender-not-permitted')
  })
})

describe('data that cannot be understood', () => {
  const damaged = (change: Partial<ListFacts>): Verdict => {
    const facts = factsOf({})
    const list = facts.lists.get(LIST)
    if (list === undefined) throw new Error('no list')
    return decide(RCPT, { ...facts, lists: new Map([[LIST, { ...list, ...change }]]) }, INITIAL_SITE)
  }
  test.each([
    ['settings', damaged({ settings: problem('nonsense') })],
    ['the record that counts', damaged({ people: new Map([[SENDER as Who, problem('nonsense')]]) })],
  ])('%s: the list is deferred', (_, verdict) => {
    expect(verdict).toMatchObject({
      kind: 'defer',
      reason: 'list-unreadable',
      reply: { code: 451, enhanced: '4.2.4' },
    })
  })
})

describe('a domain whose settings cannot be understood', () => {
  test.each([
    ['a list', LIST],
    ['a service address', 'team-owner@lists.example.org'],
    ['what may be a list', 'other@lists.example.org'],
  ])('%s is deferred', (_, recipient) => {
    for (const mode of ['enforce', 'shadow'] as const) {
      const verdict = judge(
        { domain: problem('nonsense'), settings: { mode } },
        { ...RCPT, recipient: address(recipient) },
      )
      expect(verdict).toMatchObject({
        kind: 'defer',
        reason: 'list-unreadable',
        reply: { code: 451, enhanced: '4.2.4' },
      })
    }
  })

  test('its postmaster is the MTA’s to find, as ever', () => {
    const recipient = address('postmaster@lists.example.org')
    expect(judge({ domain: problem('nonsense') }, { ...RCPT, recipient })).toMatchObject({
      kind: 'none',
      reason: 'postmaster',
    })
  })

  test('explaining says what is wrong', () => {
    const trace: TraceStep[] = []
    const tx = { ...RCPT, recipient: address('other@lists.example.org') }
    decide(tx, factsOf({ domain: problem('nonsense') }), INITIAL_SITE, trace)
    expect(trace.at(-1)?.saw).toContain('other@lists.example.org')
    expect(trace.at(-1)?.saw).toContain('nonsense')
  })
})

describe('the delivery', () => {
  const list = { delivery: 'own' }
  const domain = parsed<ListDomain>({ flavour: 'mailman', delivery: 'of-the-domain' })

  test.each<[string, Scene, string | undefined]>([
    ['is the list’s own', { settings: list, domain }, 'own'],
    ['is the list’s own, whatever the domain', { settings: list }, 'own'],
    ['is else its domain’s', { domain }, 'of-the-domain'],
    ['is else not said', {}, undefined],
  ])('%s', (_, given, delivery) => {
    const at = (settings: Partial<ListSettings>): Scene => ({
      ...given,
      settings: { nonmember_action: 'accept', ...given.settings, ...settings },
    })
    const end = {
      phase: 'END-OF-MESSAGE',
      front: 'lmtp',
      client: {},
      sender: RCPT.sender,
      recipient: RCPT.recipient,
      size: 1,
      settledAtRcpt: false,
      afterAcceptance: true,
    } as const
    const verdicts = [
      judge(at({})),
      judge(at({ nonmember_action: 'hold' })),
      judge(at({ nonmember_action: 'reject', mode: 'shadow' })),
      judge(at({ identity: 'author' })),
      judge(at({}), { ...RCPT, sender: reversePath('') }),
      judge(at({}), { ...RCPT, recipient: address('team-owner@lists.example.org') }),
      decide(end, factsOf(at({ identity: 'author' })), INITIAL_SITE),
      decide(end, factsOf(at({ identity: 'author', nonmember_action: 'reject' })), INITIAL_SITE),
    ]
    expect(verdicts.map(({ kind }) => kind)).toEqual([
      'accept',
      'hold',
      'accept',
      'later',
      'accept',
      'accept',
      'accept',
      'hold',
    ])
    expect(new Set(verdicts.map(verdict => verdict.delivery))).toEqual(new Set([delivery]))
  })
})

test('a sender that is no address is a stranger', () => {
  const verdict = judge(
    {
      settings: { nonmember_action: 'reject' },
      people: keys.map(key => [key, must(makePerson(['member']))]),
    },
    { ...RCPT, sender: { kind: 'malformed-sender', text: 'alice' } },
  )
  expect(verdict.reason).toBe('sender-not-permitted')
})
