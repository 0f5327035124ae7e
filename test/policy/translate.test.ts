/** Between the protocol and the law: which question a request asks, and what a verdict is as an action. */
import { describe, expect, test } from 'vitest'
import { internalForwardPath, internalReversePath, NULL_SENDER } from '../../src/core/address.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { replyFor } from '../../src/core/reason.ts'
import { type AcceptedRecipient, PHASES, type Transaction } from '../../src/core/transaction.ts'
import { VERDICT_KINDS, type Verdict, type VerdictKind } from '../../src/core/verdict.ts'
import { type Collected, NOTHING_COLLECTED } from '../../src/policy/messages.ts'
import {
  actionOf,
  FIDELITY,
  type Fidelity,
  PHASE_OF_STATE,
  transactionOf,
} from '../../src/policy/translate.ts'
import { address, must } from '../support/vectors.ts'
import type { Values } from './requests.ts'

function ask(values: Values, collected: Collected = NOTHING_COLLECTED): Transaction | undefined {
  return transactionOf({ get: name => values[name] }, collected)
}

const team: AcceptedRecipient = { recipient: address('team@lists.example.org'), kind: 'posting' }
const owner: AcceptedRecipient = { recipient: address('team-owner@lists.example.org'), kind: 'service' }

function collected(...recipients: AcceptedRecipient[]): Collected {
  return {
    recipients,
    find: key => recipients.find(({ recipient }) => recipient.key === key),
    before: () => recipients.length,
  }
}

const base = { front: 'policy', client: {} } as const

describe('the client', () => {
  const client = (values: Values): unknown => ask({ protocol_state: 'EHLO', ...values })?.client

  test.each<[string, Values, unknown]>([
    [
      'all that is known',
      {
        client_address: '2001:DB8::1',
        client_name: 'mx.example.net',
        helo_name: 'mx',
        sasl_username: 'alice',
      },
      { ip: must(parseIpAddress('2001:db8::1')), name: 'mx.example.net', helo: 'mx', user: 'alice' },
    ],
    [
      'empty values are absent',
      { client_address: '', client_name: '', helo_name: '', sasl_username: '' },
      {},
    ],
    ['values that were not sent are absent', {}, {}],
    ['unknown is no name and no address', { client_address: 'unknown', client_name: 'unknown' }, {}],
    ['an unverified name is not used', { client_name: 'unknown', reverse_client_name: 'mx.example.net' }, {}],
  ])('%s', (_, values, want) => {
    expect(client(values)).toEqual(want)
  })
})

