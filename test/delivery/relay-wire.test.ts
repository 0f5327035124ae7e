/** What goes over the wire to a next hop and what comes back, without a wire: dots, line ends, replies, offers. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseIpAddress } from '../../src/core/network.ts'
import { formatReply, MAX_REPLY_TEXT } from '../../src/core/reply.ts'
import { traitsOf, WireWriter } from '../../src/delivery/relay-message.ts'
import { offerOf } from '../../src/delivery/relay-offer.ts'
import { type NextHopReply, passedOn, ReplyReader } from '../../src/delivery/relay-replies.ts'
import { xforwardCommands } from '../../src/delivery/relay-xforward.ts'
import { DotUnstuffer } from '../../src/lmtp/dot-stuffing.ts'
import { parseXforward } from '../../src/lmtp/xforward.ts'
import { must } from '../support/vectors.ts'
import { message } from './mail.ts'

function wireOf(pieces: readonly Uint8Array[]): { readonly wire: Buffer; readonly octets: number } {
  const writer = new WireWriter()
  const parts = pieces.flatMap(piece => [...writer.take(piece)])
  return { wire: Buffer.concat([...parts, ...writer.end()]), octets: writer.octets }
}

/** What a message is on the wire, by its definition and not by a machine. */
function expectedWire(text: string): string {
  const lines = text
    .replace(/\r(?!\n)/g, ' ')
    .replace(/(?<!\r)\n/g, '\r\n')
    .split('\r\n')
  if (lines.at(-1) === '') lines.pop()
  return lines.map(line => `${line.startsWith('.') ? '.' : ''}${line}\r\n`).join('')
}

/** Texts of what matters, cut anywhere. */
const TEXT = fc
  .array(fc.constantFrom('\r', '\n', '\r\n', '.', 'a', '\r\n.', '.\r\n', 'xyz'), { maxLength: 40 })
  .map(parts => parts.join(''))

function cut(text: string, at: readonly number[]): Uint8Array[] {
  const bytes = Buffer.from(text, 'latin1')
  const places = [0, ...at.map(place => place % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  return places.slice(1).map((end, index) => bytes.subarray(places[index], end))
}

describe('a message on the wire', () => {
  test.each([
    ['', ''],
    ['a', 'a\r\n'],
    ['a\r\n', 'a\r\n'],
    ['.\r\n', '..\r\n'],
    ['.', '..\r\n'],
    ['a\r\n.\r\nb.\r\n..c', 'a\r\n..\r\nb.\r\n...c\r\n'],
    ['a\nb\n', 'a\r\nb\r\n'],
    ['a\n.\nMAIL FROM:<x>\n', 'a\r\n..\r\nMAIL FROM:<x>\r\n'],
    ['a\n.\r\nMAIL FROM:<x>\r\n', 'a\r\n..\r\nMAIL FROM:<x>\r\n'],
    ['a\r.\r\nb', 'a .\r\nb\r\n'],
    ['a\r\n\r.\r\r\n', 'a\r\n . \r\n'],
    ['a\r', 'a \r\n'],
    ['\r', ' \r\n'],
    ['\0\xff', '\0\xff\r\n'],
  ])('%j is %j', (text, wire) => {
    expect(wireOf([Buffer.from(text, 'latin1')]).wire.toString('latin1')).toBe(wire)
    expect(expectedWire(text)).toBe(wire)
  })

  test('is the same however it is cut, and the reader of our own sink gives the lines back', () => {
    fc.assert(
      fc.property(TEXT, fc.array(fc.nat(), { maxLength: 6 }), (text, at) => {
        const { wire, octets } = wireOf(cut(text, at))
        expect(wire.toString('latin1')).toBe(expectedWire(text))
        const unstuffed = new DotUnstuffer().take(Buffer.concat([wire, Buffer.from('.\r\n')]), 0)
        expect(unstuffed.ended).toBe(true)
        const back = Buffer.concat(unstuffed.data)
        expect(back).toHaveLength(octets)
        expect(back.toString('latin1')).not.toMatch(/\r(?!\n)|(?<!\r)\n/)
        if (/^(?:[^\r\n]|\r\n)*\r\n$/.test(text)) expect(back.toString('latin1')).toBe(text)
      }),
      { numRuns: 2000 },
    )
  })

  test.each([
    ['Subject: a\r\n\r\nb\r\n', { octets: 17, isEightBit: false, hasUtf8Header: false }],
    ['Subject: a\r\n\r\n.b', { octets: 18, isEightBit: false, hasUtf8Header: false }],
    ['Subject: a\r\n\r\nä\r\n', { octets: 18, isEightBit: true, hasUtf8Header: false }],
    ['Subject: a\n\nä\n', { octets: 18, isEightBit: true, hasUtf8Header: false }],
    ['Subject: ä\r\n\r\nb\r\n', { octets: 18, isEightBit: true, hasUtf8Header: true }],
    ['Subject: ä', { octets: 13, isEightBit: true, hasUtf8Header: true }],
    ['\r\nä\r\n', { octets: 6, isEightBit: true, hasUtf8Header: false }],
    ['', { octets: 0, isEightBit: false, hasUtf8Header: false }],
  ])('%j is known to be %j', async (text, traits) => {
    for (const octets of [1, 2, 3, 1000]) expect(await traitsOf(message(text, octets))).toEqual(traits)
  })
})

function repliesIn(chunks: readonly Buffer[]): NextHopReply[] {
  const reader = new ReplyReader()
  const replies: NextHopReply[] = []
  for (const chunk of chunks) {
    reader.push(chunk)
    for (let reply = reader.next(); reply !== undefined; reply = reader.next()) replies.push(reply)
  }
  expect(reader.isAmidReply).toBe(false)
  return replies
}

describe('replies', () => {
  test('are the same however they are cut', () => {
    const line = fc.stringMatching(/^[ -~]{0,30}$/)
    const reply = fc.record({
      code: fc.integer({ min: 200, max: 599 }),
      lines: fc.array(line, { minLength: 1, maxLength: 5 }),
    })
    fc.assert(
      fc.property(fc.array(reply, { maxLength: 5 }), fc.array(fc.nat(), { maxLength: 8 }), (replies, at) => {
        const text = replies.flatMap(({ code, lines }) =>
          lines.map((words, index) => `${code}${index === lines.length - 1 ? ' ' : '-'}${words}\r\n`),
        )
        expect(repliesIn(cut(text.join(''), at).map(piece => Buffer.from(piece)))).toEqual(replies)
      }),
    )
  })

  test('that are passed on are always legal', () => {
    const line = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 700 }),
      fc.constantFrom('5.1.1 no', '4.2.1', '2.0.0 ok', ''),
    )
    const code = fc.integer({ min: 200, max: 599 }).filter(number => number < 300 || number >= 400)
    fc.assert(
      fc.property(code, fc.array(line, { minLength: 1, maxLength: 4 }), (number, lines) => {
        const reply = passedOn({ code: number, lines })
        expect(formatReply(reply)).toMatch(/^([245])[0-5]\d \1\.\d{1,3}\.\d{1,3} [\x20-\x7e]+$/)
        expect(Math.floor(reply.code / 100)).toBe(Math.floor(number / 100))
        expect(reply.text.length).toBeLessThanOrEqual(MAX_REPLY_TEXT)
        expect([421, 521]).not.toContain(reply.code)
      }),
      {
        numRuns: 2000,
        examples: [
          [200, ['\0']],
          [550, ['5.1.1 \x7f', ' ']],
        ],
      },
    )
  })
})

