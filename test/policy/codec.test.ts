/** The codec: requests from bytes, whatever the bytes and however they are cut. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ATTRIBUTE_NAMES, ATTRIBUTES, attributeAt, hashByte, NO_HASH } from '../../src/policy/attributes.ts'
import { type FAULTS, REQUEST_LIMITS, type RequestLimits, RequestReader } from '../../src/policy/codec.ts'
import { postfix37, postfix311, rcpt, request } from './requests.ts'

type Found = readonly (readonly [string, string])[] | keyof typeof FAULTS

/** What a reader makes of chunks: each request's attributes, and the fault that ends it. */
function read(chunks: readonly Buffer[], limits: RequestLimits = REQUEST_LIMITS): Found[] {
  const reader = new RequestReader(limits)
  const found: Found[] = []
  for (const chunk of chunks) {
    reader.feed(chunk)
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      if (next.kind === 'violation') return [...found, next.fault]
      const attributes = next.attributes()
      const differs = ATTRIBUTE_NAMES.find(name => next.get(name) !== attributes.get(name))
      if (differs !== undefined) throw new Error(`${differs} is not what was sent`)
      found.push([...attributes])
    }
  }
  return found
}

function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1')
}

/** Cuts bytes at the given places. */
function cut(all: Buffer, places: readonly number[]): Buffer[] {
  const sorted = [...places.map(place => place % (all.length + 1)), all.length].sort((a, b) => a - b)
  return sorted.map((place, i) => all.subarray(sorted[i - 1] ?? 0, place))
}

const head = 'request=smtpd_access_policy\nprotocol_state=RCPT\n'
const headFound = [
  ['request', 'smtpd_access_policy'],
  ['protocol_state', 'RCPT'],
] as const

describe('attributes', () => {
  test('every attribute up to Postfix 3.11 is known by name', () => {
    expect(ATTRIBUTE_NAMES).toHaveLength(31)
    expect(Object.values(ATTRIBUTES).every(version => /^[23]\.\d{1,2}$/.test(version))).toBe(true)
  })

  test.each(ATTRIBUTE_NAMES)('%s is found in its place, and nothing like it is', name => {
    const find = (text: string): number => {
      const all = bytes(`xx${text}xx`)
      return attributeAt(all, 2, 2 + text.length, bytes(text).reduce(hashByte, NO_HASH))
    }
    expect(find(name)).toBe(ATTRIBUTE_NAMES.indexOf(name))
    expect(find(name.toUpperCase())).toBe(-1)
    expect(find(`${name}x`)).toBe(-1)
    expect(find(name.slice(1))).toBe(-1)
  })

  test('a name that only hashes like a listed one is not taken for it', () => {
    const size = bytes('size')
    const hash = size.reduce(hashByte, NO_HASH)
    expect(attributeAt(bytes('sizf'), 0, 4, hash)).toBe(-1)
    expect(attributeAt(bytes('size'), 0, 3, hash)).toBe(-1)
  })
})

describe('a request', () => {
  const values = { protocol_state: 'RCPT', sender: 'a=b@example.net', recipient: 'team@lists.example.org' }

  test.each([
    ['as Postfix 3.7 sends it', postfix37(values), 29],
    ['as Postfix 3.11 sends it', postfix311(values), 31],
  ])('%s is kept whole', (_, text, count) => {
    const reader = new RequestReader()
    reader.feed(bytes(text))
    const found = reader.next()
    if (found?.kind !== 'request') throw new Error('no request')
    expect(found.attributes().size).toBe(count)
    expect(found.get('sender')).toBe('a=b@example.net')
    expect(found.get('encryption_keysize')).toBe('0')
    expect(found.get('sasl_username')).toBe('')
    expect(found.get('mail_version')).toBe(count === 31 ? '3.11.6' : undefined)
    expect(reader.next()).toBeUndefined()
    expect(reader.unread).toBe(0)
  })

  test.each<[string, string, Found[]]>([
    [
      'of two lines with one name the first counts',
      `${head}sender=a\nsender=b\n\n`,
      [[...headFound, ['sender', 'a']]],
    ],
    [
      'unlisted names are kept',
      `${head}tls_sni=x\nx=1\nx=2\n=z\n\n`,
      [[...headFound, ['tls_sni', 'x'], ['x', '1'], ['', 'z']]],
    ],
    ['a value goes on after its second equals sign', `${head}a==b=\n\n`, [[...headFound, ['a', '=b=']]]],
    [
      'the order is free',
      'protocol_state=X\nrequest=smtpd_access_policy\n\n',
      [
        [
          ['protocol_state', 'X'],
          ['request', 'smtpd_access_policy'],
        ],
      ],
    ],
    ['two in one segment', `${head}\n${head}size=1\n\n`, [[...headFound], [...headFound, ['size', '1']]]],
    [
      'UTF-8',
      `${head}sender=${Buffer.from('josé@example.net').toString('latin1')}\n\n`,
      [[...headFound, ['sender', 'josé@example.net']]],
    ],
    [
      'no UTF-8 becomes what no address may hold',
      `${head}sender=jos\xe9@x\n\n`,
      [[...headFound, ['sender', 'jos\ufffd@x']]],
    ],
    ['unfinished', `${head}sender=a\n`, []],
    ['without its second line end', head, []],
    ['a NUL', `${head}sender=a\0b\n\n`, ['nul-byte']],
    ['a NUL in a name', `${head}\0=b\n\n`, ['nul-byte']],
    ['a line without an equals sign', `${head}sender\n\n`, ['no-equals-sign']],
    ['CR LF', `${head.replaceAll('\n', '\r\n')}\r\n`, ['carriage-return']],
    ['another request', 'request=junk\nprotocol_state=RCPT\n\n', ['not-a-policy-request']],
    ['another second request', `${head}\nrequest=junk\n\n`, [[...headFound], 'not-a-policy-request']],
    ['no request attribute', 'protocol_state=RCPT\nsender=a\n\n', ['not-a-policy-request']],
    ['nothing but the end', '\n', ['not-a-policy-request']],
    ['no state', 'request=smtpd_access_policy\nsender=a\n\n', ['no-protocol-state']],
    ['an empty state', 'request=smtpd_access_policy\nprotocol_state=\n\n', ['no-protocol-state']],
  ])('%s', (_, text, want) => {
    expect(read([bytes(text)])).toEqual(want)
    expect(read([...text].map(bytes))).toEqual(want)
  })
})

