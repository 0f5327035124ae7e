/** Frames and commands out of bytes: the same for any chunking, within bounds, and nothing makes them throw. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Command, decodeCommand } from '../../src/milter/command.ts'
import { decodeMacros } from '../../src/milter/macros.ts'
import { encodeFrame, FrameReader, HIGHEST_MAX_DATA, MAX_DATA } from '../../src/milter/wire.ts'
import { command, frame } from './mta-wire.ts'

interface Read {
  readonly code: string
  readonly data: string
  readonly length: number
}

/** Every frame, and the fault that ended them, of bytes cut at these places. */
function readAll(bytes: Buffer, cuts: readonly number[], maxData?: number): (Read | string)[] {
  let body = ''
  const reader = new FrameReader(maxData, piece => {
    body += piece.toString('latin1')
  })
  const found: (Read | string)[] = []
  const places = [...new Set([0, ...cuts.map(cut => cut % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  )
  for (const [index, start] of places.entries()) {
    const end = places[index + 1]
    if (end === undefined) break
    const chunk = Buffer.from(bytes.subarray(start, end))
    reader.push(chunk)
    for (let next = reader.next(); next !== undefined; next = reader.next()) {
      if (typeof next === 'string') return [...found, next]
      // A body's bytes come before it.
      const data = next.code === 'B' ? body : next.data.toString('latin1')
      if (next.code === 'B') {
        expect(next.data).toHaveLength(0)
        body = ''
      } else expect(body).toBe('')
      found.push({ code: next.code, data, length: next.length })
    }
    expect(reader.unread).toBeLessThanOrEqual(5 + (maxData ?? MAX_DATA))
    reader.keep()
    // What is kept must not be looked for where its owner has other bytes now.
    chunk.fill(0xa5)
  }
  return found
}

const frames = fc.array(
  fc.record({
    code: fc.constantFrom(...'ODCHMRTLNBEUAQKZ'),
    data: fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.uint8Array({ minLength: 200, maxLength: 400 })),
  }),
  { maxLength: 12 },
)
const cuts = fc.array(fc.nat(), { maxLength: 40 })

describe('frames', () => {
  test('are the same for any chunking, and the bytes of a body come before it', () => {
    fc.assert(
      fc.property(frames, cuts, (given, places) => {
        const bytes = Buffer.concat(given.map(({ code, data }) => frame(code, data)))
        const want = given.map(({ code, data }) => ({
          code,
          data: Buffer.from(data).toString('latin1'),
          length: data.length,
        }))
        expect(readAll(bytes, places)).toEqual(want)
      }),
    )
  })

  test('random bytes give the same for any chunking, and never throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), cuts, (random, places) => {
        const bytes = Buffer.from(random)
        expect(readAll(bytes, places, 64)).toEqual(readAll(bytes, [], 64))
      }),
    )
  })

  test('what an encoder writes a reader reads', () => {
    expect(readAll(encodeFrame('y', 'é'), [])).toEqual([{ code: 'y', data: 'Ã©', length: 2 }])
    expect(encodeFrame('y', Buffer.from([1, 2]))).toEqual(frame('y', Buffer.from([1, 2])))
  })

  test('the longest is taken, and one byte more is refused before it is waited for', () => {
    const longest = frame('L', Buffer.alloc(MAX_DATA))
    expect(readAll(longest, [])).toMatchObject([{ length: MAX_DATA }])
    const head = Buffer.alloc(4)
    head.writeUInt32BE(MAX_DATA + 2)
    expect(readAll(head, [])).toEqual(['frame-too-long'])
    head.writeUInt32BE(0)
    expect(readAll(head, [])).toEqual(['frame-empty'])
  })

  test('a fault is for ever', () => {
    const reader = new FrameReader()
    reader.push(Buffer.alloc(8))
    expect(reader.next()).toBe('frame-empty')
    reader.push(frame('Q'))
    expect(reader.next()).toBe('frame-empty')
    expect(reader.pending).toBe(true)
  })

  test.each([0, -1, 1.5, Number.NaN, HIGHEST_MAX_DATA + 1])('a bound of %d is no bound', bound => {
    expect(() => new FrameReader(bound)).toThrow(RangeError)
  })

  test('a peer that sends byte by byte costs little', () => {
    const bytes = frame(
      'L',
      Buffer.concat([Buffer.from('X\0'), Buffer.alloc(60_000, 0x78), Buffer.from('\0')]),
    )
    const reader = new FrameReader()
    const begin = process.cpuUsage()
    for (const byte of bytes) {
      reader.push(Buffer.from([byte]))
      expect(reader.unread).toBeGreaterThan(0)
      if (reader.unread < bytes.length) reader.next()
    }
    expect(reader.next()).toMatchObject({ code: 'L' })
    expect(process.cpuUsage(begin).user).toBeLessThan(5_000_000)
  })
})