describe('what is offered', () => {
  const none = { pipelining: false, size: false, eightBit: false, smtputf8: false, xforward: new Set() }
  test.each([
    [['hop PIPELINING SIZE'], none],
    [
      ['hop', 'pipelining', 'Size 1000', '8BITMIME'],
      { ...none, pipelining: true, size: true, eightBit: true },
    ],
    [['hop', 'XSMTPUTF8', 'SMTPUTF8'], { ...none, smtputf8: true }],
    [['hop', 'XFORWARD NAME addr'], { ...none, xforward: new Set(['NAME', 'ADDR']) }],
  ])('%j', (lines, offer) => {
    expect(offerOf({ code: 250, lines })).toEqual(offer)
  })
})

describe('XFORWARD', () => {
  const all = new Set(['NAME', 'ADDR', 'PORT', 'PROTO', 'HELO'])

  test('tells what is known and wanted, and nothing else', () => {
    const client = { ip: must(parseIpAddress('2001:db8::1')), name: 'mx.example.net', helo: 'a b+c=ü' }
    expect(xforwardCommands(client, all)).toEqual([
      'XFORWARD NAME=mx.example.net',
      'XFORWARD ADDR=IPv6:2001:db8::1',
      'XFORWARD HELO=a+20b+2Bc+3D+C3+BC',
    ])
    expect(xforwardCommands(client, new Set(['NAME']))).toEqual(['XFORWARD NAME=mx.example.net'])
    expect(xforwardCommands(client, new Set())).toEqual([])
    expect(xforwardCommands({}, all)).toEqual([])
  })

  test('is understood by our own sink', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'aZ09 .+=-_äß€%'), minLength: 1, maxLength: 60 }),
        helo => {
          const [command = ''] = xforwardCommands({ helo }, all)
          expect(must(parseXforward(command.slice('XFORWARD '.length), {}))).toEqual({ HELO: helo })
        },
      ),
    )
  })
})