describe('limits', () => {
  const limits: RequestLimits = { lineLength: 30, attributes: 4, requestLength: 100 }
  const filler = (length: number): string => `x=${'x'.repeat(length - 2)}`

  test.each<[string, string, Found[]]>([
    ['a line at its limit', `${head}${filler(30)}\n\n`, [[...headFound, ['x', 'x'.repeat(28)]]]],
    ['a line beyond it', `${head}${filler(31)}\n\n`, ['line-too-long']],
    ['a line beyond it that does not end', `${head}${filler(31)}`, ['line-too-long']],
    ['as many attributes as may be', `${head}a=\nb=\n\n`, [[...headFound, ['a', ''], ['b', '']]]],
    ['one more', `${head}a=\nb=\nc=\n\n`, ['too-many-attributes']],
    ['repeated ones count', `${head}a=\na=\na=\n\n`, ['too-many-attributes']],
    [
      'a request at its limit',
      `${head}${filler(30)}\n${filler(19)}\n\n`,
      [[...headFound, ['x', 'x'.repeat(28)]]],
    ],
    ['a request beyond it', `${head}${filler(30)}\n${filler(20)}\n\n`, ['request-too-long']],
    ['a request beyond it that does not end', `${head}${filler(30)}\n${filler(20)}\n`, ['request-too-long']],
  ])('%s', (_, text, want) => {
    expect(read([bytes(text)], limits)).toEqual(want)
    expect(read([...text].map(bytes), limits)).toEqual(want)
  })

  test('a long unfinished request that comes byte by byte is kept whole', () => {
    const text = `${head}${`${filler(8000)}\n`.repeat(8)}`
    const reader = new RequestReader()
    const early = [...bytes(text)].filter(byte => {
      reader.feed(Buffer.of(byte))
      return reader.next() !== undefined
    })
    expect(early).toEqual([])
    reader.feed(bytes('\n'))
    const found = reader.next()
    expect(found?.kind === 'request' && found.attributes().get('x')).toBe('x'.repeat(7998))
  })
})

describe('properties', () => {
  const limits: RequestLimits = { lineLength: 60, attributes: 8, requestLength: 160 }
  const places = fc.array(fc.nat(), { maxLength: 12 })
  /** Mostly sound requests, with all that may break them in between. */
  const traffic = fc
    .array(
      fc.oneof(
        {
          weight: 4,
          arbitrary: fc.constantFrom(
            `${head}\n`,
            `${head}sender=a\n\n`,
            request({ protocol_state: 'MAIL', sender: 'b' }),
          ),
        },
        fc.constantFrom(
          head,
          '\n',
          '\r\n',
          'a=b\n',
          '\0',
          'junk\n',
          '\xc3\xa9=\xe9\n',
          `x=${'x'.repeat(58)}\n`,
          `x=${'x'.repeat(59)}\n`,
        ),
        fc.string({ unit: 'binary-ascii', maxLength: 5 }),
      ),
      { maxLength: 12 },
    )
    .map(parts => bytes(parts.join('')))

  test('any cutting of the bytes gives the same', () => {
    fc.assert(
      fc.property(traffic, places, (all, at) => {
        expect(read(cut(all, at), limits)).toEqual(read([all], limits))
      }),
      { numRuns: 2000 },
    )
  })

  test('any request comes back as it was written', () => {
    const name = fc.stringMatching(/^[a-z_]{1,8}$/)
    const value = fc.string({ unit: 'grapheme', maxLength: 20 }).filter(text => !/[\0\n]/.test(text))
    const attributes = fc.uniqueArray(fc.tuple(name, value), { selector: ([key]) => key, maxLength: 20 })
    fc.assert(
      fc.property(fc.array(attributes, { maxLength: 4 }), places, (requests, at) => {
        const want = requests.map(pairs => [
          ...headFound,
          ...pairs.filter(([key]) => !head.includes(`${key}=`)),
        ])
        const text = want
          .map(pairs => `${pairs.map(([key, text]) => `${key}=${text}\n`).join('')}\n`)
          .join('')
        expect(read(cut(Buffer.from(text), at))).toEqual(want)
      }),
    )
  })

  test('random bytes neither throw nor pass for a request', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 5 }), chunks => {
        expect(read(chunks.map(chunk => Buffer.from(chunk))).every(found => typeof found === 'string')).toBe(
          true,
        )
      }),
    )
  })

  test('a request that is being read is not disturbed by what was read before', () => {
    const reader = new RequestReader()
    reader.feed(
      bytes(
        rcpt({ sender: 'first@example.net', sasl_username: 'first' }) + request({ protocol_state: 'DATA' }),
      ),
    )
    const first = reader.next()
    expect(first?.kind === 'request' && first.get('sasl_username')).toBe('first')
    const second = reader.next()
    if (second?.kind !== 'request') throw new Error('no request')
    expect([second.get('sender'), second.get('sasl_username'), second.get('protocol_state')]).toEqual([
      undefined,
      undefined,
      'DATA',
    ])
  })
})
