/** Responses into bytes: what MTAs take, and nothing else can be made. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeReply, type Reply } from '../../src/core/reply.ts'
import { formatRefusal, MAX_REPLY_LINES, type Refusal, refusalOf } from '../../src/milter/reply-code.ts'
import { encodeResponse, type Response } from '../../src/milter/response.ts'
import { must } from '../support/vectors.ts'
import { type Answer, ResponseReader } from './mta-wire.ts'

function answers(...responses: readonly Response[]): Answer[] {
  return new ResponseReader().push(Buffer.concat(responses.map(encodeResponse)))
}

function refusal(...replies: readonly Reply[]): Refusal {
  return refusalOf(replies as unknown as Refusal)
}

const reply = (code: number, enhanced: string, text: string): Reply => must(makeReply(code, enhanced, text))

/** Every reply that can be made and refuses. */
const replies = fc
  .record({
    code: fc.constantFrom(450, 451, 452, 550, 552, 554),
    subject: fc.nat(99),
    text: fc.oneof(fc.string({ unit: 'binary', minLength: 1 }), fc.stringMatching(/^[%a\r\n\0é ]+$/)),
  })
  .map(({ code, subject, text }) => makeReply(code, `${String(code)[0]}.7.${subject}`, `x${text}`))
  .map(must)

describe('SMFIR_REPLYCODE', () => {
  test('is well-formed for every reply that can be made', () => {
    fc.assert(
      fc.property(fc.array(replies, { minLength: 1, maxLength: 12 }), given => {
        const [first, ...others] = given
        const text = formatRefusal(refusalOf([first!, ...others]))
        const bytes = encodeResponse({ kind: 'reply-code', text })
        expect(new ResponseReader().push(bytes)).toHaveLength(1)
        expect(bytes.subarray(5).every(byte => byte < 0x7f)).toBe(true)
        expect(text.split('\r\n').length).toBeLessThanOrEqual(MAX_REPLY_LINES)
        for (const line of text.split('\r\n')) {
          expect(line).toMatch(/^[45]\d\d[ -][45]\.\d+\.\d+ [\x20-\x7e]+$/)
          expect(line.replaceAll('%%', '')).not.toContain('%')
        }
      }),
    )
  })

  test('doubles percent signs', () => {
    expect(formatRefusal(refusal(reply(550, '5.7.2', '100% of 5%d')))).toBe('550 5.7.2 100%% of 5%%d')
  })

  test('says several things with the same codes, each once', () => {
    const a = reply(550, '5.7.2', 'not to a')
    const b = reply(550, '5.7.2', 'not to b')
    const other = reply(552, '5.3.4', 'too big')
    expect(formatRefusal(refusal(a, other, b, a))).toBe('550-5.7.2 not to a\r\n550 5.7.2 not to b')
    expect(formatRefusal(refusal(other, a, b))).toBe('552 5.3.4 too big')
  })

  test.each<[string, Refusal]>([
    ['that does not refuse', [reply(250, '2.1.5', 'Ok')]],
    ['that ends the session', [reply(421, '4.3.2', 'Bye')]],
    ['that ends the session for good', [reply(521, '5.7.1', 'Bye')]],
    ['of two codes', [reply(550, '5.7.2', 'a'), reply(552, '5.7.2', 'b')]],
    ['of two enhanced codes', [reply(550, '5.7.2', 'a'), reply(550, '5.7.1', 'b')]],
  ])('cannot be made of one %s', (_, wrong) => {
    expect(() => formatRefusal(wrong)).toThrow('a milter cannot refuse with')
  })
})

test('every response', () => {
  const text = formatRefusal(refusal(reply(550, '5.7.2', 'No')))
  expect(
    answers(
      { kind: 'progress' },
      { kind: 'continue' },
      { kind: 'accept' },
      { kind: 'reject' },
      { kind: 'tempfail' },
      { kind: 'discard' },
      { kind: 'skip' },
      { kind: 'shutdown' },
      { kind: 'connection-failed' },
      { kind: 'reply-code', text },
      { kind: 'add-header', name: 'X-A', value: 'b' },
      { kind: 'insert-header', index: 0, name: 'X-A', value: 'b' },
      { kind: 'change-header', index: 2, name: 'X-A', value: '' },
      { kind: 'change-sender', path: '<a@b>' },
      { kind: 'change-sender', path: '<a@b>', parameters: 'RET=HDRS' },
      { kind: 'add-recipient', path: '<a@b>' },
      { kind: 'add-recipient', path: '<a@b>', parameters: 'NOTIFY=NEVER' },
      { kind: 'delete-recipient', path: '<é@b>' },
      { kind: 'quarantine', reason: 'because' },
    ),
  ).toEqual([
    ...'pcartds4f',
    'y 550 5.7.2 No',
    'h X-A: b',
    'i 0 X-A: b',
    'm 2 X-A: ',
    'e <a@b>',
    'e <a@b> RET=HDRS',
    '+ <a@b>',
    '2 <a@b> NOTIFY=NEVER',
    '- <Ã©@b>',
    'q because',
  ])
  expect(encodeResponse({ kind: 'replace-body', data: Buffer.from([0, 1]) })).toEqual(
    Buffer.from([0, 0, 0, 3, 0x62, 0, 1]),
  )
})

test('a NUL inside a string is a bug, and not two strings', () => {
  expect(() => encodeResponse({ kind: 'delete-recipient', path: '<a\0b>' })).toThrow('NUL')
})