describe('the question', () => {
  const sender = internalReversePath('alice@example.net')
  const mail: Values = { sender: 'alice@example.net', client_address: '' }
  const recipient = team.recipient

  test.each<[string, Values, Collected, Transaction | undefined]>([
    ['CONNECT', { protocol_state: 'CONNECT' }, NOTHING_COLLECTED, { ...base, phase: 'CONNECT' }],
    ['EHLO', { protocol_state: 'EHLO' }, NOTHING_COLLECTED, { ...base, phase: 'EHLO' }],
    ['HELO is EHLO', { protocol_state: 'HELO' }, NOTHING_COLLECTED, { ...base, phase: 'EHLO' }],
    ['MAIL', { protocol_state: 'MAIL', ...mail }, NOTHING_COLLECTED, { ...base, phase: 'MAIL', sender }],
    [
      'MAIL with the null sender',
      { protocol_state: 'MAIL', sender: '' },
      NOTHING_COLLECTED,
      { ...base, phase: 'MAIL', sender: NULL_SENDER },
    ],
    [
      'MAIL with a sender that is no address',
      { protocol_state: 'MAIL', sender: 'root' },
      NOTHING_COLLECTED,
      { ...base, phase: 'MAIL', sender: { kind: 'malformed-sender', text: 'root' } },
    ],
    [
      'RCPT',
      { protocol_state: 'RCPT', ...mail, recipient: 'team@lists.example.org', instance: '1.2', size: '512' },
      collected(owner),
      { ...base, phase: 'RCPT', sender, recipient, recipientsBefore: 1, size: 512, message: '1.2' },
    ],
    [
      'RCPT without a size and an instance',
      { protocol_state: 'RCPT', ...mail, recipient: 'team@lists.example.org', instance: '', size: '0' },
      NOTHING_COLLECTED,
      { ...base, phase: 'RCPT', sender, recipient, recipientsBefore: 0 },
    ],
    [
      'RCPT with a size that is no number',
      { protocol_state: 'RCPT', ...mail, recipient: 'team@lists.example.org', size: '-1e9' },
      NOTHING_COLLECTED,
      { ...base, phase: 'RCPT', sender, recipient, recipientsBefore: 0 },
    ],
    ['RCPT without a recipient', { protocol_state: 'RCPT', ...mail }, NOTHING_COLLECTED, undefined],
    [
      'RCPT without a domain',
      { protocol_state: 'RCPT', ...mail, recipient: 'team' },
      NOTHING_COLLECTED,
      undefined,
    ],
    [
      'VRFY is RCPT with the null sender, of no message',
      { protocol_state: 'VRFY', recipient: 'team@lists.example.org', instance: '1.2' },
      collected(owner),
      { ...base, phase: 'RCPT', sender: NULL_SENDER, recipient, recipientsBefore: 0 },
    ],
    ['ETRN', { protocol_state: 'ETRN', etrn_domain: 'lists.example.org' }, NOTHING_COLLECTED, undefined],
    [
      'a state of the future',
      { protocol_state: 'XYZ', ...mail, recipient: 'team@lists.example.org' },
      NOTHING_COLLECTED,
      undefined,
    ],
    ['a state that objects have', { protocol_state: 'toString' }, NOTHING_COLLECTED, undefined],
    [
      'DATA, two recipients',
      { protocol_state: 'DATA', ...mail, recipient_count: '2' },
      collected(team, owner),
      { ...base, phase: 'DATA', sender, recipients: [team, owner] },
    ],
    [
      'DATA, more than were accepted here',
      { protocol_state: 'DATA', ...mail, recipient_count: '3' },
      collected(team, owner),
      { ...base, phase: 'DATA', sender, recipients: undefined },
    ],
    [
      'DATA, fewer than were accepted here',
      { protocol_state: 'DATA', ...mail, recipient_count: '1' },
      collected(team, owner),
      { ...base, phase: 'DATA', sender, recipients: undefined },
    ],
    [
      'DATA, no count',
      { protocol_state: 'DATA', ...mail },
      collected(team, owner),
      { ...base, phase: 'DATA', sender, recipients: undefined },
    ],
    [
      'DATA, a count of nothing',
      { protocol_state: 'DATA', ...mail, recipient_count: '0' },
      NOTHING_COLLECTED,
      { ...base, phase: 'DATA', sender, recipients: undefined },
    ],
    [
      'DATA, the only recipient of several that were accepted here',
      { protocol_state: 'DATA', ...mail, recipient: 'TEAM@lists.example.org', recipient_count: '1' },
      collected(owner, team),
      { ...base, phase: 'DATA', sender, recipients: [team] },
    ],
    [
      'DATA, the only recipient, without a count',
      { protocol_state: 'DATA', ...mail, recipient: 'team@lists.example.org' },
      collected(team),
      { ...base, phase: 'DATA', sender, recipients: [team] },
    ],
    [
      'DATA, the only recipient, never seen',
      { protocol_state: 'DATA', ...mail, recipient: 'team@lists.example.org', recipient_count: '1' },
      NOTHING_COLLECTED,
      { ...base, phase: 'DATA', sender, recipients: undefined },
    ],
    [
      'DATA, a recipient that is not the only one',
      { protocol_state: 'DATA', ...mail, recipient: 'team@lists.example.org', recipient_count: '2' },
      collected(team, owner),
      { ...base, phase: 'DATA', sender, recipients: undefined },
    ],
    [
      'END-OF-MESSAGE, the only recipient',
      {
        protocol_state: 'END-OF-MESSAGE',
        ...mail,
        recipient: 'team@lists.example.org',
        recipient_count: '1',
        size: '21',
      },
      NOTHING_COLLECTED,
      {
        ...base,
        phase: 'END-OF-MESSAGE',
        sender,
        recipient,
        size: 21,
        settledAtRcpt: true,
        afterAcceptance: false,
      },
    ],
    [
      'END-OF-MESSAGE, one recipient that is known from RCPT',
      { protocol_state: 'END-OF-MESSAGE', ...mail, recipient_count: '1', size: '' },
      collected(team),
      {
        ...base,
        phase: 'END-OF-MESSAGE',
        sender,
        recipient,
        size: 0,
        settledAtRcpt: true,
        afterAcceptance: false,
      },
    ],
    [
      'END-OF-MESSAGE, several recipients',
      { protocol_state: 'END-OF-MESSAGE', ...mail, recipient_count: '2', size: '21' },
      collected(team, owner),
      { ...base, phase: 'DATA', sender, recipients: [team, owner] },
    ],
    [
      'END-OF-MESSAGE, a recipient that is not the only one',
      {
        protocol_state: 'END-OF-MESSAGE',
        ...mail,
        recipient: 'team@lists.example.org',
        recipient_count: '2',
      },
      collected(team, owner),
      { ...base, phase: 'DATA', sender, recipients: undefined },
    ],
    [
      'END-OF-MESSAGE, recipients not known',
      { protocol_state: 'END-OF-MESSAGE', ...mail, recipient_count: '2', size: '21' },
      NOTHING_COLLECTED,
      { ...base, phase: 'DATA', sender, recipients: undefined },
    ],
  ])('%s', (_, values, known, want) => {
    expect(ask(values, known)).toEqual(want)
  })
})

