import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readAction } from '../../src/trial/answer.ts'
import { oneReplyOf, readReply } from '../../src/trial/outcome.ts'
import { receivedLine } from '../../src/trial/received.ts'
import { formatRequest, type Situation } from '../../src/trial/request.ts'

const SITUATION: Situation = {
  state: 'RCPT',
  protocol: 'ESMTP',
  client: { address: '192.0.2.1', port: 4321 },
  server: { address: '127.0.0.1', port: 25 },
  helo: 'client.example',
  sender: 'alice@example.net',
  recipient: 'team@lists.example.org',
  recipientCount: 0,
  queueId: '',
  instance: '1.2.3.0',
  size: 1234,
}

describe('formatRequest', () => {
  test('has the attributes of Postfix 3.7 in its order', () => {
    expect(formatRequest(SITUATION)).toBe(
      'request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=ESMTP\nclient_address=192.0.2.1\n' +
        'client_name=unknown\nclient_port=4321\nreverse_client_name=unknown\nserver_address=127.0.0.1\n' +
        'server_port=25\nhelo_name=client.example\nsender=alice@example.net\n' +
        'recipient=team@lists.example.org\nrecipient_count=0\nqueue_id=\ninstance=1.2.3.0\nsize=1234\n' +
        'etrn_domain=\nstress=\nsasl_method=\nsasl_username=\nsasl_sender=\nccert_subject=\nccert_issuer=\n' +
        'ccert_fingerprint=\nccert_pubkey_fingerprint=\nencryption_protocol=\nencryption_cipher=\n' +
        'encryption_keysize=0\npolicy_context=\n\n',
    )
  })

  test('no client can add an attribute or end the request', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (helo, sender) => {
        const lines = formatRequest({ ...SITUATION, helo, sender }).split('\n')
        expect(lines).toHaveLength(31)
        expect(lines.slice(-2)).toEqual(['', ''])
      }),
    )
  })
})

describe('readAction', () => {
  test.each([
    ['DUNNO', undefined],
    ['dunno and more', undefined],
    ['OK', undefined],
    ['550 5.7.2 You are not permitted', '550 5.7.2 You are not permitted'],
    ['451 4.3.0 Later', '451 4.3.0 Later'],
    ['550 no enhanced code', '550 5.7.1 no enhanced code'],
    ['REJECT', '554 5.7.1 Access denied'],
    ['REJECT 5.7.2 go away', '554 5.7.2 go away'],
    ['DEFER_IF_PERMIT 4.3.0 store', '450 4.3.0 store'],
    ['defer_if_permit Try later', '450 4.7.1 Try later'],
    // Postfix takes digits without a text as permission; the trial MTA does not.
    ['550', '451 4.3.5 Server configuration error'],
    ['', '451 4.3.5 Server configuration error'],
    ['250 ok', '451 4.3.5 Server configuration error'],
    ['HOLD for looks', '451 4.3.5 Server configuration error'],
  ])('%s', (action, reply) => {
    const answer = readAction(action)
    expect(answer.kind === 'refuse' ? `${answer.code} ${answer.text}` : undefined).toBe(reply)
  })
})

describe('oneReplyOf', () => {
  const on = (recipient: string, line: string) => ({ recipient, ...readReply(line)! })

  test.each([
    ['one taken', [on('a@x', '250 2.1.5 Ok')], '250 2.1.5 Ok'],
    ['one refused', [on('a@x', '550 5.7.2 No')], '550 5.7.2 No'],
    ['all taken alike', [on('a@x', '250 2.1.5 Ok'), on('b@x', '250 2.1.5 Ok')], '250 2.1.5 Ok'],
    [
      'taken in different words',
      [on('a@x', '250 2.1.5 Ok'), on('b@x', '250 2.1.5 Ok, later')],
      '250 2.6.0 <a@x> 250 2.1.5 Ok; <b@x> 250 2.1.5 Ok, later',
    ],
    ['all refused for good', [on('a@x', '550 5.7.2 No'), on('b@x', '550 5.1.1 Who')], '550 5.7.2 No'],
    [
      'one for now, one for good',
      [on('a@x', '550 5.7.2 No'), on('b@x', '451 4.3.0 Later')],
      '451 4.3.0 Later',
    ],
    [
      'one taken, one refused',
      [on('a@x', '250 2.1.5 Ok'), on('b@x', '550 5.7.2 No')],
      '250 2.6.0 Not taken for all: <b@x> 550 5.7.2 No; <a@x> 250 2.1.5 Ok',
    ],
    [
      'taken in words that name the recipient',
      [on('a@x', '250 2.0.0 <a@x> taken as 1'), on('b@x', '250 2.0.0 <b@x> taken as 1')],
      '250 2.6.0 250 2.0.0 <a@x> taken as 1; 250 2.0.0 <b@x> taken as 1',
    ],
    ['nothing', [], '451 4.3.0 The sink said nothing about any recipient'],
  ])('%s', (_, replies, want) => {
    const { code, text } = oneReplyOf(replies)
    expect(`${code} ${text}`).toBe(want)
  })

  test('many recipients still make one line', () => {
    const replies = Array.from({ length: 100 }, (_, n) =>
      on(`recipient${n}@lists.example.org`, `250 2.1.5 Ok ${n}`),
    )
    const { code, text } = oneReplyOf(replies)
    expect(`${code} ${text}\r\n`.length).toBeLessThanOrEqual(512)
  })
})

describe('receivedLine', () => {
  test('names client, server, protocol and time', () => {
    const line = receivedLine({
      helo: 'client.example',
      address: '192.0.2.1',
      protocol: 'ESMTP',
      by: 'trial.example',
      id: 'ABC',
      at: 0,
    })
    expect(line).toBe(
      'Received: from client.example ([192.0.2.1])\r\n' +
        '\tby trial.example (Postern trial MTA) with ESMTP id ABC;\r\n' +
        '\tThu, 01 Jan 1970 00:00:00 +0000\r\n',
    )
  })

  test('a HELO name cannot open a comment or another field', () => {
    const line = receivedLine({
      helo: 'a)(b\r\nX: y ü',
      address: '',
      protocol: 'SMTP',
      by: 'trial.example',
      id: 'ABC',
      at: 0,
    })
    expect(line.split('\r\n')[0]).toBe('Received: from a??b??X:?y?? ([unknown])')
  })
})
