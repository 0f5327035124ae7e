/** Verdicts as replies and fates: the whole table, and what it does. */
import { describe, expect, test } from 'vitest'
import { HeaderReader } from '../../src/app/header-reader.ts'
import { type Reason, replyFor } from '../../src/core/reason.ts'
import type { ListAddress } from '../../src/core/transaction.ts'
import { VERDICT_KINDS, type Verdict, type VerdictKind } from '../../src/core/verdict.ts'
import { REPLIES } from '../../src/lmtp/replies.ts'
import {
  type AcceptingVerdict,
  ASKED_PHASES,
  endOfMessageTransaction,
  type Fate,
  fateOf,
  isAccepting,
  listsOf,
  rcptTransaction,
  replyTo,
  TREATMENTS,
} from '../../src/lmtp/translate.ts'
import { address, reversePath } from '../support/vectors.ts'

const LIST = 'team@lists.example.org' as ListAddress

const REASONS = {
  accept: 'sender-permitted',
  hold: 'sender-moderated',
  discard: 'sender-discarded',
  reject: 'sender-not-permitted',
  defer: 'list-paused',
  later: 'author-decides',
  none: 'recipient-elsewhere',
} as const satisfies Record<VerdictKind, Reason>

function verdict(kind: VerdictKind, reason: Reason = REASONS[kind], service?: string): Verdict {
  const grounds = { reason, rule: 'a-rule', list: LIST, ...(service !== undefined && { service }) }
  return kind === 'none'
    ? { ...grounds, kind }
    : { ...grounds, kind, reply: replyFor(reason, { list: LIST }) }
}

test('the table, as it stands in docs/lmtp.md', () => {
  const table = VERDICT_KINDS.map(kind => [kind, ...ASKED_PHASES.map(phase => TREATMENTS[kind][phase])])
  expect(table).toEqual([
    ['accept', 'go-on', 'own-reply', 'go-on'],
    ['hold', 'go-on', 'own-reply', 'hold'],
    ['discard', 'go-on', 'own-reply', 'drop'],
    ['reject', 'own-reply', 'own-reply', 'own-reply'],
    ['defer', 'own-reply', 'own-reply', 'own-reply'],
    ['later', 'go-on', 'own-reply', 'hold'],
    ['none', 'go-on', 'not-ours', 'not-ours'],
  ])
})

describe('replies', () => {
  test.each(VERDICT_KINDS)('%s', kind => {
    const given = verdict(kind)
    const own = given.kind === 'none' ? undefined : given.reply
    const refuses = kind === 'reject' || kind === 'defer'
    expect(replyTo('MAIL', given, 'callout')).toBe(refuses ? own : undefined)
    expect(replyTo('RCPT', given, 'callout')).toBe(kind === 'none' ? REPLIES.recipientElsewhere : own)
    expect(replyTo('RCPT', given, 'delivery')).toBe(kind === 'none' ? REPLIES.misrouted : own)
    expect(isAccepting(given)).toBe(!refuses && kind !== 'none')
  })

  test('postmaster', () => {
    expect(replyTo('RCPT', verdict('none', 'postmaster'), 'callout')).toBe(REPLIES.postmaster)
    expect(replyTo('RCPT', verdict('none', 'postmaster'), 'delivery')).toBe(REPLIES.misrouted)
  })
})

