/** Commands and their arguments, by table; parsers never throw, by property. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Reply } from '../../src/core/reply.ts'
import { parseMail, parseRcpt, splitCommand } from '../../src/lmtp/command.ts'
import { REPLIES } from '../../src/lmtp/replies.ts'

describe('verbs', () => {
  test.each([
    ['NOOP', 'NOOP', ''],
    ['noop', 'NOOP', ''],
    ['NoOp  ', 'NOOP', ''],
    ['MAIL FROM:<>', 'MAIL', 'FROM:<>'],
    ['mail  From:<A@b> ', 'MAIL', 'From:<A@b>'],
    ['', '', ''],
    [' NOOP', '', 'NOOP'],
  ])('%j', (line, verb, rest) => {
    expect(splitCommand(line)).toEqual({ verb, rest })
  })
})

describe('MAIL', () => {
  test.each<[string, string, Partial<{ size: number; smtputf8: boolean }>]>([
    ['FROM:<alice@example.net>', 'alice@example.net', {}],
    ['From:<alice@example.net>', 'alice@example.net', {}],
    ['FROM: <alice@example.net>', 'alice@example.net', {}],
    ['FROM:<>', '', {}],
    ['FROM:<alice@example.net> SIZE=1000', 'alice@example.net', { size: 1000 }],
    ['FROM:<alice@example.net> size=0', 'alice@example.net', { size: 0 }],
    [
      'FROM:<alice@example.net> SIZE=1 BODY=8BITMIME SMTPUTF8',
      'alice@example.net',
      { size: 1, smtputf8: true },
    ],
    ['FROM:<alice@example.net>  BODY=7bit', 'alice@example.net', {}],
    ['FROM:<"a>b c@d"@example.net> SIZE=5', '"a>b c@d"@example.net', { size: 5 }],
    ['FROM:<"a\\">b"@example.net>', '"a\\">b"@example.net', {}],
    ['FROM:<@r1.example,@r2.example:u@example.net>', 'u@example.net', {}],
    ['FROM:<jürgen@example.net>', 'jürgen@example.net', {}],
    ['FROM:<jürgen@bücher.example> SMTPUTF8', 'jürgen@xn--bcher-kva.example', { smtputf8: true }],
  ])('%s', (rest, sender, want) => {
    const result = parseMail(rest)
    expect(result.ok && { ...result.value, sender: result.value.sender.text }).toEqual({
      size: undefined,
      smtputf8: false,
      ...want,
      sender,
    })
  })

  test.each(['<root>', '<a@b@c>', '<a b@example.net>', '<@example.net>', '< >', '<a@exa mple>'])(
    'FROM:%s is a sender who is nobody',
    path => {
      const result = parseMail(`FROM:${path}`)
      expect(result.ok && result.value.sender).toEqual({ kind: 'malformed-sender', text: path.slice(1, -1) })
    },
  )

  test.each<[string, Reply]>([
    ['', REPLIES.mailSyntax],
    ['TO:<a@b>', REPLIES.mailSyntax],
    ['FROM <a@b>', REPLIES.mailSyntax],
    ['FROM:', REPLIES.mailSyntax],
    ['FROM:a@b', REPLIES.mailSyntax],
    ['FROM:<a@b', REPLIES.mailSyntax],
    ['FROM:<"a@b>', REPLIES.mailSyntax],
    ['FROM:<a@b>SIZE=1', REPLIES.mailSyntax],
    ['FROM:<a@b> SIZE=1 SIZE=1', REPLIES.badParameter],
    ['FROM:<a@b> SIZE=1 size=2', REPLIES.badParameter],
    ['FROM:<a@b> SIZE', REPLIES.badParameter],
    ['FROM:<a@b> SIZE=', REPLIES.badParameter],
    ['FROM:<a@b> SIZE=x', REPLIES.badParameter],
    ['FROM:<a@b> SIZE=-1', REPLIES.badParameter],
    ['FROM:<a@b> SIZE=1=2', REPLIES.badParameter],
    ['FROM:<a@b> SIZE=123456789012345678901', REPLIES.badParameter],
    ['FROM:<a@b> BODY=BINARYMIME', REPLIES.badParameter],
    ['FROM:<a@b> BODY', REPLIES.badParameter],
    ['FROM:<a@b> SMTPUTF8=1', REPLIES.badParameter],
    ['FROM:<a@b> =1', REPLIES.badParameter],
    ['FROM:<a@b> ü=1', REPLIES.badParameter],
    ['FROM:<a@b> AUTH=<>', REPLIES.unknownParameter],
    ['FROM:<a@b> RET=HDRS', REPLIES.unknownParameter],
    ['FROM:<a@b> X-ANYTHING', REPLIES.unknownParameter],
  ])('%j is refused', (rest, fault) => {
    expect(parseMail(rest)).toEqual({ ok: false, fault })
  })
})

describe('RCPT', () => {
  const fixture = (name: string): string[] =>
    readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')
      .split('\n')
      .filter(line => line !== '' && !line.startsWith('#'))

  test.each(fixture('address-valid.txt').map(line => line.split('\t')))(
    'TO:%s',
    (path, localPart, domain) => {
      const result = parseRcpt(`TO:${path}`, 'callout')
      expect(result.ok && [JSON.stringify(result.value.localPart), result.value.domain]).toEqual([
        JSON.stringify(JSON.parse(localPart ?? '')),
        domain,
      ])
    },
  )

  test.each(fixture('address-invalid.txt').map(line => [line, JSON.parse(line) as string]))(
    'TO:%s is refused',
    (_, path) => {
      const result = parseRcpt(`TO:${path}`, 'callout')
      expect(result.ok ? result.value.text : result.fault.code).toBe(501)
    },
  )

  test.each<[string, Reply]>([
    ['', REPLIES.rcptSyntax],
    ['FROM:<a@b>', REPLIES.rcptSyntax],
    ['TO:a@b', REPLIES.rcptSyntax],
    ['TO:<>', REPLIES.badRecipient],
    ['TO:<alice>', REPLIES.badRecipient],
    ['TO:<a@b> NOTIFY=NEVER', REPLIES.unknownParameter],
    ['TO:<a@b> ORCPT=rfc822;a@b', REPLIES.unknownParameter],
    ['TO:<a@b> A A', REPLIES.badParameter],
    ['TO:<Postmaster>', REPLIES.postmaster],
  ])('%j is refused', (rest, fault) => {
    expect(parseRcpt(rest, 'callout')).toEqual({ ok: false, fault })
  })

  // Refused, they would be bounces: an MTA has taken them.
  test.each(fixture('address-invalid.txt').map(line => [line, JSON.parse(line) as string]))(
    'TO:%s is nobody, or waits, if it was taken',
    (_, path) => {
      const result = parseRcpt(`TO:${path}`, 'delivery')
      if (result.ok) expect(result.value.localPart).not.toBe('')
      else expect([REPLIES.misrouted, REPLIES.rcptSyntax]).toContain(result.fault)
    },
  )

  test.each<[string, string]>([
    ['<@lists.example.org>', '\ufffd'],
    ['<te\ufffdam@lists.example.org>', '\ufffd'],
    ['<two words@lists.example.org>', 'two words'],
  ])('TO:%s is %j if it was taken', (path, localPart) => {
    const result = parseRcpt(`TO:${path}`, 'delivery')
    expect(result.ok && [result.value.localPart, result.value.domain]).toEqual([
      localPart,
      'lists.example.org',
    ])
  })

  test.each(['TO:<postmaster>', 'TO:<alice>', 'TO:<>'])('%s waits if it was taken', rest => {
    expect(parseRcpt(rest, 'delivery')).toEqual({ ok: false, fault: REPLIES.misrouted })
  })
})

test('no line makes a parser throw', () => {
  const part = fc.constantFrom(
    'FROM:',
    'TO:',
    '<',
    '>',
    '"',
    '\\',
    '@',
    ' ',
    '=',
    'SIZE=',
    'a',
    'é',
    '.',
    ':',
    ',',
  )
  const line = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(part).map(parts => parts.join('')),
  )
  fc.assert(
    fc.property(line, text => {
      for (const result of [parseMail(text), parseRcpt(text, 'callout'), parseRcpt(text, 'delivery')]) {
        expect(result.ok || [451, 501, 550, 555].includes(result.fault.code)).toBe(true)
      }
    }),
    { numRuns: 1000 },
  )
})
