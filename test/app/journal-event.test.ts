/** Events: fields and back, what is hidden, and questions asked again. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Decided } from '../../src/app/gate.ts'
import { eventFields, eventOf, isNoted, questionOf, readEvent } from '../../src/app/journal-event.ts'
import { replyFor } from '../../src/core/reason.ts'
import type { Transaction } from '../../src/core/transaction.ts'
import { hashingCloak, NO_CLOAK } from '../../src/daemon/address-cloak.ts'
import { event, TEAM } from '../conformance/journal-conformance.ts'
import { address, reversePath } from '../support/vectors.ts'

const TX: Transaction = {
  phase: 'RCPT',
  front: 'policy',
  client: { helo: 'mx.example.com', user: 'eve' },
  sender: reversePath('Eve@Example.com'),
  recipient: address('team+x@lists.example.org'),
  recipientsBefore: 2,
  message: 'm1',
}

function decided(fields: Partial<Decided> = {}): Decided {
  const reply = replyFor('sender-not-permitted', { list: TEAM })
  const verdict = { kind: 'reject', reason: 'sender-not-permitted', rule: 'r', reply, list: TEAM } as const
  return { tx: TX, verdict, at: 1000, latency: 3, queueId: undefined, ...fields }
}

const END: Transaction = {
  phase: 'END-OF-MESSAGE',
  front: 'lmtp',
  client: {},
  sender: reversePath(''),
  recipient: address('team@lists.example.org'),
  size: 77,
  settledAtRcpt: false,
  authorship: {
    from: [address('ann@example.net')],
    all: [address('ann@example.net'), address('x@example.net')],
  },
  afterAcceptance: true,
}

describe('addresses', () => {
  const personal = ['sender', 'sender_domain', 'recipient', 'user', 'authors']
  const texts = (fields: readonly string[]): Record<string, string> =>
    Object.fromEntries(
      Array.from({ length: fields.length / 2 }, (_, at) => [fields[2 * at]!, fields[2 * at + 1]!]),
    )

  test.each([decided(), decided({ tx: END, queueId: '4ABC' })])('none: nowhere', each => {
    const written = texts(eventFields(eventOf(each, 'mx1', undefined)))
    for (const name of personal) expect(written).not.toHaveProperty(name)
    expect(written['reply']).toBe('550 5.7.2')
    expect(JSON.stringify(written)).not.toMatch(/eve|ann|example\.net|team\+x/i)
  })

  test.each([decided(), decided({ tx: END })])(
    'hashed: the same hash for the same mailbox, and no address',
    each => {
      const cloak = hashingCloak(Buffer.alloc(32, 1))
      const written = texts(eventFields(eventOf(each, 'mx1', cloak)))
      expect(JSON.stringify(written)).not.toMatch(/eve@|ann@|team\+x/i)
      expect(written['list']).toBe(TEAM)
      if (each.tx === TX) expect(written['sender']).toBe(cloak.address('eve@example.com'))
      else expect(written['sender']).toBe('')
      expect(questionOf(readEvent(eventFields(eventOf(decided(), 'mx1', cloak)))!)).toBeUndefined()
    },
  )
})

test('mail that is not for lists is not noted', () => {
  const reply = replyFor('nothing-to-object')
  expect(isNoted({ verdict: { kind: 'none', reason: 'recipient-elsewhere', rule: 'r' } })).toBe(false)
  expect(isNoted({ verdict: { kind: 'accept', reason: 'nothing-to-object', rule: 'r', reply } })).toBe(false)
  expect(isNoted(decided())).toBe(true)
})

test.each([
  TX,
  END,
  { phase: 'MAIL', front: 'milter', client: {}, sender: reversePath('a@example.net') } as const,
])('a question is asked again as it was', tx => {
  const back = readEvent(eventFields(eventOf(decided({ tx }), 'mx1', NO_CLOAK)))!
  const expected =
    tx.phase === 'END-OF-MESSAGE'
      ? { ...tx, authorship: { from: tx.authorship!.from, all: tx.authorship!.from } }
      : tx
  expect(questionOf(back)).toEqual(expected)
})

test('what cannot be asked again', () => {
  expect(questionOf(event({ phase: 'DATA' }))).toBeUndefined()
  const { sender: _, ...rest } = event()
  expect(questionOf(rest)).toBeUndefined()
})

test('texts are bounded, and have nothing that breaks a line or a JSON text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2000 }), text => {
      const made = eventOf(
        decided({ tx: { ...TX, client: { helo: text, name: text } }, queueId: text }),
        'mx1',
        NO_CLOAK,
      )
      for (const value of [made.helo, made.clientName, made.queueId]) {
        expect(value!.length).toBeLessThanOrEqual(512)
        expect(value).not.toMatch(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u)
      }
      expect(readEvent(eventFields(made))).toEqual(made)
    }),
  )
})

test('no event: fields missing, unknown words, odd numbers of fields', () => {
  const fields = eventFields(event())
  expect(readEvent(fields)).toBeDefined()
  expect(readEvent([])).toBeUndefined()
  expect(readEvent(fields.slice(2))).toBeUndefined()
  expect(readEvent([...fields, 'reason'])).toBeDefined()
  expect(readEvent(fields.map(text => (text === 'reject' ? 'perhaps' : text)))).toBeUndefined()
  fc.assert(fc.property(fc.array(fc.string()), texts => readEvent(texts) === undefined))
})
