/** Posts that wait for a moderator, where the list's delivery has no place for them. */
import { describe, expect, test } from 'vitest'
import type { Delivery, DeliveryOutcome } from '../../src/app/message.ts'
import { holdElsewhere } from '../../src/delivery/holding.ts'
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

const RECIPIENTS = [
  to('a@lists.example.org'),
  to('b@lists.example.org', { disposition: 'hold' }),
  to('c@lists.example.org'),
  to('d@lists.example.org', { disposition: 'hold' }),
]

describe('held copies', () => {
  const cause = new Error('x')
  const hop = (): Noting =>
    noting('hop', text => (text.startsWith('c') ? { kind: 'failed', cause } : { kind: 'delivered' }))

  test('go elsewhere, the others on, and each outcome stands in its place', async () => {
    const next = hop()
    const kept = noting('maildir', text =>
      text.startsWith('d') ? { kind: 'failed', cause } : { kind: 'delivered' },
    )
    const delivery = holdElsewhere(next, () => kept)
    const outcomes = await delivery.deliver(ENVELOPE, POST, RECIPIENTS)
    expect(outcomes.map(({ kind }) => kind)).toEqual(['delivered', 'delivered', 'failed', 'failed'])
    expect(next.got).toEqual(['a@lists.example.org', 'c@lists.example.org'])
    expect(kept.got).toEqual(['b@lists.example.org', 'd@lists.example.org'])
    expect(delivery.name).toBe('hop')
  })

  test('fail where there is nowhere else', async () => {
    const next = hop()
    const outcomes = await holdElsewhere(next, () => undefined).deliver(ENVELOPE, POST, RECIPIENTS)
    expect(outcomes.map(({ kind }) => kind)).toEqual(['delivered', 'failed', 'failed', 'failed'])
    expect(next.got).toEqual(['a@lists.example.org', 'c@lists.example.org'])
  })

  test('the delivery is closed with it, and the other one is not', async () => {
    const next = hop()
    const kept = noting('maildir', () => ({ kind: 'delivered' }))
    await holdElsewhere(next, () => kept).close?.()
    expect([next.closed(), kept.closed()]).toEqual([true, false])
  })
})
