/** What forms of an address give a sender on a list: words, how an entry was found, and properties over random lists. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/core/decide.ts'
import { factsNeeded, INITIAL_SITE, type Site } from '../../src/core/facts.ts'
import { ACTIONS, parseSettings } from '../../src/core/list.ts'
import { formatPerson, makePerson, type Person, parsePerson, ROLES } from '../../src/core/person.ts'
import { INITIAL_SENDERS, type SenderSettings } from '../../src/core/sender-forms/settings.ts'
import { formsOf } from '../../src/core/sender-forms.ts'
import { entryInWords, type Position, positionOf } from '../../src/core/standing.ts'
import type { RcptTransaction } from '../../src/core/transaction.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import { parseWho, type Who } from '../../src/core/who.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { address, must } from '../support/vectors.ts'

const LIST = address('team@lists.example.org')
const SETTINGS = must(parseSettings({}))

const SENDERS: SenderSettings = {
  ...INITIAL_SENDERS,
  srs: ['forward.example'],
  detail: { 'example.net': '+' },
  aliasDomains: { 'example.com': 'example.net' },
}

type People = readonly (readonly [string, string])[]

/** The position of a sender on a list with these people and bans. */
async function position(sender: string, people: People, bans: readonly string[] = []): Promise<Position> {
  const store = new MemoryStore()
  await store.createList(LIST.key, SETTINGS)
  for (const [who, person] of people) {
    await store.putPerson(LIST.key, { who: must(parseWho(who)), person: must(parsePerson(person)) })
  }
  for (const who of bans) await store.addBan(LIST.key, must(parseWho(who)))
  const site: Site = { ...INITIAL_SITE, senders: SENDERS }
  const facts = store.load(factsNeeded(rcpt(sender), site))
  const list = facts.lists.get(LIST.key)
  if (list === undefined) throw new Error('no list')
  return must(positionOf(formsOf(address(sender), SENDERS, 'envelope'), list, SETTINGS, facts.siteBans))
}

function rcpt(sender: string): RcptTransaction {
  return {
    phase: 'RCPT',
    front: 'cli',
    client: {},
    sender: address(sender),
    recipient: LIST,
    recipientsBefore: 0,
  }
}

describe('how an entry was found', () => {
  const member: People = [['ann@example.net', 'member']]
  test.each<[sender: string, people: People, found: Position['found'], words: string]>([
    ['ann@example.net', member, 'literal', 'ann@example.net'],
    ['eve@example.net', member, 'literal', ''],
    ['eve@example.net', [['@example.net', 'member']], 'literal', '@example.net'],
    ['ann+x@example.net', member, 'same-mailbox', 'ann@example.net; detail +x dropped'],
    ['ann@example.com', member, 'same-mailbox', 'ann@example.net; example.com is example.net'],
    [
      'ann+x@example.com',
      member,
      'same-mailbox',
      'ann@example.net; detail +x dropped; example.com is example.net',
    ],
    [
      'ann@example.com',
      [['@example.net', 'member']],
      'same-mailbox',
      '@example.net; example.com is example.net',
    ],
    ['prvs=4068eb2540=ann@example.net', member, 'decoded', 'ann@example.net; BATV of ann@example.net'],
    ['prvs=4068eb2540=ann@example.net', [['@example.net', 'member'], ...member], 'literal', '@example.net'],
    [
      'SRS0=H=T=example.net=ann+x@forward.example',
      member,
      'decoded',
      'ann@example.net; SRS0 of ann+x@example.net; detail +x dropped',
    ],
    [
      'ann@home.example',
      [...member, ['ann@home.example', 'member linked=ann@example.net']],
      'literal',
      'ann@home.example; linked to ann@example.net',
    ],
  ])('%s', async (sender, people, found, words) => {
    const at = await position(sender, people)
    expect([at.found, entryInWords(at)]).toEqual([found, words])
  })

  test('a ban says how it was found, too', async () => {
    const at = await position('SRS0=H=T=example.net=ann@elsewhere.example', member, ['ann@example.net'])
    expect(at).toMatchObject({ standing: 'banned', found: 'decoded' })
    expect(entryInWords(at)).toBe('ann@example.net; SRS0 of ann@example.net')
  })
})

