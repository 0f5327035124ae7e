/** Dot-stuffing and the end of data, against a model that looks at one octet at a time. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DotUnstuffer } from '../../src/lmtp/dot-stuffing.ts'

interface Read {
  readonly data: string
  /** What was left after the end; `undefined` if there was none. */
  readonly rest: string | undefined
}

function read(chunks: readonly string[]): Read {
  const unstuffer = new DotUnstuffer()
  let data = ''
  for (const [index, chunk] of chunks.entries()) {
    const bytes = Buffer.from(chunk, 'latin1')
    const taken = unstuffer.take(bytes, 0)
    data += Buffer.concat(taken.data).toString('latin1')
    if (taken.ended) {
      return { data, rest: bytes.toString('latin1', taken.at) + chunks.slice(index + 1).join('') }
    }
    expect(taken.at).toBe(bytes.length)
  }
  return { data, rest: undefined }
}

/** The rule as RFC 5321 §4.5.2 has it, on the whole text. */
function model(text: string): Read {
  const end = `\r\n${text}`.indexOf('\r\n.\r\n')
  const body = end === -1 ? text : text.slice(0, end)
  const data = `\r\n${body}`.replaceAll('\r\n.', '\r\n').slice(2)
  return { data, rest: end === -1 ? undefined : text.slice(end + 3) }
}

const CASES: readonly (readonly [name: string, input: string, data: string, rest: string | undefined])[] = [
  ['a message', 'a\r\nb\r\n.\r\nQUIT\r\n', 'a\r\nb\r\n', 'QUIT\r\n'],
  ['an empty message', '.\r\n', '', ''],
  ['an empty line and nothing else', '\r\n.\r\n', '\r\n', ''],
  ['a stuffed dot', '..\r\n.\r\n', '.\r\n', ''],
  ['a dot and text, stuffed or not', '.a\r\n..b\r\n.\r\n', 'a\r\n.b\r\n', ''],
  ['many dots', '....\r\n.\r\n', '...\r\n', ''],
  ['a dot inside a line', 'a.b\r\n.\r\n', 'a.b\r\n', ''],
  ['LF.LF is data', 'a\n.\nb\r\n.\r\n', 'a\n.\nb\r\n', ''],
  ['LF.CRLF is data', 'a\n.\r\nb\r\n.\r\n', 'a\n.\r\nb\r\n', ''],
  ['CRLF.LF is data, its dot a stuffed one', 'a\r\n.\nb\r\n.\r\n', 'a\r\n\nb\r\n', ''],
  ['CRLF.CR is data, its dot a stuffed one', 'a\r\n.\rb\r\n.\r\n', 'a\r\n\rb\r\n', ''],
  ['CR.CR is data', 'a\r.\rb\r\n.\r\n', 'a\r.\rb\r\n', ''],
  ['CR.CRLF is data', 'a\r.\r\n.\r\n', 'a\r.\r\n', ''],
  ['CRCRLF.CRLF ends', 'a\r\r\n.\r\nx', 'a\r\r\n', 'x'],
  ['a dot after a bare LF stays', 'a\n..b\n.c\r\n.\r\n', 'a\n..b\n.c\r\n', ''],
  ['.CR CRLF is data', '.\r\r\n.\r\n', '\r\r\n', ''],
  ['NUL and octets beyond ASCII stay', 'a\0b\xff\xfe\r\n.\r\n', 'a\0b\xff\xfe\r\n', ''],
  ['only the first end is one', '.\r\n.\r\n', '', '.\r\n'],
]

describe('dot-stuffing', () => {
  test.each(CASES)('%s', (_, input, data, rest) => {
    expect(read([input])).toEqual({ data, rest })
    expect(read([...input])).toEqual({ data, rest })
  })

  const text = fc
    .array(fc.constantFrom('\r', '\n', '.', '\r\n', '\r\n.', '\r\n.\r\n', 'a', 'bcd', '\0', '\xe9'), {
      maxLength: 60,
    })
    .map(parts => parts.join(''))

  test('any text in any chunks reads as the model says', () => {
    fc.assert(
      fc.property(text, fc.array(fc.nat({ max: 120 }), { maxLength: 8 }), (whole, cuts) => {
        const places = [0, ...cuts.map(cut => Math.min(cut, whole.length)), whole.length].sort(
          (a, b) => a - b,
        )
        const chunks = places.slice(1).map((end, index) => whole.slice(places[index], end))
        const got = read(chunks)
        const want = model(whole)
        if (want.rest !== undefined) expect(got).toEqual(want)
        else {
          // What may yet become the end is withheld.
          expect(got.rest).toBeUndefined()
          expect(want.data.startsWith(got.data)).toBe(true)
          expect(want.data.length - got.data.length).toBeLessThanOrEqual(1)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('what a client stuffs comes back as it was', () => {
    fc.assert(
      fc.property(text, body => {
        const message = `${body.replaceAll('\r\n.\r\n', '')}\r\n`
        const stuffed = `\r\n${message}`.replaceAll('\r\n.', '\r\n..').slice(2)
        expect(read([`${stuffed}.\r\n`])).toEqual({ data: message, rest: '' })
      }),
    )
  })

  test('2 MB of stuffed lines take no longer than they must', () => {
    const chunk = Buffer.from('..\r\n'.repeat(16_384))
    const unstuffer = new DotUnstuffer()
    const started = performance.now()
    let octets = 0
    for (let count = 0; count < 32; count++) {
      for (const piece of unstuffer.take(Buffer.from(chunk), 0).data) octets += piece.length
    }
    expect(octets).toBe(32 * 16_384 * 3)
    expect(performance.now() - started).toBeLessThan(1000)
  })

  test('a chunk without a stuffed dot is not copied', () => {
    const unstuffer = new DotUnstuffer()
    const chunk = Buffer.from(`Subject: x\r\n\r\n${'text\r\n'.repeat(100)}.\r\n`)
    const { data } = unstuffer.take(chunk, 0)
    expect(data.at(-1)?.buffer).toBe(chunk.buffer)
    expect(data.length).toBe(2)
  })
})
