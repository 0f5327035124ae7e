/** Posts that wait for a moderator: whatever the list's delivery, they go into the queue. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Delivery, DeliveryOutcome } from '../../src/app/message.ts'
import { formatReply } from '../../src/core/reply.ts'
import { FileHeldQueue } from '../../src/delivery/held-queue.ts'
import { withHeldQueue } from '../../src/delivery/holding.ts'
import { heldIn } from '../support/held-queue.ts'
import { ENVELOPE, POST, to } from './mail.ts'

interface Noting extends Delivery {
  readonly got: string[]
  readonly closed: () => boolean
}

function noting(name: string, outcome: (recipient: string) => DeliveryOutcome): Noting {
  const got: string[] = []
  let closed = false
  return {
    name,
    got,
    closed: () => closed,
    close: async () => {
      closed = true
    },
    async deliver(_envelope, _message, recipients) {
      got.push(...recipients.map(({ recipient }) => recipient.text))
      return recipients.map(({ recipient }) => outcome(recipient.text))
    },
  }
}

const GROUNDS = { reason: 'first-post', rule: 'first-post-seen', returnPath: 'unproven' } as const
const HOLD = { disposition: 'hold', grounds: GROUNDS } as const
const RECIPIENTS = [
  to('a@lists.example.org'),
  to('b@lists.example.org', HOLD),
  to('c@lists.example.org'),
  to('d@lists.example.org', HOLD),
]

describe('held copies', () => {
  let path = ''
  const cause = new Error('x')
  const hop = (): Noting =>
    noting('hop', text => (text.startsWith('c') ? { kind: 'failed', cause } : { kind: 'delivered' }))
  const queue = (limits = {}): FileHeldQueue =>
    new FileHeldQueue({ path, maxMessages: 0, maxSize: 0, ...limits })

  beforeEach(async () => {
    path = await mkdtemp(join(tmpdir(), 'postern-holding-'))
  })

  afterEach(async () => {
    await rm(path, { recursive: true, force: true })
  })

  test('go into the queue, the others on, and each outcome stands in its place', async () => {
    const next = hop()
    const delivery = withHeldQueue(next, queue())
    const outcomes = await delivery.deliver(ENVELOPE, POST, RECIPIENTS)
    expect(outcomes.map(({ kind }) => kind)).toEqual(['delivered', 'delivered', 'failed', 'delivered'])
    expect(next.got).toEqual(['a@lists.example.org', 'c@lists.example.org'])
    const held = await heldIn(path)
    // Whoever reads the log finds the message by it.
    const replies = outcomes.map(outcome => ('reply' in outcome && outcome.reply?.text) || undefined)
    expect(replies).toEqual([undefined, `held as ${held[0]?.id}`, undefined, `held as ${held[1]?.id}`])
    expect(held.map(({ post }) => post.to.list)).toEqual(['b@lists.example.org', 'd@lists.example.org'])
    expect(held.map(({ post }) => post.grounds)).toEqual([GROUNDS, GROUNDS])
    expect(held.map(({ octets }) => octets.length)).toEqual([POST.size, POST.size])
    expect(delivery.name).toBe('hop')
  })

  test('that are too many stay in the mail server’s queue', async () => {
    const delivery = withHeldQueue(hop(), queue({ maxMessages: 1 }))
    const twice = [to('b@lists.example.org', HOLD), to('d@lists.example.org', HOLD)]
    await delivery.deliver(ENVELOPE, POST, twice)
    const outcomes = await delivery.deliver(ENVELOPE, POST, twice)
    expect(outcomes.map(outcome => (outcome.kind === 'refused' ? formatReply(outcome.reply) : ''))).toEqual([
      '452 4.2.2 Too many posts to b@lists.example.org wait for a moderator; try again later',
      '452 4.2.2 Too many posts to d@lists.example.org wait for a moderator; try again later',
    ])
    expect(await heldIn(path)).toHaveLength(2)
  })

  test('the delivery is closed with it', async () => {
    const next = hop()
    await withHeldQueue(next, queue()).close?.()
    expect(next.closed()).toBe(true)
  })
})
