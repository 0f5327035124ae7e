/** Posts that wait for a moderator, beside copies that are handed on. */
import { describe, expect, test } from 'vitest'
import { type HeldQueue, HeldQueueFull } from '../../src/app/held.ts'
import type { Delivery, DeliveryOutcome } from '../../src/app/message.ts'
import { withHeldQueue } from '../../src/delivery/holding.ts'
import { ENVELOPE, POST, to, told } from './mail.ts'

interface Noting extends Delivery {
  readonly got: string[]
  readonly closed: () => boolean
}

function noting(outcome: (recipient: string) => DeliveryOutcome): Noting {
  const got: string[] = []
  let closed = false
  return {
    name: 'hop',
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

const DELIVERED: DeliveryOutcome = { kind: 'delivered' }

interface NotingQueue extends Pick<HeldQueue, 'hold'> {
  readonly got: string[]
}

/** A queue of which only the way in is used. */
function queue(keep: (recipient: string) => void = () => {}): NotingQueue & HeldQueue {
  const got: string[] = []
  const way: NotingQueue = {
    got,
    hold: async (_envelope, _message, { recipient }) => {
      keep(recipient.text)
      got.push(recipient.text)
      return 'id'
    },
  }
  return way as NotingQueue & HeldQueue
}

const RECIPIENTS = [
  to('a@lists.example.org'),
  to('b@lists.example.org', { disposition: 'hold' }),
  to('c@lists.example.org'),
  to('d@lists.example.org', { disposition: 'hold' }),
]

async function outcomes(delivery: Delivery, held: HeldQueue, recipients = RECIPIENTS): Promise<string[]> {
  return (await withHeldQueue(delivery, held).deliver(ENVELOPE, POST, recipients)).map(outcome =>
    told(outcome).replace(/: $/, ''),
  )
}

describe('held copies', () => {
  test('go into the queue, the others on, and each outcome stands in its place', async () => {
    const cause = new Error('x')
    const next = noting(text => (text.startsWith('c') ? { kind: 'failed', cause } : DELIVERED))
    const held = queue(text => {
      if (text.startsWith('d')) throw cause
    })
    expect(await outcomes(next, held)).toEqual([
      'delivered',
      'delivered',
      'failed: Error: x',
      'failed: Error: x',
    ])
    expect(next.got).toEqual(['a@lists.example.org', 'c@lists.example.org'])
    expect(held.got).toEqual(['b@lists.example.org'])
    expect(withHeldQueue(next, held).name).toBe('hop')
  })

  test('of a list whose queue is full wait with the mail server', async () => {
    const full = queue(() => {
      throw new HeldQueueFull('full')
    })
    const refused = 'refused: 452 4.2.2 Too many posts to '
    expect(
      await outcomes(
        noting(() => DELIVERED),
        full,
      ),
    ).toEqual([
      'delivered',
      expect.stringContaining(`${refused}b@lists.example.org`),
      'delivered',
      expect.stringContaining(`${refused}d@lists.example.org`),
    ])
  })

  test.each<[string, Delivery['deliver']]>([
    ['rejects', async () => Promise.reject(new Error('broken'))],
    [
      'throws',
      () => {
        throw new Error('broken')
      },
    ],
    ['tells the fate of too few', async () => [DELIVERED]],
    ['tells the fate of too many', async () => [DELIVERED, DELIVERED, DELIVERED]],
  ])('are held all the same where the delivery %s, and do not come again', async (_, deliver) => {
    const held = queue()
    const next = { name: 'hop', deliver }
    const failed = expect.stringMatching(
      /^failed: Error: (?:broken|hop does not tell the fate of each copy)$/,
    )
    expect(await outcomes(next, held)).toEqual([failed, 'delivered', failed, 'delivered'])
    expect(held.got).toHaveLength(2)
  })

  test('that are all there is do not trouble the delivery', async () => {
    const next = noting(() => DELIVERED)
    const held = RECIPIENTS.filter(({ disposition }) => disposition === 'hold')
    expect(await outcomes(next, queue(), held)).toEqual(['delivered', 'delivered'])
    expect(next.got).toEqual([])
  })

  test('the delivery is closed with what is put before it', async () => {
    const next = noting(() => DELIVERED)
    await withHeldQueue(next, queue()).close?.()
    expect(next.closed()).toBe(true)
  })
})
