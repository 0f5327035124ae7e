/** One mailbox in the notations of every front and MTA is one address. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAddress, parseForwardPath, parseInternalAddress } from '../../src/core/address.ts'
import { deletionPath, recipientsOf, senderOf } from '../../src/milter/path.ts'
import { must } from '../support/vectors.ts'

const keys = (path: string, macro?: string): string[] => recipientsOf(path, macro).map(({ key }) => key)

describe('the four notations of one mailbox', () => {
  // Raw at a milter, internal by policy delegation, a path by LMTP, a mailbox by Exim and people.
  test.each([
    ['<one@x.example>', 'one@x.example', '<one@x.example>', 'one@x.example'],
    ['one@X.Example.', 'one@X.Example.', '<one@X.Example.>', 'ONE@x.example'],
    ['<@r.example:one@x.example>', 'one@x.example', '<@r.example:one@x.example>', 'one@x.example'],
    ['<one@x.example\t\t>', 'one@x.example', '<one@x.example>', 'one@x.example'],
    ['<one (c(d) e) @x.example>', 'one@x.example', '<one@x.example>', 'one@x.example'],
    ['<<ONE@X.example.>>', 'ONE@X.example.', '<ONE@X.example.>', 'one@x.example'],
    ['<"a b"@x.example>', 'a b@x.example', '<"a b"@x.example>', '"a b"@x.example'],
    ['<"a\\"b\\\\c"@x.example>', 'a"b\\c@x.example', '<"a\\"b\\\\c"@x.example>', '"a\\"b\\\\c"@x.example'],
    ['<"a@b"@x.example>', 'a@b@x.example', '<"a@b"@x.example>', '"a@b"@x.example'],
    ['<"one"@x.example>', 'one@x.example', '<"one"@x.example>', 'one@x.example'],
    ['<"(one)"@x.example>', '(one)@x.example', '<"(one)"@x.example>', '"(one)"@x.example'],
    ['<one@[192.0.2.1]>', 'one@[192.0.2.1]', '<one@[192.0.2.1]>', 'one@[192.0.2.1]'],
    [
      '<one@[IPv6:2001:DB8::1]>',
      'one@[IPv6:2001:db8::1]',
      '<one@[ipv6:2001:db8:0::1]>',
      'one@[IPv6:2001:db8::1]',
    ],
    ['<Jürg@bücher.example>', 'jürg@bücher.example', '<jürg@xn--bcher-kva.example>', 'JÜRG@BÜCHER.example'],
  ])('%s', (raw, internal, path, mailbox) => {
    const { key } = must(parseAddress(mailbox))
    expect(keys(raw)).toEqual([key])
    expect(senderOf(raw, undefined)).toMatchObject({ kind: 'address', key })
    expect(must(parseInternalAddress(internal)).key).toBe(key)
    expect(must(parseForwardPath(path)).key).toBe(key)
  })
})

describe('senders', () => {
  test.each(['<>', '< >', '<\t>', '', '<()>', '<<>>'])('%j is the null sender', path => {
    expect(senderOf(path, 'alice@example.net')).toEqual({ kind: 'null-sender', text: '' })
  })

  test.each([
    '<alice>',
    '<al ice@example.net>',
    '<alice@exam ple.net>',
    '<alice\ufffd@example.net>',
    '<"alice@example.net>',
    '<alice@example.net (>',
    '<alice@example.net )>',
    '<alice@[192.0.2.1>',
    '<alice@example.net><eve@example.com>',
    '<alice\\@example.net>',
    'Alice <alice@example.net>',
    '<alice@example.net,eve@example.com>',
    `<${'a'.repeat(2000)}@example.net>`,
  ])('%j is nobody', path => {
    expect(senderOf(path, undefined)).toEqual({ kind: 'malformed-sender', text: path })
    expect(senderOf(path, 'not an address')).toMatchObject({ kind: 'malformed-sender' })
  })

  test('one that is no address is what the MTA made of it', () => {
    expect(senderOf('<alice>', 'alice@example.net')).toMatchObject({ key: 'alice@example.net' })
    expect(senderOf('<eve@example.com>', 'alice@example.net')).toMatchObject({ key: 'eve@example.com' })
  })
})

describe('recipients', () => {
  test('are read in the words of the client, and as what the MTA made of them', () => {
    expect(keys('<team>', 'team@x.example')).toEqual(['team@x.example'])
    expect(keys('<Team@X.example>', 'team@x.example')).toEqual(['team@x.example'])
    expect(keys('<team%x.example@here.example>', 'team@x.example')).toEqual([
      'team%x.example@here.example',
      'team@x.example',
    ])
    expect(keys('<team>', 'team')).toEqual([])
    expect(keys('<>', undefined)).toEqual([])
  })

  test('with a local part that nobody has are in their domain all the same', () => {
    expect(keys('<a\ufffd@x.example>')).toEqual(['\ufffd@x.example'])
  })

  test.each([
    ['<@r.example:One@X.example.>', '<One@X.example.>'],
    ['<<one@x.example>>', '<one@x.example>'],
    ['one (c) @x.example', '<one@x.example>'],
    ['<"a b"@x.example>', '<"a b"@x.example>'],
    ['<"a@x.example>', '<"a@x.example>'],
  ])('%s is deleted as %s', (path, want) => {
    expect(deletionPath(path)).toBe(want)
  })
})

test('nothing makes them throw, and a quoted mailbox comes back whatever it holds', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 60 }), text => {
      senderOf(text, text)
      recipientsOf(text, text)
      deletionPath(text)
    }),
  )
  const printable = fc.stringMatching(/^[\x20-\x7eé]{1,40}$/)
  fc.assert(
    fc.property(printable, local => {
      const address = must(parseInternalAddress(`${local}@x.example`))
      expect(keys(`<${address.text}>`)).toEqual([address.key])
    }),
  )
})

test('long rubbish is read in linear time', () => {
  const begin = process.cpuUsage()
  for (const unit of ['(', '"', '[', '<', '@a,', '\\', '"a" ', ' ']) {
    senderOf(`<${unit.repeat(1000)}`, unit.repeat(1000))
  }
  expect(process.cpuUsage(begin).user).toBeLessThan(1_000_000)
})
