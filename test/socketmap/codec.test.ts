/** Netstrings: the same strings from any cutting of the bytes, and an end to what is none. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Fault, formatNetstring, MAX_REQUEST, NetstringReader } from '../../src/socketmap/codec.ts'

/** What a reader makes of chunks: strings of one character a byte, and the fault that ends them. */
function read(chunks: readonly Buffer[], limit?: number): (string | { fault: Fault })[] {
  const reader = new NetstringReader(limit)
  const found: (string | { fault: Fault })[] = []
  for (const chunk of chunks) {
    reader.feed(chunk)
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      if ('kind' in next) {
        expect([reader.next(), reader.unread]).toEqual([next, 0])
        return [...found, { fault: next.fault }]
      }
      found.push(next.toString('latin1'))
    }
  }
  return found
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1')

/** Cuts bytes at the given places. */
function cut(all: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...places.map(place => place % (all.length + 1)), all.length].sort((a, b) => a - b)
  return sorted.map((place, i) => all.subarray(sorted[i - 1] ?? 0, place))
}

/** Netstrings, and bytes that are like them. */
const nearly = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.string({ unit: 'binary', maxLength: 40 }).map(formatNetstring) },
      fc.stringMatching(/^[0-9:,]{0,8}$/),
      fc.string({ unit: 'binary-ascii', maxLength: 8 }),
    ),
    { maxLength: 8 },
  )
  .map(parts => bytes(parts.join('')))

describe('netstrings', () => {
  test.each<[string, string, ReturnType<typeof read>]>([
    ['none', '', []],
    ['one', '5:hello,', ['hello']],
    ['an empty one', '0:,', ['']],
    ['several', '1:a,0:,2:bc,', ['a', '', 'bc']],
    ['with commas, colons and digits', '7:1:a,2:b,', ['1:a,2:b']],
    ['with any byte', '4:\0\r\n\xff,', ['\0\r\n\xff']],
    ['of ten bytes', '10:0123456789,', ['0123456789']],
    ['unfinished: a length', '1:a,12', ['a']],
    ['unfinished: no bytes', '1:a,3:', ['a']],
    ['unfinished: no comma', '3:abc', []],
    ['no length', ':a,', [{ fault: 'no-length' }]],
    ['a text', 'recipient a@b\n', [{ fault: 'no-length' }]],
    ['a negative length', '-1:a,', [{ fault: 'no-length' }]],
    ['a length with a sign', '+1:a,', [{ fault: 'no-length' }]],
    ['a length with a space', '1 :a,', [{ fault: 'no-length' }]],
    ['a length in hexadecimal', '0x1:a,', [{ fault: 'no-length' }]],
    ['a leading zero', '01:a,', [{ fault: 'leading-zero' }]],
    ['two zeros', '00:,', [{ fault: 'leading-zero' }]],
    ['a length too short', '1:ab,', [{ fault: 'no-comma' }]],
    ['a length too long', '3:ab,1:c,', [{ fault: 'no-comma' }]],
    ['a line end between', '1:a,\n1:b,', ['a', { fault: 'no-length' }]],
    ['a length beyond the limit, as soon as it is', '4097', [{ fault: 'too-long' }]],
    ['an endless length', `1${'0'.repeat(400)}`, [{ fault: 'too-long' }]],
    ['a good one before a bad one', '1:a,1:ab', ['a', { fault: 'no-comma' }]],
  ])('%s', (_, text, want) => {
    expect(read([bytes(text)])).toEqual(want)
    expect(read([...bytes(text)].map(byte => Buffer.of(byte)))).toEqual(want)
  })

  test('at the limit and above it', () => {
    const longest = 'x'.repeat(MAX_REQUEST)
    expect(read([bytes(`${MAX_REQUEST}:${longest},`)])).toEqual([longest])
    expect(read([bytes(`${MAX_REQUEST + 1}:${longest}x,`)])).toEqual([{ fault: 'too-long' }])
    expect(read([bytes('3:abc,')], 2)).toEqual([{ fault: 'too-long' }])
  })

  test('what is written is read again, in UTF-8', () => {
    const texts = fc.array(fc.string({ unit: 'grapheme', maxLength: 200 }))
    fc.assert(
      fc.property(texts, fc.array(fc.nat()), (all, places) => {
        const wire = bytes(all.map(formatNetstring).join(''))
        const want = all.map(text => Buffer.from(text, 'utf8').toString('latin1'))
        expect(read(cut(wire, places))).toEqual(want)
      }),
    )
  })

  test('any cutting of any bytes gives the same', () => {
    fc.assert(
      fc.property(fc.oneof(nearly, fc.uint8Array().map(Buffer.from)), fc.array(fc.nat()), (all, places) => {
        expect(read(cut(all, places))).toEqual(read([all]))
      }),
      { numRuns: 500 },
    )
  })

  test('never keeps more than one request of its limit', () => {
    fc.assert(
      fc.property(fc.oneof(nearly, fc.uint8Array().map(Buffer.from)), all => {
        const reader = new NetstringReader(20)
        for (const byte of all) {
          reader.feed(Buffer.of(byte))
          while (reader.next() instanceof Buffer);
          expect(reader.unread).toBeLessThanOrEqual('20:'.length + 20)
        }
      }),
    )
  })
})
