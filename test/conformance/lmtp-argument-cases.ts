/** Conformance of LMTP: parameters and addresses. */
import { expect } from 'vitest'
import type { LmtpClient } from '../support/lmtp-client.ts'
import {
  afterDot,
  answered,
  codes,
  FROM,
  type LmtpCase,
  MAX_SIZE,
  OPEN,
  session,
  TEAM,
  to,
} from './lmtp-case.ts'

/** A case in which an address that is delivered elsewhere every day is not refused for good. */
function takenSender(name: string, path: string): LmtpCase {
  return answered(`takes a sender ${name}`, 'RFC 5321 §4.1.2, practice', [`MAIL FROM:${path}`], /^250/)
}

export const PARAMETER_CASES: readonly LmtpCase[] = [
  answered(
    'refuses a message that is declared too big',
    'RFC 1870 §6.1',
    [`${FROM} SIZE=${MAX_SIZE + 1}`],
    /^552/,
    'callout',
  ),
  {
    name: 'refuses a message that turns out too big, for each recipient',
    source: 'RFC 1870 §6.3, RFC 2033 §4.2',
    run: async server => {
      const before = server.messages.length
      const big = `${'x'.repeat(98)}\r\n`.repeat(MAX_SIZE / 100 + 1)
      expect(codes(await afterDot(server, [TEAM, OPEN], big))).toEqual(['552', '552', '221'])
      expect(server.messages.length).toBe(before)
    },
  },
  answered(
    'takes SIZE, BODY and SMTPUTF8',
    'RFC 1870, 6152, 6531',
    [`${FROM} SIZE=100 BODY=8BITMIME SMTPUTF8`],
    /^250/,
  ),
  answered(
    'refuses a parameter that it does not know with 555',
    'RFC 5321 §4.1.1.11',
    [`${FROM} X-ANY=1`],
    /^555/,
  ),
  answered(
    'refuses a parameter of RCPT that it does not know with 555',
    'RFC 5321 §4.1.1.11',
    [FROM, `${to(TEAM)} X-ANY=1`],
    /^555/,
  ),
  answered('refuses a size that is no number', 'RFC 1870 §3', [`${FROM} SIZE=x`], /^501/),
  answered('refuses a path without brackets', 'RFC 5321 §4.1.2', ['MAIL FROM:alice@example.net'], /^5/),
  answered('refuses LHLO without a name', 'RFC 5321 §4.1.1.1', ['LHLO'], /^501/),
  answered(
    'refuses RCPT that is not UTF-8',
    'RFC 6531 §3.3',
    [FROM, 'RCPT TO:<t\0m@lists.example.org>'],
    /^5/,
    'callout',
  ),
]

export const ADDRESS_CASES: readonly LmtpCase[] = [
  takenSender('that is null', '<>'),
  takenSender('with a space', '<"john doe"@example.net>'),
  takenSender('with an @ in quotes', '<"a@b"@example.net>'),
  takenSender('with a > in quotes', '<"a>b"@example.net>'),
  takenSender('with two dots', '<a..b@example.net>'),
  takenSender('with a dot first', '<.a@example.net>'),
  takenSender('with a dot last', '<a.@example.net>'),
  takenSender('in a domain with an underscore', '<a@foo_bar.example>'),
  takenSender('in a domain with a dot at its end', '<a@example.net.>'),
  takenSender('at an address literal', '<a@[192.0.2.1]>'),
  takenSender('with a source route', '<@r1.example,@r2.example:a@example.net>'),
  takenSender(
    'with a local part of SRS length',
    `<SRS0=HHH=TT=${'long.'.repeat(15)}example=user@fwd.example>`,
  ),
  takenSender('in UTF-8', '<jürgen@bücher.example>'),
  {
    name: 'refuses a sender that is not UTF-8',
    source: 'RFC 6531 §3.3',
    run: async server => {
      const say = async (client: LmtpClient): Promise<void> => {
        client.write(Buffer.from('MAIL FROM:<j\xfcrgen@example.net>\r\n', 'latin1'))
        expect((await client.reply()).text).toMatch(/^5/)
      }
      await session(server, say, 'callout')
    },
  },
]
