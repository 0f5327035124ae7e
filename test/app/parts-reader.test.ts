/** The parts of messages: real shapes, malformed ones, hostile ones, in any pieces. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { PartsReader } from '../../src/app/parts-reader.ts'
import { type HeaderField, MAX_PART_DEPTH, MAX_PARTS, type MessageParts } from '../../src/core/content.ts'

function fieldsOf(header: readonly string[]): readonly HeaderField[] {
  return header.map(line => {
    const colon = line.indexOf(':')
    return { name: line.slice(0, colon).toLowerCase(), value: line.slice(colon + 1).trim() }
  })
}

function read(header: readonly string[], ...pieces: readonly (string | Uint8Array)[]): MessageParts {
  const reader = new PartsReader(fieldsOf(header))
  for (const piece of pieces) reader.push(typeof piece === 'string' ? Buffer.from(piece, 'latin1') : piece)
  return reader.end()
}

/** As `type` or `type .extension`. */
function inWords(header: readonly string[], body: string): readonly string[] {
  const { parts, tooMany } = read(header, body)
  const words = parts.map(({ type, extension }) => (extension === undefined ? type : `${type} .${extension}`))
  return tooMany ? [...words, 'and more'] : words
}

const MIXED = 'Content-Type: multipart/mixed; boundary=b'

/** A body of parts, each its header and its text. */
function multipart(boundary: string, ...parts: readonly string[]): string {
  return `preamble\n${parts.map(part => `--${boundary}\n${part}\n`).join('')}--${boundary}--\nepilogue\n`
}

describe('well-formed messages', () => {
  const cases: readonly (readonly [string, readonly string[], string, readonly string[]])[] = [
    ['no header at all', [], 'text\n', ['text/plain']],
    ['an empty message', [], '', ['text/plain']],
    ['a single part', ['Content-Type: text/HTML; charset=utf-8'], '<p>', ['text/html']],
    [
      'a single part with a name',
      ['Content-Type: application/pdf', 'Content-Disposition: attachment; filename="Plan.PDF"'],
      'JVBERi0',
      ['application/pdf .pdf'],
    ],
    [
      'text and an image',
      [MIXED],
      multipart('b', '\none', 'Content-Type: image/png; name=a.png\n\nx'),
      ['text/plain', 'image/png .png'],
    ],
    [
      'alternatives, one of them with an image, in a mixed message',
      ['Content-Type: multipart/mixed;\r\n boundary="----=_NextPart_000_0001"'],
      multipart(
        '----=_NextPart_000_0001',
        `Content-Type: multipart/alternative;\n\tboundary="----=_NextPart_001_0002"\n\n${multipart(
          '----=_NextPart_001_0002',
          'Content-Type: text/plain\n\nx',
          `Content-Type: multipart/related; boundary="rel"\n\n${multipart('rel', 'Content-Type: text/html\n\nx', 'Content-Type: image/gif\nContent-ID: <1>\n\nR0')}`,
        )}`,
        'Content-Type: application/octet-stream\nContent-Disposition: attachment;\n filename=setup.exe\n\nTVqQ',
      ),
      ['text/plain', 'text/html', 'image/gif', 'application/octet-stream .exe'],
    ],
    [
      'boundaries that begin alike',
      ['Content-Type: multipart/mixed; boundary=ab'],
      multipart(
        'ab',
        `Content-Type: multipart/alternative; boundary=abc\n\n${multipart('abc', '\n1', 'Content-Type: text/html\n\n2')}`,
        'Content-Type: image/png\n\n3',
      ),
      ['text/plain', 'text/html', 'image/png'],
    ],
    [
      'a forwarded message is looked into',
      [MIXED],
      multipart(
        'b',
        '\nsee below',
        'Content-Type: message/rfc822\nContent-Disposition: attachment; filename=a.eml\n\nFrom: x@example.net\nDKIM-Signature: v=1;\n a=b\nContent-Type: multipart/mixed; boundary=c\n\n--c\nContent-Type: text/csv\n\n1\n--c--\n',
      ),
      ['text/plain', 'text/csv'],
    ],
    [
      'a forwarded message that says nothing of its own type',
      ['Content-Type: message/rfc822'],
      'Subject: x\n\nContent-Type: image/png\n',
      ['text/plain'],
    ],
    [
      'a digest',
      ['Content-Type: multipart/digest; boundary=d'],
      multipart(
        'd',
        '\nSubject: one\n\n1',
        '\nSubject: two\nContent-Type: text/html\n\n2',
        'Content-Type: text/plain\n\n3',
      ),
      ['text/plain', 'text/html', 'text/plain'],
    ],
    [
      'a bounce',
      ['Content-Type: multipart/report; report-type=delivery-status; boundary="r/1"'],
      multipart(
        'r/1',
        '\nSorry',
        'Content-Type: message/delivery-status\n\nStatus: 5.1.1',
        'Content-Type: text/rfc822-headers\n\nSubject: x',
      ),
      ['text/plain', 'message/delivery-status', 'text/rfc822-headers'],
    ],
    [
      'white space after a boundary',
      [MIXED],
      '--b \t\nContent-Type: image/png\n\nx\n--b--  \n--b\n',
      ['image/png', 'text/plain'],
    ],
    [
      'text that looks like a boundary',
      [MIXED],
      multipart('b', '\n--\n-- \nAnn\n---\n--c\n'),
      ['text/plain'],
    ],
    [
      'the boundary of a comment',
      ['Content-Type: multipart/mixed (really); boundary="b" (so)'],
      multipart('b', '\n1'),
      ['text/plain'],
    ],
    [
      'a part with a header and nothing else',
      [MIXED],
      '--b\nContent-Type: image/png\n--b--\n',
      ['image/png'],
    ],
  ]
  test.each(cases)('%s', (_, header, body, want) => {
    expect(inWords(header, body)).toEqual(want)
    expect(inWords(header, body.replaceAll('\n', '\r\n'))).toEqual(want)
  })
})

