/** Conformance of LMTP: the message itself, and where it ends. */
import { expect } from 'vitest'
import { afterDot, codes, FROM, type LmtpCase, lastMessage, OPEN, session, TEAM, to } from './lmtp-case.ts'

/** Text in which only CR LF . CR LF would end the message. */
const NOT_THE_END = 'one\n.\ntwo\n.\r\nthree\r.\r\nfour\r.\rfive\r\n'

export const DATA_CASES: readonly LmtpCase[] = [
  {
    name: 'ends the message at CR LF . CR LF and nowhere else',
    source: 'RFC 5321 §4.1.1.4, §2.3.8 (SMTP smuggling)',
    run: async server => expect(await lastMessage(server, NOT_THE_END)).toBe(NOT_THE_END),
  },
  {
    name: 'takes out the dots that the client has stuffed',
    source: 'RFC 5321 §4.5.2',
    run: async server => expect(await lastMessage(server, '..\r\n...a\r\nb\r\n')).toBe('.\r\n..a\r\nb\r\n'),
  },
  {
    name: 'takes out a dot at the beginning of any other line, too',
    source: 'RFC 5321 §4.5.2',
    run: async server => expect(await lastMessage(server, '.a\r\n.b\r\n')).toBe('a\r\nb\r\n'),
  },
  {
    name: 'leaves a dot after a bare LF where it is',
    source: 'RFC 5321 §4.5.2: a line begins after CR LF',
    run: async server => expect(await lastMessage(server, 'a\n..b\n.c\r\n')).toBe('a\n..b\n.c\r\n'),
  },
  {
    name: 'takes an empty message',
    source: 'RFC 5321 §4.1.1.4',
    run: async server => expect(await lastMessage(server, '')).toBe(''),
  },
  {
    name: 'keeps every octet',
    source: 'RFC 6152',
    run: async server => {
      const octets = Buffer.from(Array.from({ length: 512 }, (_, index) => index % 256)).toString('latin1')
      expect(await lastMessage(server, `${octets}\r\n`)).toBe(`${octets}\r\n`)
    },
  },
  {
    name: 'takes lines that are longer than they should be',
    source: 'practice: MTAs send them',
    run: async server => {
      const line = `${'x'.repeat(60_000)}\r\n`
      expect(await lastMessage(server, line)).toBe(line)
    },
  },
  {
    name: 'reads stuffed lines about as fast as others',
    source: 'practice: a few megabytes of them must not stop a server for seconds',
    run: async server => {
      const timed = (line: string): Promise<number> =>
        session(server, async client => {
          client.send(FROM, to(TEAM), 'DATA')
          await client.replies(3)
          const started = performance.now()
          client.write(`Subject: x\r\n\r\n${line.repeat(1_000_000 / line.length)}.\r\n`)
          expect((await client.reply()).code).toBe(250)
          return performance.now() - started
        })
      const plain = await timed('ab\r\n')
      expect(await timed('..\r\n')).toBeLessThan(8 * plain + 250)
    },
  },
  {
    name: 'does not obey commands that end in LF alone',
    source: 'RFC 5321 §2.3.8',
    run: async server => {
      await session(server, async client => {
        client.write('NOOP\n')
        client.send('NOOP')
        expect((await client.reply()).code).toBe(500)
      })
    },
  },
  {
    name: 'forgets a message whose client is gone in its middle, and serves the next',
    source: 'RFC 5321 §4.1.1.4',
    run: async server => {
      const before = server.messages.length
      await session(server, async client => {
        client.send(FROM, to(TEAM), 'DATA')
        await client.replies(3)
        client.write('Subject: half a mess')
      })
      expect(codes(await afterDot(server, [OPEN]))).toEqual(['250', '221'])
      expect(server.messages.length).toBe(before + 1)
    },
  },
]
