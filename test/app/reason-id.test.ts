/** Reason ids: what they hold, how they are read, and where they stand. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeReasonId, parseReasonId, timesOf, withReasonId } from '../../src/app/reason-id.ts'
import { formatReply, MAX_REPLY_TEXT, makeReply } from '../../src/core/reply.ts'
import { must } from '../support/vectors.ts'

const time = fc.integer({ min: 1_700_000_000_000, max: 4_000_000_000_000 })
const number = fc.integer({ min: 0, max: 2 ** 31 })
const DAY = 86_400_000

describe('an id', () => {
  test('holds the second at which it was made', () => {
    fc.assert(
      fc.property(time, number, fc.nat(300 * DAY), (at, count, later) => {
        const id = makeReasonId(at, count)
        expect(id).toMatch(/^[0-9A-HJKMNP-TV-Z]{8}$/)
        const second = Math.floor(at / 1000) * 1000
        expect(timesOf(id, at, at + later)).toContain(second)
        expect(timesOf(id, at, at + later).length).toBeLessThanOrEqual(1 + later / (48 * DAY))
        expect(timesOf(id, at + 2000, at + 40 * DAY)).toEqual([])
      }),
    )
  })

  test('is another one for each number of a second, and each second', () => {
    fc.assert(
      fc.property(
        time,
        number,
        fc.integer({ min: 1, max: 2 ** 18 - 1 }),
        fc.integer({ min: 1, max: 4e6 }),
        (at, n, more, seconds) => {
          expect(makeReasonId(at, n + more)).not.toBe(makeReasonId(at, n))
          expect(makeReasonId(at + seconds * 1000, n)).not.toBe(makeReasonId(at, n))
        },
      ),
    )
  })

  test('is read however it is written', () => {
    expect(parseReasonId('k7q2-m9xp')).toBe('K7Q2M9XP')
    expect(parseReasonId(' K7Q2 M9XP ')).toBe('K7Q2M9XP')
    expect(parseReasonId('OiLo1010')).toBe('01101010')
    for (const text of ['', 'K7Q2M9X', 'K7Q2M9XPP', 'K7Q2M9XU', 'K7Q2M9X*'])
      expect(parseReasonId(text)).toBeUndefined()
    fc.assert(
      fc.property(time, number, (at, n) => {
        expect(parseReasonId(makeReasonId(at, n).toLowerCase())).toBe(makeReasonId(at, n))
      }),
    )
  })
})

describe('a reply', () => {
  const id = parseReasonId('K7Q2M9XP')!

  test('ends with the id, and the place', () => {
    const reply = must(makeReply(550, '5.7.2', 'You are not permitted'))
    expect(formatReply(withReasonId(reply, id, undefined))).toBe(
      '550 5.7.2 You are not permitted (ref K7Q2M9XP)',
    )
    expect(formatReply(withReasonId(reply, id, 'https://x.example/why/{id}?{id}'))).toBe(
      '550 5.7.2 You are not permitted (ref K7Q2M9XP, https://x.example/why/K7Q2M9XP?K7Q2M9XP)',
    )
  })

  test('is never too long, and never loses its end', () => {
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 700 }), fc.nat(170), (text, length) => {
        const reply = makeReply(550, '5.7.2', text)
        fc.pre(reply.ok)
        const url = `https://x.example/${'y'.repeat(length)}{id}`
        const told = withReasonId(must(reply), id, url)
        expect(told.text.length).toBeLessThanOrEqual(MAX_REPLY_TEXT)
        expect(told.text.endsWith(`(ref K7Q2M9XP, ${url.replace('{id}', id)})`)).toBe(true)
        expect([told.code, told.enhanced]).toEqual([550, '5.7.2'])
      }),
    )
  })
})
