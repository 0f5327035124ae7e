/** Decisions about messages that wait: where they go, what they change, and who is told. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Delivery, DeliveryOutcome, HoldGrounds } from '../../src/app/message.ts'
import type { Notice } from '../../src/app/moderation/notices.ts'
import type { Moderated } from '../../src/app/moderation.ts'
import type { ListSettings } from '../../src/core/list.ts'
import { formatPerson, parsePerson } from '../../src/core/person.ts'
import { makeReply } from '../../src/core/reply.ts'
import type { Who } from '../../src/core/who.ts'
import { type HeldSite, heldSite, LIST } from '../delivery/held-site.ts'
import { ENVELOPE, message, to } from '../delivery/mail.ts'
import { heldIn } from '../support/held-queue.ts'
import { must, reversePath } from '../support/vectors.ts'

let root = ''
let site: HeldSite
let notices: Notice[] = []
let outcome: DeliveryOutcome = { kind: 'delivered' }
let handed = 0
let mtaFails = false

const HOP: Delivery = {
  name: 'hop',
  async deliver(_envelope, _message, recipients) {
    handed += recipients.length
    return recipients.map(() => outcome)
  },
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-moderation-'))
  notices = []
  outcome = { kind: 'delivered' }
  handed = 0
  mtaFails = false
  site = await heldSite(root, {
    deliveryFor: name => (name === undefined ? HOP : undefined),
    sendNotice: async notice => {
      if (mtaFails) throw new Error('the mail server is away')
      notices.push(notice)
    },
  })
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

const POST = 'From: Ann <ann@example.net>\r\nSubject: hello\r\nMessage-ID: <1@example.net>\r\n\r\nHi.\r\n'

interface Held {
  readonly sender?: string
  readonly content?: string
  readonly returnPath?: HoldGrounds['returnPath']
  readonly list?: string
}

function hold({
  sender = 'ann@example.net',
  content = POST,
  returnPath = 'admitted',
  list = LIST,
}: Held = {}) {
  const grounds = { ...site.hold.grounds, returnPath }
  const envelope = { ...ENVELOPE, sender: reversePath(sender) }
  return site.queue.hold(envelope, message(content), to(list, { disposition: 'hold', grounds }))
}

const left = async (): Promise<number> => (await heldIn(join(root, 'held'))).length
const set = (change: Partial<ListSettings>) => site.store.updateList(LIST, change)
const put = (who: string, text: string) =>
  site.store.putPerson(LIST, { who: who as Who, person: must(parsePerson(text)) })

async function record(who: string): Promise<string> {
  const person = await site.store.getPerson(LIST, who as Who)
  return person?.ok === true ? formatPerson(person.value) : 'none'
}

describe('accepting', () => {
  test('hands a message on to its list’s delivery, once', async () => {
    const id = await hold()
    const all = await Promise.all([
      site.moderation.decide(id, 'accept'),
      site.moderation.decide(id, 'accept'),
    ])
    expect(all.map(({ kind }) => kind).sort()).toEqual(['accepted', expect.stringMatching(/busy|unknown/)])
    expect([handed, await left()]).toEqual([1, 0])
    expect(await site.moderation.decide(id, 'accept')).toEqual({ kind: 'unknown' })
  })

  test('what the next hop refuses, or cannot take now, waits again', async () => {
    const id = await hold()
    outcome = { kind: 'refused', reply: must(makeReply(550, '5.7.1', 'No')) }
    expect(await site.moderation.decide(id, 'accept')).toMatchObject({ kind: 'refused', delivery: 'hop' })
    outcome = { kind: 'failed', cause: new Error('away') }
    expect(await site.moderation.decide(id, 'accept')).toMatchObject({ kind: 'failed', isAccepted: false })
    outcome = { kind: 'delivered' }
    expect(await site.moderation.decide(id, 'accept')).toMatchObject({ kind: 'accepted', delivery: 'hop' })
    expect([handed, await left()]).toEqual([3, 0])
  })

  test.each([
    [
      'a list that there is not',
      { list: 'gone@lists.example.org' },
      {},
      'there is no list gone@lists.example.org',
    ],
    ['a delivery that there is not', {}, { delivery: 'gone' }, 'the configuration has no delivery gone'],
  ])('for %s: it waits', async (_what, held, settings, cause) => {
    await set(settings)
    const id = await hold(held)
    const result = await site.moderation.decide(id, 'accept')
    expect(result).toMatchObject({ kind: 'failed', isAccepted: false, cause: new Error(cause) })
    expect([handed, await left()]).toEqual([0, 1])
  })

  test('goes by the domain’s delivery where the list has none', async () => {
    await site.store.putDomain('lists.example.org' as Parameters<typeof site.store.putDomain>[0], {
      flavour: 'mailman',
      delivery: 'elsewhere',
    })
    expect(await site.moderation.decide(await hold(), 'accept')).toMatchObject({
      cause: new Error('the configuration has no delivery elsewhere'),
    })
  })

  test('notes of a member, and of their other addresses, that a post was let through', async () => {
    await put('ann@example.net', 'member')
    await put('ann@home.example', 'member linked=ann@example.net')
    await site.moderation.decide(await hold({ sender: 'ann@home.example' }), 'accept')
    expect([await record('ann@example.net'), await record('ann@home.example')]).toEqual([
      'member seen',
      'member seen linked=ann@example.net',
    ])
  })

  test.each<[ListSettings['identity'], string, string]>([
    ['envelope', 'member seen', 'member'],
    ['author', 'member', 'member seen'],
    ['any', 'member seen', 'member seen'],
  ])('with identity=%s notes it of those whom the list goes by', async (identity, envelope, author) => {
    await set({ identity })
    await put('bob@example.net', 'member')
    await put('ann@example.net', 'member')
    await site.moderation.decide(await hold({ sender: 'bob@example.net' }), 'accept')
    expect([await record('bob@example.net'), await record('ann@example.net')]).toEqual([envelope, author])
  })

  test('notes nothing of a whole domain, and of nobody', async () => {
    await put('@example.net', 'member')
    await site.moderation.decide(await hold(), 'accept')
    expect(await record('@example.net')).toBe('member')
    expect(await record('ann@example.net')).toBe('none')
  })
})

describe('accepting and allowing', () => {
  test.each([
    ['somebody new', undefined, {}, 'nonmember action=accept seen', true],
    ['a member whom the list holds', 'member', { member_action: 'hold' }, 'member action=accept seen', true],
    ['a member who may post', 'member', { member_action: 'accept' }, 'member seen', false],
    ['somebody of whom it is said', 'nonmember action=hold', {}, 'nonmember action=accept seen', true],
    ['an owner', 'owner action=discard', {}, 'owner action=accept seen', true],
  ] as const)('%s', async (_who, before, settings, after, isAllowed) => {
    await set(settings)
    if (before !== undefined) await put('ann@example.net', before)
    const result = await site.moderation.decide(await hold(), 'allow')
    expect(result).toMatchObject({ kind: 'accepted', allowed: isAllowed ? ['ann@example.net'] : [] })
    expect(await record('ann@example.net')).toBe(after)
  })

  test('changes the person whose other address it is', async () => {
    await set({ member_action: 'hold' })
    await put('ann@example.net', 'member')
    await put('ann@home.example', 'member linked=ann@example.net')
    await site.moderation.decide(await hold({ sender: 'ann@home.example' }), 'allow')
    expect(await record('ann@example.net')).toBe('member action=accept seen')
    expect(await record('ann@home.example')).toBe('member action=accept seen linked=ann@example.net')
  })

  test('allows nobody where there is nobody', async () => {
    expect(await site.moderation.decide(await hold({ sender: '' }), 'allow')).toMatchObject({ allowed: [] })
    expect(await site.store.countPeople(LIST)).toBe(0)
  })

  test('all authors of a list that goes by authors', async () => {
    await set({ identity: 'author' })
    const content = 'From: a@example.net, b@example.net\r\n\r\nHi.\r\n'
    await site.moderation.decide(await hold({ content }), 'allow')
    expect([
      await record('a@example.net'),
      await record('b@example.net'),
      await record('ann@example.net'),
    ]).toEqual(['nonmember action=accept seen', 'nonmember action=accept seen', 'none'])
  })
})

describe('rejecting', () => {
  const told = (result: Moderated): string => (result.kind === 'rejected' ? result.told : result.kind)

  test('tells a proven sender, if the list wants that', async () => {
    await set({ reject_notice: 'yes' })
    expect(told(await site.moderation.decide(await hold(), 'reject'))).toBe('sender')
    expect(notices).toEqual([
      {
        from: 'team-owner@lists.example.org',
        to: expect.objectContaining({ text: 'ann@example.net' }),
        subject: 'Your message to team@lists.example.org was not accepted',
        text: expect.stringContaining('    Subject: hello\n'),
        inReplyTo: '<1@example.net>',
      },
    ])
    expect([handed, await left()]).toEqual([0, 0])
  })

  const AUTOMATIC = 'From: ann@example.net\r\nAuto-Submitted: auto-replied\r\n\r\nAway.\r\n'
  test.each<[string, Held, Partial<ListSettings>]>([
    ['list-does-not-want', {}, {}],
    ['unproven', { returnPath: 'unproven' }, { reject_notice: 'yes' }],
    ['no-sender', { sender: '' }, { reject_notice: 'yes' }],
    ['odd-address', { sender: '"a, b@evil.example"@example.net' }, { reject_notice: 'yes' }],
    ['automatic', { content: AUTOMATIC }, { reject_notice: 'yes' }],
    ['list-does-not-want', { list: 'gone@lists.example.org' }, { reject_notice: 'yes' }],
  ])('tells nobody: %s', async (why, held, settings) => {
    await set(settings)
    expect(told(await site.moderation.decide(await hold(held), 'reject'))).toBe(why)
    expect([notices, await left()]).toEqual([[], 0])
  })

  test('waits again where the notice cannot be sent', async () => {
    await set({ reject_notice: 'yes' })
    mtaFails = true
    const id = await hold()
    expect(await site.moderation.decide(id, 'reject')).toMatchObject({ kind: 'failed', isAccepted: false })
    expect(await left()).toBe(1)
    mtaFails = false
    expect(told(await site.moderation.decide(id, 'reject'))).toBe('sender')
  })
})

test('discarding tells nobody, and hands nothing on', async () => {
  await set({ reject_notice: 'yes' })
  expect(await site.moderation.decide(await hold(), 'discard')).toEqual({ kind: 'discarded' })
  expect([notices, handed, await left()]).toEqual([[], 0, 0])
})

test('what has waited for too long is decided as was chosen, and nothing else', async () => {
  const id = await hold()
  const ended: string[] = []
  for await (const each of site.moderation.expire(0, 'accept')) ended.push(each.id)
  expect(ended).toEqual([])
  for await (const each of site.moderation.expire(Date.now() + 2000, 'accept')) ended.push(each.outcome.kind)
  expect([ended, handed, await left(), id.length]).toEqual([['accepted'], 1, 0, 11])
})
