/** The recipients of messages on their way: what is kept, and for how long. */
import { describe, expect, test } from 'vitest'
import type { Address } from '../../src/core/address.ts'
import { replyFor } from '../../src/core/reason.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import {
  MESSAGE_LIMITS,
  type MessageKey,
  type MessageLimits,
  Messages,
  messageKey,
} from '../../src/policy/messages.ts'
import { address } from '../support/vectors.ts'

const ACCEPTED: Verdict = {
  kind: 'accept',
  reason: 'sender-permitted',
  rule: 'x',
  reply: replyFor('sender-permitted'),
}
const REFUSED: Verdict = {
  kind: 'reject',
  reason: 'list-unknown',
  rule: 'x',
  reply: replyFor('list-unknown'),
}
const DEFERRED: Verdict = { kind: 'defer', reason: 'list-paused', rule: 'x', reply: replyFor('list-paused') }

const [a, b, c] = ['a', 'b', 'c'].map(name => address(`${name}@lists.example.org`)) as [
  Address,
  Address,
  Address,
]

function key(instance: string): MessageKey {
  return messageKey(instance, '192.0.2.1') as MessageKey
}

function make(limits: Partial<MessageLimits> = {}): { messages: Messages; wait: (ms: number) => void } {
  let now = 1_000_000
  const messages = new Messages(() => now, { ...MESSAGE_LIMITS, ...limits })
  return {
    messages,
    wait: ms => {
      now += ms
    },
  }
}

function kept(messages: Messages, instance: string): readonly string[] {
  return messages.of(key(instance)).recipients.map(({ recipient, kind }) => `${recipient.localPart} ${kind}`)
}

describe('a message', () => {
  test('goes by its instance and its client, and by nothing where there is no instance', () => {
    expect(messageKey('1.2', '192.0.2.1')).not.toBe(messageKey('1.2', '192.0.2.2'))
    expect(messageKey('1.2', undefined)).not.toBe(messageKey('1.2', '192.0.2.2'))
    expect(messageKey('', '192.0.2.1')).toBeUndefined()
    expect(messageKey(undefined, '192.0.2.1')).toBeUndefined()
  })

  test('without a key nothing is known', () => {
    const { messages } = make()
    expect(messages.of(undefined).recipients).toEqual([])
    expect(messages.of(undefined).before(a.key)).toBe(0)
    expect(messages.of(key('1')).find(a.key)).toBeUndefined()
  })

  test('keeps what was accepted, in order, and not what was refused', () => {
    const { messages } = make()
    messages.judged(key('1'), a, ACCEPTED)
    messages.judged(key('1'), b, REFUSED)
    messages.judged(key('1'), c, DEFERRED)
    messages.judged(key('1'), c, { ...ACCEPTED, service: 'owner' })
    messages.judged(key('2'), b, { kind: 'none', reason: 'recipient-elsewhere', rule: 'x' })
    expect(kept(messages, '1')).toEqual(['a posting', 'c service'])
    expect(kept(messages, '2')).toEqual(['b elsewhere'])
    expect(messages.size).toEqual({ messages: 2, recipients: 3 })
  })

  test.each(['hold', 'discard', 'later'] as const)('a recipient with the verdict %s is one', kind => {
    const { messages } = make()
    messages.judged(key('1'), a, { ...ACCEPTED, kind })
    expect(kept(messages, '1')).toEqual(['a posting'])
  })

  test('a repeated question counts once, and has the place it had', () => {
    const { messages } = make()
    const places = [a, a, b, a, b, c].map(recipient => {
      const before = messages.of(key('1')).before(recipient.key)
      messages.judged(key('1'), recipient, ACCEPTED)
      return before
    })
    expect(places).toEqual([0, 0, 1, 0, 1, 2])
    expect(messages.size.recipients).toBe(3)
  })

  test('the same address in two spellings is one recipient', () => {
    const { messages } = make()
    messages.judged(key('1'), address('Team@LISTS.example.org'), ACCEPTED)
    messages.judged(key('1'), address('team@lists.example.org'), ACCEPTED)
    expect(messages.size.recipients).toBe(1)
  })

  test('of several judgements the last counts', () => {
    const { messages } = make()
    messages.judged(key('1'), a, ACCEPTED)
    messages.judged(key('1'), a, REFUSED)
    expect(kept(messages, '1')).toEqual([])
    expect(messages.size.recipients).toBe(0)
    expect(messages.of(key('1')).before(b.key)).toBe(0)
    messages.judged(key('1'), b, ACCEPTED)
    messages.judged(key('1'), a, ACCEPTED)
    expect(kept(messages, '1')).toEqual(['b posting', 'a posting'])
    expect(messages.of(key('1')).before(a.key)).toBe(1)
  })

  test('is forgotten when it is over', () => {
    const { messages } = make()
    messages.judged(key('1'), a, ACCEPTED)
    messages.forget(key('1'))
    messages.forget(key('1'))
    expect(kept(messages, '1')).toEqual([])
    expect(messages.size).toEqual({ messages: 0, recipients: 0 })
  })
})

describe('limits', () => {
  test('of too many messages the one that was used longest ago goes', () => {
    const { messages } = make({ messages: 2 })
    messages.judged(key('1'), a, ACCEPTED)
    messages.judged(key('2'), a, ACCEPTED)
    messages.judged(key('1'), b, ACCEPTED)
    messages.judged(key('3'), a, ACCEPTED)
    expect(['1', '2', '3'].map(instance => kept(messages, instance).length)).toEqual([2, 0, 1])
  })

  test('of too many recipients in all the oldest messages go', () => {
    const { messages } = make({ recipients: 3 })
    messages.judged(key('1'), a, ACCEPTED)
    messages.judged(key('2'), a, ACCEPTED)
    messages.judged(key('3'), a, ACCEPTED)
    messages.judged(key('3'), b, ACCEPTED)
    expect(['1', '2', '3'].map(instance => kept(messages, instance).length)).toEqual([0, 1, 2])
    expect(messages.size).toEqual({ messages: 2, recipients: 3 })
  })

  test('recipients of one message beyond the limit are not kept, but the count does not begin anew', () => {
    const { messages } = make({ recipientsOfOne: 2 })
    for (const recipient of [a, b, c, a]) messages.judged(key('1'), recipient, ACCEPTED)
    expect(kept(messages, '1')).toEqual(['a posting', 'b posting'])
    expect(messages.of(key('1')).before(c.key)).toBe(2)
    expect(messages.size.recipients).toBe(2)
  })

  test('a message that nobody asks about is dropped in time', () => {
    const { messages, wait } = make({ age: 1000 })
    messages.judged(key('1'), a, ACCEPTED)
    wait(600)
    messages.judged(key('2'), a, ACCEPTED)
    wait(600)
    messages.judged(key('2'), b, ACCEPTED)
    expect(['1', '2'].map(instance => kept(messages, instance).length)).toEqual([0, 2])
  })
})
