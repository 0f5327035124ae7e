/** Actions: nothing leaves that an MTA could take for a permission. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { REASONS, replyFor } from '../../src/core/reason.ts'
import { makeReply } from '../../src/core/reply.ts'
import { DUNNO, formatAnswer, parseAction, refusal } from '../../src/policy/action.ts'
import { must } from '../support/vectors.ts'

const ANSWER =
  /^action=(?:DUNNO|[45]\d\d [45]\.\d{1,3}\.\d{1,3} [\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)\n\n$/

describe('actions', () => {
  test('an answer is one line, ended by LF, and an empty line', () => {
    expect(formatAnswer(DUNNO)).toBe('action=DUNNO\n\n')
    const reply = must(makeReply(550, '5.7.2', 'No'))
    expect(formatAnswer(refusal(reply))).toBe('action=550 5.7.2 No\n\n')
  })

  test.each([
    ['nothing', ''],
    ['spaces', '  '],
    ['digits', '550'],
    ['digits and a space', '550 '],
    ['codes without a text', '550 5.7.2'],
    ['codes and a space', '550 5.7.2 '],
    ['a code without an enhanced one', '550 No'],
    ['codes of two classes', '550 4.7.2 No'],
    ['a leading space', ' 550 5.7.2 No'],
    ['a trailing space', '550 5.7.2 No '],
    ['CR', '550 5.7.2 No\r'],
    ['LF', '550 5.7.2 No\nx'],
    ['a trailing LF', '550 5.7.2 No\n'],
    ['NUL', '550 5.7.2 No\0'],
    ['more than ASCII', '550 5.7.2 Nö'],
    ['a success', '250 2.1.5 Ok'],
    ['OK', 'OK'],
    ['lower case', 'dunno'],
    ['DUNNO with more', 'DUNNO x'],
    ['HOLD', 'HOLD x'],
    ['DISCARD', 'DISCARD x'],
  ])('%s is none', (_, text) => {
    expect(parseAction(text).ok).toBe(false)
  })

  test.each(REASONS)('the reply for %s is one if it refuses, and throws if it does not', reason => {
    const reply = replyFor(reason, { list: 'team@lists.example.org', detail: '5' })
    if (reply.code >= 400) expect(formatAnswer(refusal(reply))).toMatch(ANSWER)
    else expect(() => refusal(reply)).toThrow('a refusal cannot say')
  })

  test('whatever text a list has for a refusal, the answer is one', () => {
    const codes = fc.constantFrom([550, '5.7.2'], [451, '4.2.4'], [552, '5.3.4'], [450, '4.7.1'] as const)
    fc.assert(
      fc.property(codes, fc.string({ unit: 'binary', maxLength: 700 }), ([code, enhanced], text) => {
        const reply = makeReply(Number(code), String(enhanced), text)
        if (reply.ok) expect(formatAnswer(refusal(reply.value))).toMatch(ANSWER)
      }),
    )
  })
})