describe('names of files', () => {
  const cases: readonly (readonly [string, string, readonly string[]])[] = [
    ['a quoted one', 'attachment; filename="a b.Doc"', ['doc']],
    ['one without quotes, with a space', 'attachment; filename=my file.exe', ['exe']],
    ['an escaped quote', String.raw`attachment; filename="a\".exe"`, ['exe']],
    ['a semicolon in quotes', 'attachment; filename="a;b.exe"; size=1', ['exe']],
    ['a quote without an end', 'attachment; filename="a.exe; name=b.txt', ['exe']],
    ['text after a quote', 'attachment; filename="a.txt".exe', ['exe']],
    ['a comment in it', 'attachment; filename=a.(x)exe (y)', ['exe']],
    ['a comment to some', 'attachment (; filename=a.exe; ); filename=a.txt', ['txt', 'exe']],
    ['two of them', 'attachment; filename=a.txt; filename=b.exe', ['txt', 'exe']],
    ['no dot', 'attachment; filename=README', []],
    ['dots and spaces at its end', 'attachment; filename="a.exe. ."', ['exe']],
    ['a path', String.raw`attachment; filename="C:\\x.y\\z"`, []],
    ['control and format characters', "attachment; filename*=utf-8''a%E2%80%AE.e%E2%80%8Bxe%00", ['exe']],
    ['percent-encoded', "attachment; filename*=iso-8859-1'de'gr%FC%DFe%2EEXE", ['exe']],
    ['in pieces', 'attachment; filename*0="a.e"; filename*1=xe', ['exe']],
    ['in pieces, out of order', "attachment; filename*1*=%78e; filename*0*=utf-8''a.e", ['exe']],
    ['in pieces, one missing', 'attachment; filename*0=a.exe; filename*2=.txt', ['txt', 'exe']],
    [
      'more than ten pieces',
      `attachment; ${Array.from(
        { length: 12 },
        (_, i) => `filename*${i}="${'x'.repeat(i)}${i === 11 ? '.exe' : ''}"`,
      )
        .reverse()
        .join('; ')}`,
      ['exe'],
    ],
    ['an encoded word', 'attachment; filename="=?utf-8?B?w7wuZXhl?="', ['exe']],
    ['encoded words', 'attachment; filename="=?utf-8?Q?a=2E?= =?iso-8859-1*de?q?exe?="', ['exe']],
    ['an encoded word in a strange character set', 'attachment; filename="=?x-none?q?a.exe?="', ['exe']],
    ['an encoded word and more', 'attachment; filename="=?utf-8?q?a.txt?=.exe"', ['exe']],
    ['an ending that is no ASCII', "attachment; filename*=utf-8''a.%D1%82%D1%85%D1%82", ['тхт']],
    ['an ending that is none', `attachment; filename=a.${'x'.repeat(21)}`, []],
    ['a name of nothing', 'attachment; filename=; filename', []],
  ]
  test.each(cases)('%s', (_, disposition, want) => {
    const { parts } = read(['Content-Type: a/b', `Content-Disposition: ${disposition}`], 'x')
    expect(parts.flatMap(({ extension }) => extension ?? [])).toEqual(want)
    expect(parts.every(({ type }) => type === 'a/b')).toBe(true)
  })

  test('both of its fields may give one', () => {
    const header = ['Content-Type: a/b; name="a.pdf"', 'Content-Disposition: inline; filename="a.exe"']
    expect(inWords(header, '')).toEqual(['a/b .pdf', 'a/b .exe'])
  })
})

