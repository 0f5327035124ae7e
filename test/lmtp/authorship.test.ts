/** Who wrote a message: by table, and by property that nothing throws and encoded words never count. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { MAX_ADDRESS_TEXT } from '../../src/app/authorship.ts'
import type { Message } from '../../src/app/message.ts'
import { authorshipOf } from '../../src/lmtp/authorship.ts'
import { MAX_HEADER_OCTETS, readHeaderSection } from '../../src/lmtp/header-section.ts'

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
  const message = (...chunks: readonly string[]): Message => ({
    size: chunks.join('').length,
    async *read() {
      for (const chunk of chunks) yield Buffer.from(chunk)
    },
  })
  const section = async (...chunks: readonly string[]): Promise<string> =>
    Buffer.from(await readHeaderSection(message(...chunks))).toString()

  test.each<[string, string[], string]>([
    ['ends at the empty line', ['A: b\r\nC: d\r\n\r\nFrom: x\r\n'], 'A: b\r\nC: d\r\n'],
    ['in any chunks', ['A: b\r', '\nC: d\r\n\r', '\nFrom: x'], 'A: b\r\nC: d\r\n'],
    ['with lines that end in LF', ['A: b\n\nFrom: x\n'], 'A: b\n'],
    ['is nothing before an empty line', ['\r\nFrom: x\r\n'], ''],
    ['is all, without a body', ['A: b\r\nC: d'], 'A: b\r\nC: d'],
    ['is nothing of an empty message', [], ''],
  ])('%s', async (_, chunks, want) => {
    expect(await section(...chunks)).toBe(want)
  })

  test('is read so far and no further, to the end of a line', async () => {
    const line = `X: ${'x'.repeat(995)}\r\n`
    const long = line.repeat(400)
    const got = await section(long.slice(0, 100_000), long.slice(100_000), 'From: alice@example.net\r\n\r\n')
    expect(got.length).toBeLessThanOrEqual(MAX_HEADER_OCTETS)
    expect(got.length).toBeGreaterThan(MAX_HEADER_OCTETS - line.length)
    expect(got.endsWith('\r\n')).toBe(true)
  })
})
