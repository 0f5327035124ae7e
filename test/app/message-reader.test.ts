/** What a whole message says: its authors, its header, its parts; by table, and by property that nothing throws. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_ADDRESS_TEXT } from '../../src/app/authorship.ts'
import { MessageReader } from '../../src/app/message-reader.ts'
import { MAX_HEADER_FIELDS, MAX_HEADER_SIZE, type MessageContent } from '../../src/core/content.ts'
import type { Authorship } from '../../src/core/transaction.ts'
import { readingOf } from '../support/messages.ts'

const authorshipOf = (message: Uint8Array): Authorship => readingOf(message).authorship

function read(header: string | Buffer): { from: string[]; others: string[] } {
  const { from, all } = authorshipOf(Buffer.from(header as string))
  return { from: from.map(each => each.key), others: all.slice(from.length).map(each => each.key) }
}

const nobody = { from: [], others: [] }

describe('the header', () => {
  test.each<[string, string, { from?: string[]; others?: string[] }]>([
    ['a mailbox', 'From: Alice@Example.NET', { from: ['alice@example.net'] }],
    ['a name', 'From: Alice <alice@example.net>', { from: ['alice@example.net'] }],
    [
      'a name in any case, with a space before the colon',
      'FROM : alice@example.net',
      { from: ['alice@example.net'] },
    ],
    ['folded', 'From: Alice\r\n\t<alice@example.net>', { from: ['alice@example.net'] }],
    ['folded inside the brackets', 'From: Alice <alice\r\n @example.net>', {}],
    ['lines that end in LF', 'Subject: x\nFrom: alice@example.net\nTo: x', { from: ['alice@example.net'] }],
    [
      'several mailboxes',
      'From: a@x.example, "B, b" <b@x.example>',
      { from: ['a@x.example', 'b@x.example'] },
    ],
    ['two fields', 'From: a@x.example\r\nFrom: b@x.example', { from: ['a@x.example', 'b@x.example'] }],
    ['a group', 'From: Us: a@x.example, B <b@x.example>;', { from: ['a@x.example', 'b@x.example'] }],
    ['an empty group', 'From: nobody:;', {}],
    [
      'all three fields',
      'Reply-To: r@x.example\r\nSender: s@x.example\r\nFrom: f@x.example',
      {
        from: ['f@x.example'],
        others: ['r@x.example', 's@x.example'],
      },
    ],
    ['an encoded name', 'From: =?utf-8?q?J=C3=BCrgen?= <j@x.example>', { from: ['j@x.example'] }],
    ['an address in an encoded word', 'From: =?utf-8?q?=3Calice=40example.net=3E?=', {}],
    ['an address in base 64', 'From: =?utf-8?b?PGFsaWNlQGV4YW1wbGUubmV0Pg==?=', {}],
    [
      'an encoded address beside a real one',
      'From: =?utf-8?q?=3Calice=40example.net=3E?= <eve@example.com>',
      {
        from: ['eve@example.com'],
      },
    ],
    [
      'a local part like an encoded word',
      'From: <=?utf-8?q?a?=@x.example>',
      { from: ['=?utf-8?q?a?=@x.example'] },
    ],
    ['an address as a name', 'From: "alice@example.net" <eve@example.com>', { from: ['eve@example.com'] }],
    ['an address as a comment', 'From: eve@example.com (alice@example.net)', { from: ['eve@example.com'] }],
    ['a quoted local part', 'From: <"john doe"@x.example>', { from: ['john doe@x.example'] }],
    ['UTF-8', 'From: <jürgen@bücher.example>', { from: ['jürgen@xn--bcher-kva.example'] }],
    ['nothing that is an address', 'From: alice, <bob>, @x.example, <a b@x.example>', {}],
    [
      'a name and an address without brackets',
      'From: Alice alice@example.net',
      { from: ['alice@example.net'] },
    ],
    ['a field of another name', 'X-From: a@x.example\r\nFromage: b@x.example', {}],
    ['a mailbox file’s separator', 'From alice@example.net Mon Jan  1 00:00:00 2026', {}],
    ['no header', '', {}],
  ])('%s', (_, header, want) => {
    expect(read(header)).toEqual({ ...nobody, ...want })
  })

  test('octets that are no UTF-8 make no address', () => {
    expect(read(Buffer.from('From: <\xe9@x.example>, <ok@x.example>', 'latin1'))).toEqual({
      from: [],
      others: ['ok@x.example'],
    })
  })

  test('more addresses than are looked at have no author, rather than some', () => {
    const many = `From: ${Array.from({ length: 600 }, (_, index) => `a${index}@x.example`).join(', ')}`
    expect(many.length).toBeGreaterThan(MAX_ADDRESS_TEXT)
    expect(read(many)).toEqual(nobody)
    expect(read(`From: alice@example.net\r\n${many}`)).toEqual(nobody)
  })

  test('no octets make it throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), octets => {
        const header = Buffer.concat([Buffer.from('From:'), octets])
        expect(Array.isArray(authorshipOf(header).from)).toBe(true)
      }),
    )
  })

  test('no text of addresses makes it throw, and an encoded word gives no address', () => {
    const part = fc.constantFrom(
      '<',
      '>',
      '"',
      '(',
      ')',
      ',',
      ':',
      ';',
      '\\',
      '@',
      ' ',
      '\r\n ',
      'a',
      '.',
      '=?',
      '?=',
    )
    const secret = '=?utf-8?q?=3Csecret=40member.example=3E?='
    const text = fc.array(fc.oneof(part, fc.constant(secret))).map(parts => parts.join(''))
    fc.assert(
      fc.property(text, value => {
        const { all } = authorshipOf(Buffer.from(`From: ${value}\r\nReply-To: ${value}`))
        expect(all.map(each => each.key)).not.toContain('secret@member.example')
      }),
      { numRuns: 1000 },
    )
  })

  test.each(['(', '<', '"', ':', ',', 'a:', '"\\', '=?', 'a@b ', '<a@b>'])(
    'many %s take no long time',
    piece => {
      const header = Buffer.from(`From: ${piece.repeat(Math.floor((MAX_ADDRESS_TEXT - 1) / piece.length))}`)
      const started = performance.now()
      authorshipOf(header)
      expect(performance.now() - started).toBeLessThan(500)
    },
  )
})

describe('the header section', () => {
  const content = (...chunks: readonly (string | Uint8Array)[]): MessageContent => {
    const reader = new MessageReader({ parts: true })
    for (const chunk of chunks) reader.push(typeof chunk === 'string' ? Buffer.from(chunk) : chunk)
    return reader.end().content
  }
  const section = (...chunks: readonly string[]): readonly string[] =>
    content(...chunks).fields.map(({ name, value }) => `${name}: ${value}`)

  test.each<[string, string[], string[]]>([
    ['ends at the empty line', ['A: b\r\nC: d\r\n\r\nFrom: x\r\n'], ['a: b', 'c: d']],
    ['in any chunks', ['A: b\r', '\nC: d\r\n\r', '\nFrom: x'], ['a: b', 'c: d']],
    ['with lines that end in LF', ['A: b\n\nFrom: x\n'], ['a: b']],
    ['is nothing before an empty line', ['\r\nFrom: x\r\n'], []],
    ['is all, without a body', ['A: b\r\nC: d'], ['a: b', 'c: d']],
    ['is nothing of an empty message', [], []],
    ['joins what was folded', ['A: b\r\n c\r\n\td\r\n'], ['a: b c\td']],
    ['passes over what is no field', ['nonsense\r\n folded\r\n: x\r\nA: b\r\n'], ['a: b']],
  ])('%s', (_, chunks, want) => {
    expect(section(...chunks)).toEqual(want)
    expect(section(...chunks.join('').split(''))).toEqual(want)
  })

  const line = `X: ${'x'.repeat(995)}\r\n`

  test.each<[string, string, number]>([
    ['in octets', line.repeat(400), MAX_HEADER_SIZE / 1000],
    ['in fields', 'X: y\r\n'.repeat(MAX_HEADER_FIELDS + 1), MAX_HEADER_FIELDS],
    ['in lines that are no fields', `${'x'.repeat(996)}\r\n`.repeat(400), 0],
    ['without a line end', 'X: y'.repeat(100_000), 0],
  ])('is looked at so far and no further: %s', (_, long, fields) => {
    const found = content(long.slice(0, 100_000), long.slice(100_000), '\r\nFrom: alice@example.net\r\n\r\n')
    expect(found.headerTooLarge).toBe(true)
    expect(found.fields).toHaveLength(Math.floor(fields))
  })

  test('nothing more is wanted of a message whose header is too large, or that has no parts', () => {
    const reader = new MessageReader({ parts: true })
    for (let i = 0; i < 300; i++) reader.push(Buffer.from(line))
    expect(reader.wantsMore).toBe(false)
    const without = new MessageReader({ parts: false })
    expect(without.wantsMore).toBe(true)
    without.push(Buffer.from('Content-Type: multipart/mixed; boundary=b\r\n\r\n--b'))
    expect(without.wantsMore).toBe(false)
    expect(without.end().content.parts).toBeUndefined()
  })

  test('the parts are those of the body, in any chunks', () => {
    const message = Buffer.from(
      'Content-Type: multipart/mixed;\r\n boundary=b\r\n\r\n--b\r\nContent-Type: a/b; name=x.exe\r\n\r\n1\r\n--b--\r\n',
    )
    const whole = { parts: [{ type: 'a/b', extension: 'exe' }], tooMany: false }
    expect(content(message).parts).toEqual(whole)
    expect(content(...Array.from(message, byte => Uint8Array.of(byte))).parts).toEqual(whole)
  })
})