describe('what is malformed has the parts of every reading', () => {
  const cases: readonly (readonly [string, readonly string[], string, readonly string[]])[] = [
    ['a multipart without a boundary', ['Content-Type: multipart/mixed'], '--b\n\n', ['multipart/mixed']],
    ['a multipart without parts', [MIXED], 'text', ['multipart/mixed']],
    ['a multipart that is not closed', [MIXED], '--b\nContent-Type: image/png\n\nx', ['image/png']],
    [
      'a multipart that is closed and goes on',
      [MIXED],
      '--b\n\n1\n--b--\n--b\nContent-Type: a/exe\n\n2',
      ['text/plain', 'a/exe'],
    ],
    [
      'an inner multipart that goes on after its outer one',
      [MIXED],
      '--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\n1\n--b\n\n2\n--c\nContent-Type: a/exe\n\n3\n--b--\n',
      ['text/plain', 'text/plain', 'a/exe'],
    ],
    [
      'a boundary that a line only begins with',
      [MIXED],
      '--b\n\n1\n--bcd\nContent-Type: a/exe\n\n',
      ['text/plain', 'a/exe'],
    ],
    [
      'an end with something behind it is none',
      [MIXED],
      '--b\n\n1\n--b--x\nContent-Type: a/exe\n\n',
      ['text/plain', 'a/exe'],
    ],
    [
      'a boundary that ends in dashes',
      [MIXED, 'Content-Type: multipart/mixed; boundary="b--"'],
      '--b--\nContent-Type: a/exe\n\n',
      ['a/exe', 'multipart/mixed'],
    ],
    ['two types', ['Content-Type: text/plain', 'Content-Type: text/html'], '', ['text/plain', 'text/html']],
    [
      'two boundaries',
      ['Content-Type: multipart/mixed; boundary=x; boundary=y'],
      '--y\nContent-Type: a/exe\n\n',
      ['a/exe'],
    ],
    [
      'a boundary in pieces',
      ["Content-Type: multipart/mixed; boundary*0*=utf-8''%62; boundary*1=c"],
      '--bc\nContent-Type: a/exe\n\n',
      ['a/exe'],
    ],
    [
      'no boundary but a boundary',
      ['Content-Type: multipart/mixed; boundary=""'],
      '--x\nContent-Type: a/exe\n\n',
      ['a/exe'],
    ],
    ['a type that is none', ['Content-Type: exe'], '', ['text/plain']],
    ['a type with spaces', ['Content-Type: text / html'], '', ['text/html']],
    ['a name that ends in space', [MIXED], '--b\nContent-Type : a/exe\n\n', ['a/exe']],
    ['a line that is no field', [MIXED], '--b\nwhat?\nContent-Type: a/exe\n\n', ['a/exe']],
    ['an empty line of spaces', [MIXED], '--b\nX: y\n \nContent-Type: a/exe\n\n', ['a/exe']],
    [
      'a carriage return alone ends no header',
      [MIXED],
      '--b\r\nX: y\r\r\nContent-Type: a/exe\r\n\r\n',
      ['a/exe'],
    ],
    [
      'a carriage return alone ends no multipart',
      [MIXED],
      '--b\r\nX: y\r--b--\r\nContent-Type: a/exe\r\n\r\n',
      ['text/plain', 'a/exe'],
    ],
    [
      'a carriage return alone begins a part',
      [MIXED],
      '--b\r\rtext\r--b\rContent-Type: a/exe\r\r',
      ['text/plain', 'a/exe'],
    ],
    [
      'a message that is encoded is a part',
      ['Content-Type: message/rfc822', 'Content-Transfer-Encoding: BASE64'],
      'x',
      ['message/rfc822'],
    ],
    [
      'a multipart that is encoded is one, too',
      [MIXED, 'Content-Transfer-Encoding: quoted-printable'],
      '--b\n\n',
      ['multipart/mixed', 'text/plain'],
    ],
  ]
  test.each(cases)('%s', (_, header, body, want) => {
    expect(inWords(header, body)).toEqual(want)
  })
})

