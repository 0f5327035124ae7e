/** Conformance of LMTP: replies, one for each recipient, and their codes. */
import { expect } from 'vitest'
import { LmtpClient } from '../support/lmtp-client.ts'
import {
  afterDot,
  asked,
  codes,
  ELSEWHERE,
  FROM,
  type LmtpCase,
  MESSAGE,
  OPEN,
  REFUSED,
  SMALL,
  session,
  TEAM,
  to,
} from './lmtp-case.ts'

export const REPLY_CASES: readonly LmtpCase[] = [
  {
    name: 'gives a reply for each recipient',
    source: 'RFC 2033 §4.2',
    run: async server => expect(codes(await afterDot(server, [TEAM, OPEN]))).toEqual(['250', '250', '221']),
  },
  {
    name: 'gives as many replies to a recipient as it was named',
    source: 'RFC 2033 §4.2: even where several RCPT commands gave the same path',
    run: async server => {
      expect(codes(await afterDot(server, [TEAM, OPEN, TEAM]))).toEqual(['250', '250', '250', '221'])
    },
  },
  {
    name: 'gives replies to two recipients that differ in case',
    source: 'RFC 2033 §4.2; Exim keeps them apart',
    run: async server => {
      const upper = TEAM.replace('team', 'TEAM')
      expect(codes(await afterDot(server, [TEAM, upper]))).toEqual(['250', '250', '221'])
    },
  },
  {
    name: 'answers QUIT behind the dot after all recipients',
    source: 'RFC 2033 §4.2; Postfix takes a 221 too early for a delivery, and the mail is lost',
    run: async server => {
      const lines = await afterDot(server, [TEAM, TEAM, TEAM, OPEN])
      expect(codes(lines).indexOf('221')).toBe(4)
    },
  },
  {
    name: 'gives the replies in the order of the recipients',
    source: 'RFC 2033 §4.2',
    run: async server => {
      const message = `Subject: x\r\n\r\n${'x'.repeat(1500)}\r\n`
      expect(codes(await afterDot(server, [TEAM, SMALL, OPEN], message))).toEqual([
        '250',
        '552',
        '250',
        '221',
      ])
      expect(codes(await afterDot(server, [SMALL, TEAM], message))).toEqual(['552', '250', '221'])
    },
  },
  {
    name: 'gives replies to the recipients that it took, and to no others',
    source: 'RFC 2033 §4.2',
    run: async server => {
      expect(codes(await afterDot(server, [ELSEWHERE, TEAM, ELSEWHERE, OPEN]))).toEqual(['250', '250', '221'])
    },
  },
  {
    name: 'takes another message on the same connection',
    source: 'RFC 5321 §3.3',
    run: async server => {
      await session(server, async client => {
        for (const recipients of [[TEAM, OPEN], [OPEN]]) {
          client.send(FROM, ...recipients.map(to), 'DATA')
          await client.replies(recipients.length + 2)
          client.write(`${MESSAGE}.\r\nNOOP\r\n`)
          expect(codes(await client.replies(recipients.length + 1))).toEqual(
            [...recipients, ''].map(() => '250'),
          )
        }
      })
    },
  },
  {
    name: 'refuses with the code of the reason: 550 5.7.2 and no other enhanced code',
    source: 'RFC 2034 §4, RFC 3463 §3.8',
    run: async server => {
      expect((await asked(server, [FROM, to(REFUSED)], 'callout')).at(-1)).toMatch(/^550 5\.7\.2 (?!\d\.\d)/)
    },
  },
  {
    name: 'puts one enhanced code of the right class on every reply',
    source: 'RFC 2034 §4',
    run: async server => {
      const commands = ['NOOP', 'XYZZY', FROM, FROM, to(TEAM), to(REFUSED), 'RSET', 'DATA', 'VRFY x']
      for (const reply of await asked(server, commands)) {
        expect(reply).toMatch(/^([245])\d\d \1\.\d{1,3}\.\d{1,3} (?!\d\.\d)/)
      }
      for (const reply of await afterDot(server, [TEAM, OPEN])) {
        expect(reply).toMatch(/^2\d\d 2\.\d{1,3}\.\d{1,3} /)
      }
    },
  },
  {
    name: 'puts no enhanced code on the greeting, LHLO and 354',
    source: 'RFC 2034 §4',
    run: async server => {
      const client = await LmtpClient.connect(server.address)
      const lines = [...(await client.reply()).lines, ...(await client.ask('LHLO mx.example.org')).lines]
      await client.ask(FROM)
      await client.ask(to(TEAM))
      lines.push(...(await client.ask('DATA')).lines)
      client.destroy()
      for (const line of lines) expect(line).not.toMatch(/^\d{3}[ -]\d\.\d/)
    },
  },
  {
    name: 'keeps its replies within 512 octets',
    source: 'RFC 5321 §4.5.3.1.5',
    run: async server => {
      const long = `${'x'.repeat(180)}@${'lists.'.repeat(30)}example.org`
      for (const reply of await asked(server, [FROM, to(long), `X${'x'.repeat(480)}`])) {
        expect(Buffer.byteLength(reply, 'latin1') + 2).toBeLessThanOrEqual(512)
      }
    },
  },
]
