/**
 * What an LMTP server must do, as cases that run against any of them: the rules of RFC 2033 and of the RFCs below it,
 * and what MTAs do in practice that costs mail where a server is not prepared for it.
 *
 * Each case says where it comes from. The server under test tells which recipients it takes and gives its messages.
 */
import { expect } from 'vitest'
import { type LmtpAddress, LmtpClient } from '../support/lmtp-client.ts'

/** A server under test. It takes messages of up to `MAX_SIZE`. */
export interface LmtpServer {
  readonly address: LmtpAddress
  /** Messages that were taken, with the recipients of each, since the server began. */
  readonly messages: readonly { readonly bytes: Buffer; readonly recipients: readonly string[] }[]
}

/** Recipients that every server under test knows. */
export const TEAM = 'team@lists.example.org'
export const OPEN = 'open@lists.example.org'
/** Refused at RCPT with `550 5.7.2`. */
export const REFUSED = 'refused@lists.example.org'
/** Taken at RCPT, and refused with a 552 after a message of more than 1000 octets. */
export const SMALL = 'small@lists.example.org'
/** The server takes no larger message. */
export const MAX_SIZE = 1_500_000

export interface LmtpCase {
  readonly name: string
  readonly source: string
  readonly run: (server: LmtpServer) => Promise<void>
}

const FROM = 'MAIL FROM:<alice@example.net>'
const MESSAGE = 'Subject: x\r\n\r\nHello.\r\n'

const to = (recipient: string): string => `RCPT TO:<${recipient}>`

/** Runs a session in which every command is sent after the reply to the one before. Greeted, LHLO said. */
async function session<T>(server: LmtpServer, use: (client: LmtpClient) => Promise<T>): Promise<T> {
  const client = await LmtpClient.connect(server.address)
  try {
    await client.reply()
    await client.ask('LHLO mx.example.org')
    return await use(client)
  } finally {
    client.destroy()
  }
}

/** Sends a transaction in one packet up to DATA, and then the message with QUIT behind it; gives what came after 354. */
async function afterDot(
  server: LmtpServer,
  recipients: readonly string[],
  message: string | Buffer = MESSAGE,
): Promise<readonly string[]> {
  return session(server, async client => {
    client.send(FROM, ...recipients.map(to), 'DATA')
    const replies = await client.replies(recipients.length + 2)
    expect(replies.at(-1)).toMatch(/^354/)
    client.write(message)
    client.write('.\r\nQUIT\r\n')
    return (await client.rest()).split('\r\n').slice(0, -1)
  })
}

/** The reply to each command, one after the other. */
async function asked(server: LmtpServer, commands: readonly string[]): Promise<readonly string[]> {
  return session(server, async client => {
    const replies: string[] = []
    for (const command of commands) replies.push((await client.ask(command)).text)
    return replies
  })
}

const codes = (lines: readonly string[]): readonly string[] => lines.map(line => line.slice(0, 3))

async function lastMessage(server: LmtpServer, message: string): Promise<string | undefined> {
  const before = server.messages.length
  await afterDot(server, [TEAM], Buffer.from(message, 'latin1'))
  return server.messages[before]?.bytes.toString('latin1')
}

/** A case in which a command, said after a proper LHLO, is answered with a code like this. */
function answered(name: string, source: string, commands: readonly string[], want: RegExp): LmtpCase {
  return {
    name,
    source,
    run: async server => expect((await asked(server, commands)).at(-1)).toMatch(want),
  }
}

/** A case in which an address that is delivered elsewhere every day is not refused for good. */
function takenSender(name: string, path: string): LmtpCase {
  return answered(`takes a sender ${name}`, 'RFC 5321 §4.1.2, practice', [`MAIL FROM:${path}`], /^250/)
}

const SESSION: readonly LmtpCase[] = [
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
        client.send(FROM, to(REFUSED), to(REFUSED), 'DATA', 'RSET', 'QUIT')
        expect(codes(await client.replies(6))).toEqual(['250', '550', '550', '503', '250', '221'])
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

const REPLIES: readonly LmtpCase[] = [
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
      expect(codes(await afterDot(server, [REFUSED, TEAM, REFUSED, OPEN]))).toEqual(['250', '250', '221'])
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
      expect((await asked(server, [FROM, to(REFUSED)])).at(-1)).toMatch(/^550 5\.7\.2 (?!\d\.\d)/)
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

const PIPELINING: readonly LmtpCase[] = [
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

const PARAMETERS: readonly LmtpCase[] = [
  answered(
    'refuses a message that is declared too big',
    'RFC 1870 §6.1',
    [`${FROM} SIZE=${MAX_SIZE + 1}`],
    /^552/,
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
  ),
]

const ADDRESSES: readonly LmtpCase[] = [
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
      await session(server, async client => {
        client.write(Buffer.from('MAIL FROM:<j\xfcrgen@example.net>\r\n', 'latin1'))
        expect((await client.reply()).text).toMatch(/^5/)
      })
    },
  },
]

/** Text in which only CR LF . CR LF would end the message. */
const NOT_THE_END = 'one\n.\ntwo\n.\r\nthree\r.\r\nfour\r.\rfive\r\n'

const DATA: readonly LmtpCase[] = [
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
          client.write(`${line.repeat(1_000_000 / line.length)}.\r\n`)
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

export const LMTP_CASES: readonly LmtpCase[] = [
  ...SESSION,
  ...REPLIES,
  ...PIPELINING,
  ...PARAMETERS,
  ...ADDRESSES,
  ...DATA,
]