describe('what is more than is looked at', () => {
  test('as many parts as may be, and one more', () => {
    const part = 'Content-Type: image/png\n\nx'
    const of = (count: number): MessageParts =>
      read([MIXED], multipart('b', ...new Array<string>(count).fill(part)))
    expect(of(MAX_PARTS)).toMatchObject({ tooMany: false })
    expect(of(MAX_PARTS).parts).toHaveLength(MAX_PARTS)
    expect(of(MAX_PARTS + 1)).toMatchObject({ tooMany: true })
    expect(of(MAX_PARTS + 1).parts).toHaveLength(MAX_PARTS)
  })

  const nested = (depth: number): string =>
    `${Array.from(
      { length: depth },
      (_, i) => `--b${i}.\nContent-Type: multipart/mixed; boundary=b${i + 1}.\n\n`,
    ).join('')}--b${depth}.\n\nx\n`

  test('as deep as may be, and one deeper', () => {
    expect(inWords(['Content-Type: multipart/mixed; boundary=b0.'], nested(MAX_PART_DEPTH - 1))).toEqual([
      'text/plain',
    ])
    expect(read(['Content-Type: multipart/mixed; boundary=b0.'], nested(MAX_PART_DEPTH)).tooMany).toBe(true)
  })

  test('messages in messages', () => {
    const messages = 'Content-Type: message/rfc822\n\n'
    expect(read(['Content-Type: message/rfc822'], messages.repeat(MAX_PART_DEPTH - 1)).tooMany).toBe(false)
    expect(read(['Content-Type: message/rfc822'], messages.repeat(MAX_PART_DEPTH)).tooMany).toBe(true)
  })

  test.each([
    ['the fields of a part', `Content-Type: a/b;${' x=y;'.repeat(4000)}`],
    ['folded fields of a part', `Content-Type: a/b;${'\n x=y;'.repeat(4000)}`],
    ['a boundary', `Content-Type: multipart/mixed; boundary=${'x'.repeat(999)}`],
  ])('%s', (_, header) => {
    expect(read([MIXED], multipart('b', `${header}\n\n`)).tooMany).toBe(true)
  })

  test('multiparts without parts', () => {
    const declared = Array.from(
      { length: 600 },
      (_, i) => `--b\nContent-Type: multipart/mixed; boundary=x${i}y\n\n`,
    )
    expect(read([MIXED], declared.join('')).tooMany).toBe(true)
  })

  test('other fields of a part may be as long as they like', () => {
    const body = multipart(
      'b',
      `X-Long: ${'x'.repeat(100_000)}\n ${'y'.repeat(100_000)}\nContent-Type: a/b\n\n`,
    )
    expect(inWords([MIXED], body)).toEqual(['a/b'])
  })
})

describe('the end of looking', () => {
  test('a body without parts is not looked at', () => {
    expect(new PartsReader(fieldsOf(['Content-Type: text/html'])).wantsMore).toBe(false)
    expect(new PartsReader(fieldsOf([MIXED])).wantsMore).toBe(true)
  })

  test('nor what comes after too many parts', () => {
    const reader = new PartsReader(fieldsOf([MIXED]))
    reader.push(Buffer.from('--b\n\n'.repeat(MAX_PARTS + 2)))
    expect(reader.wantsMore).toBe(false)
  })
})

