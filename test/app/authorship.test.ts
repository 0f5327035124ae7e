/** Who wrote a message, out of fields as a milter gets them: the same as the sink reads out of the whole header. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AuthorFields, MAX_ADDRESS_TEXT } from '../../src/app/authorship.ts'
import type { Authorship } from '../../src/core/transaction.ts'
import { readingOf } from '../support/messages.ts'

type Field = readonly [name: string, value: string]

function inMilter(fields: readonly Field[]): Authorship {
  const collected = new AuthorFields()
  for (const [name, value] of fields) collected.add(name, value)
  return collected.authorship
}

function inSink(fields: readonly Field[]): Authorship {
  const header = fields.map(([name, value]) => `${name}: ${value.replaceAll('\n', '\r\n')}\r\n`).join('')
  return readingOf(Buffer.from(header)).authorship
}

const keysOf = ({ from, all }: Authorship): object => ({
  from: from.map(({ key }) => key),
  all: all.map(({ key }) => key),
})

describe('authors', () => {
  test.each<[string, readonly Field[], readonly string[], (readonly string[])?]>([
    ['a mailbox', [['From', 'alice@example.net']], ['alice@example.net']],
    ['a name in another case', [['FROM', 'alice@example.net']], ['alice@example.net']],
    ['a name with a space', [['From ', 'alice@example.net']], ['alice@example.net']],
    ['a display name', [['From', '"eve@example.com" <alice@example.net>']], ['alice@example.net']],
    ['folded', [['From', 'Alice\n <alice@example.net>']], ['alice@example.net']],
    ['several', [['From', 'a@x.example, B <b@x.example>']], ['a@x.example', 'b@x.example']],
    ['a group', [['From', 'us: a@x.example, b@x.example;']], ['a@x.example', 'b@x.example']],
    [
      'two fields',
      [
        ['From', 'a@x.example'],
        ['from', 'b@x.example'],
      ],
      ['a@x.example', 'b@x.example'],
    ],
    ['an encoded word', [['From', '=?utf-8?q?=3Ca=40x.example=3E?=']], []],
    ['bytes that were not UTF-8', [['From', 'a\ufffd@x.example']], []],
    ['one who cannot be read', [['From', 'alice@example.net, <eve>']], [], ['alice@example.net']],
    ['nobody', [['Subject', 'alice@example.net']], []],
    [
      'others',
      [
        ['Sender', 's@x.example'],
        ['From', 'a@x.example'],
        ['Reply-To', 'r@x.example'],
      ],
      ['a@x.example'],
      ['a@x.example', 's@x.example', 'r@x.example'],
    ],
    ['too much to read', [['From', `alice@example.net, ${' '.repeat(MAX_ADDRESS_TEXT)}`]], []],
  ])('%s', (_, fields, from, all = from) => {
    expect(keysOf(inMilter(fields))).toEqual({ from, all })
    expect(keysOf(inSink(fields))).toEqual({ from, all })
  })

  test('are the same for the sink, whatever the fields hold', () => {
    const piece = fc.constantFrom(
      'a@x.example',
      '"b c"@y.example',
      '<',
      '>',
      ',',
      ':',
      ';',
      '(',
      ')',
      '"',
      '=?',
      '?=',
      ' ',
      '\n ',
      'é',
      '\\',
    )
    const value = fc.array(piece, { maxLength: 8 }).map(pieces => pieces.join(''))
    const name = fc.constantFrom('From', 'from', 'Sender', 'Reply-To', 'To')
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 4 }), fields => {
        expect(keysOf(inMilter(fields))).toEqual(keysOf(inSink(fields)))
      }),
    )
  })

  test('100,000 fields are not kept', () => {
    const collected = new AuthorFields()
    for (let i = 0; i < 100_000; i++) collected.add('From', `a${i}@x.example`)
    expect(collected.authorship).toEqual({ from: [], all: [] })
  })
})