describe('fates', () => {
  const DELIVER: Fate = { kind: 'keep', disposition: 'deliver' }
  const HOLD: Fate = { kind: 'keep', disposition: 'hold' }
  const DROP: Fate = { kind: 'drop' }

  test.each<[VerdictKind, Fate]>([
    ['accept', DELIVER],
    ['hold', HOLD],
    ['discard', DROP],
    ['later', HOLD],
  ])('nothing to object at the end: %s at RCPT stands', (kind, fate) => {
    const atRcpt = verdict(kind) as AcceptingVerdict
    expect(fateOf(atRcpt, verdict('accept', 'nothing-to-object'))).toEqual(fate)
    expect(fateOf(atRcpt, verdict('accept', 'service-address'))).toEqual(fate)
  })

  test.each(['accept', 'hold', 'discard', 'later'] as const)('%s at RCPT gives way to the end', kind => {
    const atRcpt = verdict(kind) as AcceptingVerdict
    expect(fateOf(atRcpt, verdict('accept', 'sender-permitted'))).toEqual(DELIVER)
    expect(fateOf(atRcpt, verdict('accept', 'shadow'))).toEqual(DELIVER)
    expect(fateOf(atRcpt, verdict('hold', 'late-refusal-held'))).toEqual(kind === 'discard' ? DROP : HOLD)
    expect(fateOf(atRcpt, verdict('discard', 'late-refusal-discarded'))).toEqual(DROP)
    expect(fateOf(atRcpt, verdict('reject', 'message-too-big'))).toMatchObject({
      kind: 'refuse',
      reply: { code: 552 },
    })
    expect(fateOf(atRcpt, verdict('defer', 'store-unavailable'))).toMatchObject({
      kind: 'refuse',
      reply: { code: 451, enhanced: '4.3.0' },
    })
    expect(fateOf(atRcpt, verdict('none'))).toEqual({ kind: 'refuse', reply: REPLIES.misrouted })
  })
})

test('who was admitted before is taken as RCPT took them', () => {
  const admitted = verdict('accept', 'admitted-before')
  const fates = (['accept', 'hold', 'discard', 'later'] as const).map(kind =>
    fateOf(verdict(kind) as AcceptingVerdict, admitted),
  )
  expect(fates).toEqual([
    { kind: 'keep', disposition: 'deliver' },
    { kind: 'keep', disposition: 'hold' },
    { kind: 'drop' },
    { kind: 'keep', disposition: 'deliver' },
  ])
})

describe('transactions', () => {
  const recipient = address(LIST)
  const mail = (kind: AcceptingVerdict['kind'], service?: string, declaredSize?: number) => ({
    client: {},
    sender: reversePath('alice@example.net'),
    declaredSize,
    recipients: [{ recipient, verdict: verdict(kind, REASONS[kind], service) as AcceptingVerdict }],
  })
  const reading = {
    authorship: { from: [recipient], all: [recipient] },
    content: new HeaderReader().content(),
  }

  test('recipients are counted, a size of 0 is none, posts are not counted', () => {
    const tx = rcptTransaction(mail('accept', undefined, 0), recipient, 'delivery')
    expect(tx).toMatchObject({ recipientsBefore: 1, front: 'lmtp' })
    expect('size' in tx || 'message' in tx).toBe(false)
    expect(rcptTransaction(mail('accept', undefined, 7), recipient, 'callout').size).toBe(7)
  })

  test('what comes by the delivery door has been taken, and a question has not', () => {
    expect(rcptTransaction(mail('accept'), recipient, 'delivery').afterAcceptance).toBe(true)
    expect('afterAcceptance' in rcptTransaction(mail('accept'), recipient, 'callout')).toBe(false)
  })

  test.each(['accept', 'hold', 'discard'] as const)('%s is settled at RCPT', kind => {
    const given = mail(kind)
    const tx = endOfMessageTransaction(given, given.recipients[0]!, 9, reading)
    expect(tx).toMatchObject({ settledAtRcpt: true, afterAcceptance: true, size: 9, lists: 1 })
    expect(tx.content).toBe(reading.content)
    const unread = endOfMessageTransaction(given, given.recipients[0]!, 9, undefined)
    expect('content' in unread || 'authorship' in unread).toBe(false)
  })

  test('a list counts once, and a service address is none', () => {
    const [one] = mail('accept').recipients
    const [service] = mail('accept', 'owner').recipients
    expect(listsOf({ ...mail('accept'), recipients: [one!, one!, service!] })).toBe(1)
    expect(listsOf(mail('accept', 'owner'))).toBe(0)
  })

  test('later is settled at the end, by the author', () => {
    const given = mail('later')
    const tx = endOfMessageTransaction(given, given.recipients[0]!, 9, reading)
    expect(tx).toMatchObject({
      settledAtRcpt: false,
      afterAcceptance: true,
      authorship: reading.authorship,
    })
  })
})