/** Bodies in which much happens. */
const WORDS = [
  '--b', '--b--', '--bc', '--bc--', '--', '-', 'b', ' ', '\t', '\n', '\r\n', '\r', '\n\n', '\r\n\r\n', ';', '"', '(', ')',
  'Content-Type: multipart/mixed; boundary=bc', 'Content-Type: multipart/digest; boundary="b"', 'Content-Type: a/b',
  'Content-Type: message/rfc822', 'Content-Disposition: attachment; filename=a.exe', 'filename*0*=', "utf-8''%41", '=?utf-8?q?',
  'Content-Transfer-Encoding: base64', 'x', '\0', '\xff',
] // biome-ignore format: words
const body = fc
  .array(fc.oneof({ weight: 10, arbitrary: fc.constantFrom(...WORDS) }, fc.string()), { maxLength: 80 })
  .map(words => Buffer.from(words.join(''), 'latin1'))
const header = fc.array(
  fc.constantFrom(...WORDS.filter(word => word.startsWith('Content')), MIXED).map(word => word),
  { maxLength: 3 },
)

describe('properties', () => {
  test('however the body is cut, its parts are the same', () => {
    fc.assert(
      fc.property(header, body, fc.array(fc.nat(200), { maxLength: 12 }), (fields, bytes, cuts) => {
        const pieces: Uint8Array[] = []
        let at = 0
        for (const cut of cuts) {
          pieces.push(bytes.subarray(at, at + cut))
          at += cut
        }
        pieces.push(bytes.subarray(at))
        const whole = read(fields, bytes)
        expect(read(fields, ...pieces)).toEqual(whole)
        expect(read(fields, ...Array.from(bytes, byte => Uint8Array.of(byte)))).toEqual(whole)
      }),
      { numRuns: 300 },
    )
  })

  test('any bytes give an answer within bounds', () => {
    fc.assert(
      fc.property(fc.array(fc.string()), fc.uint8Array({ maxLength: 2000 }), (values, bytes) => {
        const fields = ['content-type', 'content-disposition', 'content-transfer-encoding'].flatMap(name =>
          values.map(value => ({ name, value })),
        )
        const reader = new PartsReader([
          { name: 'content-type', value: 'multipart/x; boundary=""' },
          ...fields,
        ])
        reader.push(bytes)
        const { parts } = reader.end()
        expect(parts.length).toBeLessThanOrEqual(MAX_PARTS)
        for (const { type, extension } of parts) {
          expect(type).toMatch(/^[!-~]{1,127}\/[!-~]{1,127}$/)
          if (extension !== undefined) expect(extension).toMatch(/^[^\s./\\]+$/)
        }
      }),
    )
  })

  test('a part between whole delimiters is found, whatever stands around it', () => {
    fc.assert(
      fc.property(body, body, (before, after) => {
        const text = Buffer.concat([before, Buffer.from('\n--b\nContent-Type: x/hidden\n\n'), after])
        const { parts, tooMany } = read([MIXED], text)
        expect(tooMany || parts.some(({ type }) => type === 'x/hidden')).toBe(true)
      }),
      { numRuns: 300 },
    )
  })
})

describe('time is linear', () => {
  const MB = 1_048_576
  test.each([
    ['lines of nothing', '\n'],
    ['carriage returns', '\r'],
    ['lines of dashes', '--\n'],
    ['one line of dashes', '-'],
    ['lines like a boundary', '--b1\n--a\n'],
    ['boundaries without an end', '--b0--x'],
    ['base64', `${'QUJD'.repeat(19)}\r\n`],
  ])('%s', { timeout: 20_000 }, (_, piece) => {
    const declared = Array.from(
      { length: 400 },
      (__, i) => `--b\nContent-Type: multipart/mixed; boundary=a${i}z\n\n`,
    )
    const reader = new PartsReader(fieldsOf([MIXED]))
    reader.push(Buffer.from(declared.join('')))
    const chunk = Buffer.alloc(MB, piece)
    for (let i = 0; i < 20; i++) reader.push(chunk)
    expect(reader.end().parts.length).toBeGreaterThan(0)
  })

  test.each([
    ['quotes', '"'],
    ['comments', '('],
    ['comments that end', '()'],
    ['parameters', 'name=a;'],
    ['pieces', 'name*1=a;'],
    ['encoded words', 'name="=?utf-8?q?=2E?=";'],
    ['encoded words without an end', 'name==?utf-8?q?'],
    ['dots and spaces', '. '],
  ])('of a field of %s', { timeout: 20_000 }, (_, piece) => {
    const value = `a/b; name=x${piece.repeat(250_000 / piece.length)}`
    expect(new PartsReader([{ name: 'content-type', value }]).end().parts.length).toBeGreaterThan(0)
  })
})