function decoded(bytes: Buffer): Command | string {
  const reader = new FrameReader()
  reader.push(bytes)
  const next = reader.next()
  if (next === undefined || typeof next === 'string') throw new Error('no frame')
  return decodeCommand(next)
}

describe('commands', () => {
  test.each<[string, Buffer, Command]>([
    ['O', command.negotiate(), { kind: 'negotiate', version: 6, actions: 0x1ff, protocol: 0x1fffff }],
    ['O with more', frame('O', Buffer.alloc(20)), { kind: 'negotiate', version: 0, actions: 0, protocol: 0 }],
    [
      'C',
      command.connect('mx.example.net', '2001:db8::1', '6'),
      { kind: 'connect', host: 'mx.example.net', family: 'inet6', address: '2001:db8::1' },
    ],
    [
      'C without an address',
      command.connect('unspec', '', 'U'),
      { kind: 'connect', host: 'unspec', family: 'unknown', address: undefined },
    ],
    ['H', command.helo(''), { kind: 'helo', name: '' }],
    [
      'M',
      command.mail('<"a b"@x>', 'SIZE=1', 'BODY=8BITMIME'),
      { kind: 'mail', path: '<"a b"@x>', parameters: ['SIZE=1', 'BODY=8BITMIME'] },
    ],
    [
      'R with bytes that are not UTF-8',
      frame('R', Buffer.from('<a\xff@x>\0', 'latin1')),
      {
        kind: 'rcpt',
        path: '<a\ufffd@x>',
        parameters: [],
      },
    ],
    ['L', command.header('X-Fold', 'a\n b'), { kind: 'header', name: 'X-Fold', value: 'a\n b', size: 15 }],
    ['L without a value', command.header('X', ''), { kind: 'header', name: 'X', value: '', size: 5 }],
    ['B', command.body('abc'), { kind: 'body', size: 3 }],
    ['E', command.endOfMessage('ab'), { kind: 'end-of-message', size: 2, data: Buffer.from('ab') }],
    ['T', command.data(), { kind: 'data' }],
    ['N', command.endOfHeaders(), { kind: 'end-of-headers' }],
    ['U', command.unknown('NOSUCH x'), { kind: 'unknown-command' }],
    ['A', command.abort(), { kind: 'abort' }],
    ['Q', command.quit(), { kind: 'quit' }],
    ['K', command.quitNewConnection(), { kind: 'quit-new-connection' }],
  ])('%s', (_, bytes, want) => {
    expect(decoded(bytes)).toEqual(want)
  })

  test("a header field's size is what it has on its way, folds included", () => {
    const field = 'Subject: one\r\n two\r\n\tthree\r\n'
    expect(decoded(command.header('Subject', 'one\n two\n\tthree'))).toMatchObject({ size: field.length })
  })

  test('any data of any command is a command or a fault', () => {
    fc.assert(
      fc.property(fc.nat(255), fc.uint8Array({ maxLength: 60 }), (code, data) => {
        const result = decoded(frame(String.fromCharCode(code), data))
        if (typeof result === 'string') expect(result).toMatch(/^command-(unknown|malformed)$/)
        else if (result.kind === 'macros') decodeMacros(result.data)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('macros', () => {
  test.each<[string, string, Record<string, string>]>([
    ['none', '', {}],
    ['pairs', 'i\x001\0{rcpt_addr}\0a@b\0', { i: '1', '{rcpt_addr}': 'a@b' }],
    ['an empty value', '{mail_addr}\0\0i\x002\0', { '{mail_addr}': '', i: '2' }],
    ['a name alone', 'i\0', { i: '' }],
    ['a name with no end', 'i', { i: '' }],
    ['a value with no end', 'i\x001', { i: '1' }],
    ['a value that is called like a macro', '{auth_authen}\0i\0{mail_addr}\0x\0', { '{mail_addr}': 'x' }],
    ['the later of two', 'i\x001\0i\x002\0', { i: '2' }],
  ])('%s', (_, data, want) => {
    const macros = decodeMacros(Buffer.from(data))
    for (const name of ['i', '{mail_addr}', '{rcpt_addr}']) expect(macros.get(name)).toBe(want[name])
  })

  test('are bounded', () => {
    const many = decodeMacros(Buffer.from(Array.from({ length: 10_000 }, (_, i) => `m${i}\0v\0`).join('')))
    expect([many.get('m0'), many.get('m99'), many.get('m100')]).toEqual(['v', 'v', undefined])
  })
})
