/** Replies: the codes agree, nothing gets out of the line, and every reason has one. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { REASONS, replyFor } from '../../src/core/reason.ts'
import { formatReply, makeReply, parseEnhancedCode } from '../../src/core/reply.ts'

const LINE = /^[245][0-5]\d [245]\.\d{1,3}\.\d{1,3} [\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/

describe('replies', () => {
  test.each([
    [550, '5.7.2', 'No', '550 5.7.2 No'],
    [250, '2.1.5', 'a\r\n250 b', '250 2.1.5 a 250 b'],
    [451, '4.3.0', ' tabs\tand\0nulls ', '451 4.3.0 tabs and nulls'],
    [550, '5.1.1', 'café €', '550 5.1.1 caf\\x{E9} \\x{20AC}'],
  ])('%d %s %j', (code, enhanced, text, line) => {
    const reply = makeReply(code, enhanced, text)
    expect(reply.ok && formatReply(reply.value)).toBe(line)
  })

  test.each([
    [550, '4.7.1', 'x'],
    [250, '5.7.2', 'x'],
    [354, '3.0.0', 'x'],
    [550, '5.7', 'x'],
    [550, '5.7.1234', 'x'],
    [560, '5.7.2', 'x'],
    [99, '5.7.2', 'x'],
    [550.5, '5.7.2', 'x'],
    [550, '5.7.2', ''],
    [550, '5.7.2', ' \r\n '],
  ])('%d %s %j is none', (code, enhanced, text) => {
    expect(makeReply(code, enhanced, text).ok).toBe(false)
  })

  test('any text stays in its line', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(250, 451, 550),
        fc.string({ unit: 'binary', maxLength: 2000 }),
        (code, text) => {
          const reply = makeReply(code, `${String(code)[0]}.7.999`, text)
          fc.pre(reply.ok)
          if (!reply.ok) return
          const line = formatReply(reply.value)
          expect(line).toMatch(LINE)
          expect(line.length + 2).toBeLessThanOrEqual(512)
        },
      ),
      { numRuns: 1000 },
    )
  })

  test('enhanced codes', () => {
    expect(parseEnhancedCode('5.7.2').ok).toBe(true)
    for (const text of ['', '3.0.0', '5.7', 'x.1.1', '5.7.2 ', '5.7.2\n'])
      expect(parseEnhancedCode(text).ok).toBe(false)
  })
})

describe('reasons', () => {
  test.each(REASONS)('%s has a reply, and the list can be called anything', reason => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), list => {
        expect(formatReply(replyFor(reason, { list, detail: '7' }))).toMatch(LINE)
      }),
      { numRuns: 50 },
    )
  })

  test('X.7.2 is only ever permanent, and our own faults never are', () => {
    for (const reason of REASONS) {
      const line = formatReply(replyFor(reason))
      expect(line).not.toMatch(/^4\d\d 4\.7\.2/)
    }
    for (const reason of ['store-unavailable', 'internal-error', 'list-unreadable'] as const) {
      expect(formatReply(replyFor(reason))).toMatch(/^4/)
    }
  })

  test('a list called $& is called that', () => {
    expect(replyFor('list-unknown', { list: '$&$1@lists.example.org' }).text).toBe(
      'There is no list $&$1@lists.example.org',
    )
  })
})