describe('a person’s text', () => {
  const person: fc.Arbitrary<Person> = fc
    .tuple(
      fc.uniqueArray(fc.constantFrom(...ROLES), { minLength: 1 }),
      fc.option(fc.constantFrom(...ACTIONS), { nil: undefined }),
      fc.boolean(),
      fc.option(fc.constantFrom('ann@example.net', '"ann lee"@example.net', '" linked=x"@example.net'), {
        nil: undefined,
      }),
    )
    .map(([roles, action, seen, linked]) => ({
      ...must(makePerson(roles, action)),
      ...(seen && { seen }),
      ...(linked !== undefined && { linked: address(linked).key }),
    }))

  test('gives the same person back', () => {
    fc.assert(
      fc.property(person, given => {
        expect(parsePerson(formatPerson(given))).toEqual({ ok: true, value: given })
      }),
    )
  })

  test.each(['member linked=', 'member linked=ann', 'member linked=@example.net', ' linked=ann@example.net'])(
    '%j is none',
    text => {
      expect(parsePerson(text).ok).toBe(false)
    },
  )
})

const NOTHING: SenderSettings = { ...INITIAL_SENDERS, batv: false }
const EVERYTHING: SenderSettings = {
  batv: true,
  srs: ['*'],
  verp: ['*'],
  detail: { '*': '+' },
  aliasDomains: { 'b.example': 'a.example' },
}
const sender = fc.constantFrom(
  'ann@a.example',
  'ann+x@a.example',
  'ann@b.example',
  'ann+x=y@b.example',
  'prvs=4068eb2540=ann@a.example',
  'SRS0=H=T=a.example=ann@f.example',
  'SRS0=H=T=b.example=prvs=4068eb2540=ann+x@f.example',
  'SRS1=G=f.example==H=T=a.example=ann@g.example',
  'list-bounces+ann=a.example@f.example',
)
const entry = fc.oneof(
  sender,
  fc.constantFrom('@a.example', '@b.example', '@f.example', '@g.example', '@.example', 'bob@a.example'),
)
const world = fc.record({
  people: fc.array(
    fc.tuple(
      entry,
      fc.constantFrom('member', 'owner', 'nonmember', 'member action=hold', 'member action=reject'),
    ),
    { maxLength: 4 },
  ),
  bans: fc.array(entry, { maxLength: 1 }),
})

async function judge(
  from: string,
  { people, bans }: { people: People; bans: readonly string[] },
  senders: SenderSettings,
): Promise<Verdict> {
  const store = new MemoryStore()
  await store.putDomain(LIST.domain, { flavour: 'mailman' })
  await store.createList(LIST.key, SETTINGS)
  for (const [who, person] of people) {
    await store.putPerson(LIST.key, { who: must(parseWho(who)), person: must(parsePerson(person)) })
  }
  for (const who of bans) await store.addBan(LIST.key, must(parseWho(who)))
  const site: Site = { ...INITIAL_SITE, senders }
  const tx = rcpt(from)
  return decide(tx, store.load(factsNeeded(tx, site)), site)
}

describe('properties of standing by forms', () => {
  test('whoever has a record under the address as it is keeps the standing, unless banned or the domain’s', async () => {
    await fc.assert(
      fc.asyncProperty(sender, world, async (from, given) => {
        fc.pre(given.bans.length === 0 && given.people.some(([who]) => who === from))
        const [literal, taken] = [await judge(from, given, NOTHING), await judge(from, given, EVERYTHING)]
        expect(taken).toEqual(literal)
      }),
    )
  })

  test('without any trust, forms are for bans alone', async () => {
    await fc.assert(
      fc.asyncProperty(sender, world, async (from, given) => {
        const plain = { ...given, bans: [] }
        const own = given.people.filter(([who]) => {
          const at = who.lastIndexOf('@')
          return who === from || (at === 0 && (from.endsWith(who) || who === '@.example'))
        })
        expect(await judge(from, plain, NOTHING)).toEqual(
          await judge(from, { ...plain, people: own }, NOTHING),
        )
        const banned = await judge(from, given, NOTHING)
        if (banned.reason !== 'sender-banned') expect(banned).toEqual(await judge(from, plain, NOTHING))
      }),
    )
  })

  test('a ban of any form holds, whatever is trusted; trusting more never lifts one', async () => {
    await fc.assert(
      fc.asyncProperty(sender, world, async (from, given) => {
        const strict = await judge(from, given, NOTHING)
        if (strict.reason === 'sender-banned') {
          expect((await judge(from, given, EVERYTHING)).reason).toBe('sender-banned')
        }
      }),
    )
  })

  test('the keys that give a standing are among those that are looked up', () => {
    fc.assert(
      fc.property(sender, fc.constantFrom(NOTHING, EVERYTHING, SENDERS), (from, senders) => {
        const query = factsNeeded(rcpt(from), { ...INITIAL_SITE, senders })
        const { standing, keys } = formsOf(address(from), senders, 'envelope')
        expect(query.sender).toEqual(keys)
        expect(standing.filter((key: Who) => !query.sender.includes(key))).toEqual([])
      }),
    )
  })
})
