/** What a next hop refuses: told to whom the bounce would reach, and held or dropped for everybody else. */
import { afterEach, describe, expect, test } from 'vitest'
import type { Delivery, DeliveryOutcome, DeliveryRecipient } from '../../src/app/message.ts'
import { makeReply, type Reply } from '../../src/core/reply.ts'
import { whoIs } from '../../src/core/who.ts'
import { LISTS, type Sink } from '../support/lmtp-sink.ts'
import { address, must } from '../support/vectors.ts'
import { end, greeted, start } from './site.ts'

afterEach(end)

const REFUSED = must(makeReply(554, '5.7.1', 'not this one'))
const WAITS = must(makeReply(451, '4.7.1', 'not now'))

const STATE = {
  ...LISTS,
  lists: [
    ...(LISTS.lists ?? []),
    {
      address: 'drop@lists.example.org',
      settings: { nonmember_action: 'accept', late_refusal: 'discard' },
      people: [{ who: 'alice@example.net', roles: ['member'] as const }],
    },
  ],
}

interface NextHop extends Delivery {
  readonly held: DeliveryRecipient[]
}

/** A next hop that refuses what it is to take, and a place for what is held. */
function refusing(reply: Reply, hold: DeliveryOutcome = { kind: 'delivered' }): NextHop {
  const held: DeliveryRecipient[] = []
  return {
    name: 'hop',
    held,
    deliver: async (_envelope, _message, recipients) =>
      recipients.map(to => {
        if (to.disposition === 'deliver') return { kind: 'refused', reply }
        held.push(to)
        return hold
      }),
  }
}

async function admit(sink: Sink, sender: string, ...lists: readonly string[]): Promise<void> {
  for (const list of lists) {
    const { key } = address(`${list}@lists.example.org`)
    await sink.store.admit({ list: key, sender: whoIs(address(sender)), seconds: 60 })
  }
}

async function post(
  sink: Sink,
  sender: string,
  ...recipients: readonly string[]
): Promise<readonly string[]> {
  const client = await greeted(sink)
  client.send(
    `MAIL FROM:<${sender}>`,
    ...recipients.map(name => `RCPT TO:<${name}@lists.example.org>`),
    'DATA',
  )
  await client.replies(recipients.length + 2)
  client.send('Subject: x', '', '.')
  return client.replies(recipients.length)
}

const HELD = /^250 2\.0\.0 <\S+> taken as ID1 and waits for a moderator$/
const TAKEN = /^250 2\.0\.0 <\S+> taken as ID1$/

describe('a refusal for good', () => {
  test('of a stranger’s post is no bounce: it is held, or dropped, as the list says', async () => {
    const delivery = refusing(REFUSED)
    const sink = await start({ state: STATE, delivery })
    const replies = await post(sink, 'eve@example.com', 'open', 'drop', 'open-owner')
    expect(replies[0]).toMatch(HELD)
    expect(replies[1]).toMatch(TAKEN)
    expect(replies[2]).toMatch(HELD)
    expect(delivery.held.map(({ list, service, grounds }) => [list, service, grounds])).toEqual(
      [undefined, 'owner'].map(service => [
        'open@lists.example.org',
        service,
        { reason: 'late-refusal-held', rule: 'next-hop', returnPath: 'unproven' },
      ]),
    )
    expect(sink.front.counts).toMatchObject({ held: 2, discarded: 1, late: 3, refused: 0 })
    const said = sink.log.lines.filter(line => 'insteadOf' in line)
    expect(said.map(line => [line.message, line['reason'], line['insteadOf']])).toEqual([
      ['message held', 'late-refusal-held', '554 5.7.1 not this one'],
      ['message discarded', 'late-refusal-discarded', '554 5.7.1 not this one'],
      ['message held', 'late-refusal-held', '554 5.7.1 not this one'],
    ])
  })

  test('of a stranger whom an open list let in is none, either', async () => {
    const delivery = refusing(REFUSED)
    const sink = await start({ state: STATE, delivery })
    await admit(sink, 'eve@example.com', 'open', 'drop')
    const replies = await post(sink, 'eve@example.com', 'open', 'drop')
    expect(replies[0]).toMatch(HELD)
    expect(replies[1]).toMatch(TAKEN)
  })

  test('of the null sender is none', async () => {
    const delivery = refusing(REFUSED)
    const sink = await start({ state: STATE, delivery })
    expect((await post(sink, '', 'team-bounces'))[0]).toMatch(HELD)
  })

  test('is told a member who was let in', async () => {
    const delivery = refusing(REFUSED)
    const sink = await start({ state: STATE, delivery })
    await admit(sink, 'alice@example.net', 'team', 'drop')
    expect(await post(sink, 'alice@example.net', 'team', 'drop')).toEqual([
      '554 5.7.1 not this one',
      '554 5.7.1 not this one',
    ])
    expect(delivery.held).toEqual([])
  })

  test.each<[string, DeliveryOutcome]>([
    ['is full', { kind: 'refused', reply: must(makeReply(452, '4.2.2', 'full')) }],
    ['refuses, too', { kind: 'refused', reply: REFUSED }],
    ['fails', { kind: 'failed', cause: new Error('no') }],
  ])('waits where the place for held posts %s', async (_, outcome) => {
    const sink = await start({ state: STATE, delivery: refusing(REFUSED, outcome) })
    expect((await post(sink, 'eve@example.com', 'open'))[0]).toMatch(/^45[12] 4\./)
  })
})

test('a refusal for now is told everybody: the mail waits', async () => {
  const delivery = refusing(WAITS)
  const sink = await start({ state: STATE, delivery })
  expect(await post(sink, 'eve@example.com', 'open', 'drop')).toEqual([
    '451 4.7.1 not now',
    '451 4.7.1 not now',
  ])
  expect(delivery.held).toEqual([])
})