describe('a recipient that an MTA took', () => {
  const NOBODY = '\ufffd@lists.example.org'

  test.each([
    ['as Postfix writes it, unquoted', 'a b@lists.example.org', 'a b@lists.example.org'],
    ['as Exim may write it', '"a b"@lists.example.org', 'a b@lists.example.org'],
    ['with a second @', 'we@ird@lists.example.org', 'we@ird@lists.example.org'],
    ['with a trailing dot and any case', 'Team@LISTS.example.org.', 'team@lists.example.org'],
    ['without a local part', '@lists.example.org', NOBODY],
    ['with an endless local part', `${'a'.repeat(300)}@lists.example.org`, NOBODY],
    ['with an endless one that begins like a list', `team+${'a'.repeat(300)}@lists.example.org`, NOBODY],
    ['longer than any path', `${'a'.repeat(2000)}@lists.example.org`, NOBODY],
    ['not UTF-8', 'te\ufffdam@lists.example.org', NOBODY],
    ['with a control character', 'te\u0001am@lists.example.org', NOBODY],
  ])('%s', (_, text, key) => {
    expect(must(internalForwardPath(text)).key).toBe(key)
  })

  test.each(['team', '', 'team@', 'team@ lists.example.org', 'team@a..b', '@'])('%j has no domain', text => {
    expect(internalForwardPath(text).ok).toBe(false)
  })
})

describe('the action', () => {
  const reply = replyFor('sender-not-permitted', { list: 'team@lists.example.org' })
  const verdicts: Record<VerdictKind, Verdict> = {
    accept: { kind: 'accept', reason: 'sender-permitted', rule: 'x', reply: replyFor('sender-permitted') },
    hold: { kind: 'hold', reason: 'sender-moderated', rule: 'x', reply: replyFor('sender-moderated') },
    discard: { kind: 'discard', reason: 'sender-discarded', rule: 'x', reply: replyFor('sender-discarded') },
    reject: { kind: 'reject', reason: 'sender-not-permitted', rule: 'x', reply },
    defer: {
      kind: 'defer',
      reason: 'list-paused',
      rule: 'x',
      reply: replyFor('list-paused', { list: 'team@lists.example.org' }),
    },
    later: { kind: 'later', reason: 'author-decides', rule: 'x', reply: replyFor('author-decides') },
    none: { kind: 'none', reason: 'recipient-elsewhere', rule: 'x' },
  }
  const table: Record<VerdictKind, [Fidelity, string]> = {
    accept: ['exact', 'DUNNO'],
    hold: ['widened', 'DUNNO'],
    discard: ['widened', 'DUNNO'],
    reject: ['exact', '550 5.7.2 You are not permitted to post to team@lists.example.org'],
    defer: ['exact', '451 4.2.4 The list team@lists.example.org is paused; try again later'],
    later: ['impossible', 'DUNNO'],
    none: ['exact', 'DUNNO'],
  }

  test.each(VERDICT_KINDS.flatMap(kind => PHASES.map(phase => [kind, phase] as const)))(
    '%s at %s',
    (kind, phase) => {
      expect([FIDELITY[kind][phase], actionOf(verdicts[kind])]).toEqual(table[kind])
    },
  )

  test('every state has a phase, but the one that is about no mail', () => {
    const without = Object.entries(PHASE_OF_STATE).filter(([, phase]) => phase === undefined)
    expect(without).toEqual([['ETRN', undefined]])
    expect(new Set(Object.values(PHASE_OF_STATE).filter(phase => phase !== undefined))).toEqual(
      new Set(PHASES),
    )
  })
})
