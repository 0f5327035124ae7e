/** Conformance of LMTP: the order of commands, pipelining, and what ends a session. */
import { expect } from 'vitest'
import { LmtpClient } from '../support/lmtp-client.ts'
import {
  answered,
  asked,
  codes,
  ELSEWHERE,
  FROM,
  type LmtpCase,
  MESSAGE,
  OPEN,
  REFUSED,
  session,
  TEAM,
  to,
} from './lmtp-case.ts'

export const SESSION_CASES: readonly LmtpCase[] = [
  {
    name: 'greets with 220 and its name, at once',
    source: 'RFC 5321 §4.2; practice: every delivery waits for it',
    run: async server => {
      // The fastest of some: the machine may be busy, a server that waits on purpose is never fast.
      const times: number[] = []
      for (let count = 0; count < 5; count++) {
        const started = performance.now()
        const client = await LmtpClient.connect(server.address)
        expect((await client.reply()).text).toMatch(/^220 \S+/)
        client.destroy()
        times.push(performance.now() - started)
      }
      expect(Math.min(...times)).toBeLessThan(90)
    },
  },
  {
    name: 'takes commands that were sent before the greeting',
    source: 'Exim hosts_pipe_connect',
    run: async server => {
      const client = await LmtpClient.connect(server.address)
      client.send('LHLO mx.example.org', 'NOOP', 'QUIT')
      expect(await client.rest()).toMatch(/^220 [\s\S]*\r\n250 [^\r\n]*\r\n250 [^\r\n]*\r\n221 /)
    },
  },
  ...['PIPELINING', 'ENHANCEDSTATUSCODES', '8BITMIME'].map(
    (keyword): LmtpCase => ({
      name: `offers ${keyword}`,
      source: 'RFC 2033 §5',
      run: async server => {
        const client = await LmtpClient.connect(server.address)
        await client.reply()
        const { code, lines } = await client.ask('LHLO mx.example.org')
        client.destroy()
        expect(code).toBe(250)
        expect(lines.map(line => line.slice(4))).toContain(keyword)
      },
    }),
  ),
  ...['HELO', 'EHLO'].map(
    (verb): LmtpCase => ({
      name: `refuses ${verb} with 500`,
      source: 'RFC 2033 §4.1',
      run: async server => {
        const client = await LmtpClient.connect(server.address)
        await client.reply()
        const { code } = await client.ask(`${verb} mx.example.org`)
        client.destroy()
        expect(code).toBe(500)
      },
    }),
  ),
  {
    name: 'wants LHLO before MAIL',
    source: 'RFC 2033 §4.1, RFC 5321 §4.1.4',
    run: async server => {
      const client = await LmtpClient.connect(server.address)
      await client.reply()
      const { code } = await client.ask(FROM)
      client.destroy()
      expect(code).toBe(503)
    },
  },
  answered('refuses RCPT before MAIL', 'RFC 5321 §4.1.4', [to(TEAM)], /^503/),
  answered(
    'refuses RCPT after a MAIL that was refused',
    'practice: callouts go on',
    ['MAIL FROM:<x', to(TEAM)],
    /^503/,
  ),
  answered('refuses a second MAIL', 'RFC 5321 §4.1.4', [FROM, FROM], /^503/),
  answered('refuses DATA before RCPT', 'RFC 2033 §4.2', [FROM, 'DATA'], /^503/),
  {
    name: 'refuses DATA after nothing but refused recipients, pipelined',
    source: 'RFC 2033 §4.2; Postfix has sent DATA by then',
    run: async server => {
      await session(server, async client => {
        client.send(FROM, to(ELSEWHERE), to(ELSEWHERE), 'DATA', 'RSET', 'QUIT')
        expect(codes(await client.replies(6))).toEqual(['250', '451', '451', '503', '250', '221'])
      })
    },
  },
  answered('forgets the transaction at RSET', 'RFC 5321 §4.1.1.5', [FROM, to(TEAM), 'RSET', 'DATA'], /^503/),
  answered('forgets the transaction at LHLO', 'RFC 5321 §4.1.4', [FROM, to(TEAM), 'LHLO x', 'DATA'], /^503/),
  answered('takes NOOP with words', 'RFC 5321 §4.1.1.9', ['NOOP with words'], /^250/),
  answered('answers VRFY', 'RFC 5321 §3.5.1', ['VRFY team'], /^25[02]|^502/),
  answered('does not know WIZ', 'RFC 5321 §4.2.4', ['WIZ'], /^50[02]/),
  answered('does not take BDAT that it has not offered', 'RFC 3030', ['BDAT 0'], /^50[02]/),
  {
    name: 'closes after QUIT',
    source: 'RFC 5321 §4.1.1.10',
    run: async server => {
      await session(server, async client => {
        client.send('QUIT')
        expect(await client.rest()).toMatch(/^221 [^\r\n]*\r\n$/)
      })
    },
  },
]

export const PIPELINING_CASES: readonly LmtpCase[] = [
  {
    name: 'answers commands in one packet as it answers them one by one',
    source: 'RFC 2920 §3.2',
    run: async server => {
      const commands = ['NOOP', FROM, to(TEAM), to(REFUSED), FROM, 'RSET', to(TEAM), 'XYZZY', 'NOOP']
      const single = await asked(server, commands)
      await session(server, async client => {
        client.send(...commands)
        expect(await client.replies(commands.length)).toEqual(single)
      })
    },
  },
  {
    name: 'answers a client that has sent everything and closed its side',
    source: 'practice: scripts, nc',
    run: async server => {
      const client = await LmtpClient.connect(server.address)
      await client.reply()
      client.send('LHLO mx.example.org', FROM, to(TEAM), to(OPEN), 'DATA', MESSAGE, '.')
      client.finish()
      const [, afterData = ''] = (await client.rest()).split(/^354 .*\r\n/m)
      expect(codes(afterData.split('\r\n').slice(0, -1))).toEqual(['250', '250'])
    },
  },
  {
    name: 'takes at least 100 recipients',
    source: 'RFC 5321 §4.5.3.1.8',
    run: async server => {
      await session(server, async client => {
        client.send(FROM, ...new Array<string>(100).fill(to(TEAM)))
        expect(new Set(codes(await client.replies(101)))).toEqual(new Set(['250']))
      })
    },
  },
  answered('takes a command of 512 octets', 'RFC 5321 §4.5.3.1.4', [`NOOP ${'x'.repeat(505)}`], /^250/),
  {
    name: 'refuses a command of 100 000 octets',
    source: 'RFC 5321 §4.5.3.1.4, §4.2.4',
    run: async server => {
      await session(server, async client => {
        client.send(`NOOP ${'x'.repeat(100_000)}`)
        expect((await client.reply()).code).toBeGreaterThanOrEqual(421)
      })
    },
  },
]
