/** A real Postfix with the milter on either engine: what its clients are told, and what becomes of their mail. */
import { execFile, execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import type { Conduct } from '../../src/milter/question.ts'
import { leaveOut } from '../support/parts.ts'
import { type Postfix, startPostfix, whyNoPostfix } from '../support/postfix.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { startTrap, type Trap, type TrappedMessage } from '../support/trap.ts'
import { type Engine, type EngineName, type Place, placeFor, startEngine } from './engine.ts'
import { requireLibmilter } from './libmilter-host.ts'

const OK = expect.stringMatching(/^250 /)
const REFUSED = '550 5.7.2 You are not permitted to post to team@lists.example.org'
const NULL_SENDER = '550 5.7.2 The null sender may not post to a list, and every recipient is one'

const MAIN_CF = (sink: Trap, patience = 10): string => `
milter_command_timeout = ${patience}s
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = lists.example.org
virtual_mailbox_maps =
virtual_transport = lmtp:inet:127.0.0.1:${sink.endpoint.port}
relay_domains = elsewhere.example
relay_recipient_maps =
local_header_rewrite_clients =
`

const leftOut = leaveOut('milter with Postfix', whyNoPostfix()) !== undefined

/** Why suites with an engine cannot run here. */
const isLeftOut = (engine: EngineName): boolean =>
  leftOut || (engine === 'libmilter' && requireLibmilter() !== undefined)

interface Setup {
  readonly engine: EngineName
  readonly socket: Endpoint['kind']
  readonly choices: Pick<Conduct, 'hold' | 'traceHeader'>
  /** Whether it hears of a recipient after a refused DATA; libmilter is silent on it, and Postfix waits in vain. */
  readonly hearsAfterRefusedData: boolean
  /** Postfix's `milter_command_timeout`, in seconds. */
  readonly patience: number
}

const SETUPS: readonly Setup[] = [
  {
    engine: 'native',
    socket: 'tcp',
    choices: { hold: 'sink', traceHeader: true },
    hearsAfterRefusedData: true,
    patience: 10,
  },
  {
    engine: 'native',
    socket: 'unix',
    choices: { hold: 'quarantine', traceHeader: false },
    hearsAfterRefusedData: true,
    patience: 10,
  },
  {
    engine: 'libmilter',
    socket: 'unix',
    choices: { hold: 'quarantine', traceHeader: true },
    hearsAfterRefusedData: false,
    patience: 5,
  },
]

const socketOf = (endpoint: Endpoint): string =>
  endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `inet:${endpoint.host}:${endpoint.port}`

for (const { engine, socket, choices, hearsAfterRefusedData, patience } of SETUPS) {
  describe.skipIf(isLeftOut(engine))(`Postfix and the milter, ${engine} on ${socket}`, () => {
    let place: Place
    let milter: Engine
    let sink: Trap
    let postfix: Postfix
    let seen = 0
    /** What Postfix is meant to say of the milter in this case. */
    let complaints: readonly unknown[] = []
    let logBefore = 0
    const clients: SmtpClient[] = []

    beforeAll(async () => {
      place = await placeFor(socket)
      milter = await startEngine(engine, place.endpoint, choices)
      sink = await startTrap({ lmtp: true })
      postfix = await startPostfix({
        snippets: ['main.cf.milter'],
        replace: { 'inet:127.0.0.1:10041': socketOf(place.endpoint) },
        mainCf: MAIN_CF(sink, patience),
      })
    })

    afterAll(async () => {
      await postfix?.stop()
      await sink?.stop()
      await milter?.stop()
      place?.remove()
    })

    afterEach(() => {
      for (const client of clients.splice(0)) client.destroy()
      // Neither a bounce was sent, nor was anything wrong with what the two said to each other.
      expect(
        postfix.sent.filter(({ recipients }) => recipients.some(to => !to.endsWith('@elsewhere.example'))),
      ).toEqual([])
      expect(milter.lines()).toEqual([])
      const log = postfix.log().slice(logBefore)
      logBefore += log.length
      expect(log.match(/warning: (?:milter|unexpected filter|malformed).*/g) ?? []).toEqual(complaints)
      complaints = []
    })

    async function client(greeting = 'EHLO client.example'): Promise<SmtpClient> {
      const made = await SmtpClient.connect(postfix.endpoint)
      clients.push(made)
      expect(await made.command(greeting)).toMatch(/^250/)
      return made
    }

    /** What the sink was handed since the last time, once nothing is on its way any more. */
    async function delivered(): Promise<readonly TrappedMessage[]> {
      await postfix.waitForEmptyQueue()
      const messages = sink.messages.slice(seen)
      seen = sink.messages.length
      return messages
    }

    const recipients = (messages: readonly TrappedMessage[]): string[] =>
      messages.flatMap(m => m.recipients).sort()

    test('a stranger is refused at RCPT, in the words of the list alone', async () => {
      const smtp = await client()
      expect(await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<team@lists.example.org>')).toEqual([
        OK,
        REFUSED,
      ])
      expect(await smtp.command('DATA')).toMatch(/^554 5\.5\.1 /)
      expect(await delivered()).toEqual([])
    })

    test('phases before RCPT', async () => {
      const smtp = await client()
      expect(await smtp.command('MAIL FROM:<never@example.com>')).toBe(
        '550 5.7.1 This sender may not post to any list here',
      )
      expect(await smtp.command('XCLIENT ADDR=192.0.2.66 NAME=host.refused.example')).toMatch(/^220 /)
      await smtp.command('EHLO client.example')
      expect(await smtp.command('MAIL FROM:<alice@example.net>')).toBe(
        '550 5.7.1 This host may not send mail here',
      )
    })

    test("a member's message is delivered", async () => {
      const smtp = await client()
      await smtp.dialogue('MAIL FROM:<alice@example.net> BODY=8BITMIME', 'RCPT TO:<Team@LISTS.example.org>')
      expect(await smtp.data('From: alice@example.net\r\nSubject: Grüße\r\n\r\n.dots\r\n')).toEqual(OK)
      const [message, ...more] = await delivered()
      expect(more).toEqual([])
      expect(message?.recipients).toEqual(['Team@LISTS.example.org'])
      const text = message?.content.toString() ?? ''
      expect(text.endsWith('From: alice@example.net\r\nSubject: Grüße\r\n\r\n.dots\r\n')).toBe(true)
      expect(text.startsWith('X-Postern: accept (sender-permitted)\r\n')).toBe(choices.traceHeader)
    })

    test('one of two recipients is refused, the other gets it', async () => {
      const smtp = await client()
      expect(
        await smtp.pipeline(
          'MAIL FROM:<eve@example.com>',
          'RCPT TO:<team@lists.example.org>',
          'RCPT TO:<open@lists.example.org>',
          'RCPT TO:<nosuch@lists.example.org>',
        ),
      ).toEqual([OK, REFUSED, OK, '550 5.1.1 There is no list nosuch@lists.example.org'])
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
      expect(recipients(await delivered())).toEqual(['open@lists.example.org'])
    })

    test.each([
      '<silent@lists.example.org>',
      'silent@lists.example.org',
      '<Silent@LISTS.example.org.>',
      '<@relay.example:silent@lists.example.org>',
      '<<silent@lists.example.org>>',
      '<silent@lists.example.org\t>',
      '<silent (hush) @lists.example.org>',
      '<"silent"@lists.example.org>',
    ])('dropped for one of two, written %s: the other gets it alone', async path => {
      const smtp = await client()
      await smtp.dialogue(
        'MAIL FROM:<eve@example.com>',
        'RCPT TO:<open@lists.example.org>',
        `RCPT TO:${path}`,
      )
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
      expect(recipients(await delivered())).toEqual(['open@lists.example.org'])
    })

    test('dropped for all', async () => {
      const smtp = await client()
      await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<silent@lists.example.org>')
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
      expect(await delivered()).toEqual([])
    })

    test('held: kept by the MTA if the site says so, and otherwise by the sink', async () => {
      const smtp = await client()
      await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<moderated@lists.example.org>')
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
      if (choices.hold === 'sink')
        expect(recipients(await delivered())).toEqual(['moderated@lists.example.org'])
      else {
        const held = readdirSync(join(postfix.queueDirectory, 'hold'))
        expect(held).toHaveLength(1)
        expect(await postfix.waitForLog(/milter-hold: END-OF-MESSAGE/)).toContain(held[0])
        execFileSync('postsuper', ['-c', postfix.configDirectory, '-d', 'ALL', 'hold'], { stdio: 'ignore' })
        expect(await delivered()).toEqual([])
      }
    })

    test('the null sender is refused at DATA, and at BDAT', async () => {
      const smtp = await client()
      expect(await smtp.dialogue('MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>', 'DATA')).toEqual([
        OK,
        OK,
        NULL_SENDER,
      ])
      expect(await smtp.dialogue('RSET', 'MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>')).toEqual([
        OK,
        OK,
        OK,
      ])
      expect(await smtp.bdat('Subject: x\r\n\r\nhi\r\n')).toBe(NULL_SENDER)
      expect(await smtp.dialogue('RSET', 'MAIL FROM:<>', 'RCPT TO:<team-bounces@lists.example.org>')).toEqual(
        [OK, OK, OK],
      )
      expect(await smtp.data('Subject: bounce\r\n\r\nhi\r\n')).toEqual(OK)
      expect(recipients(await delivered())).toEqual(['team-bounces@lists.example.org'])
    })

    test('a recipient after a refused DATA, in the same transaction', async () => {
      const smtp = await client()
      await smtp.dialogue('MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>', 'DATA')
      if (!hearsAfterRefusedData) {
        expect(await smtp.command('RCPT TO:<team-owner@lists.example.org>')).toMatch(/^451 4\.7\.1 /)
        expect(await smtp.command('RSET')).toEqual(OK)
        await postfix.waitForLog(/SMFIC_RCPT.*timed out/)
        complaints = [expect.stringMatching(/SMFIC_RCPT.*timed out/)]
        expect(await delivered()).toEqual([])
        return
      }
      expect(await smtp.command('RCPT TO:<team-owner@lists.example.org>')).toEqual(OK)
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
      // The list's copy goes to the sink, which holds it: nobody could be told any more.
      expect(recipients(await delivered())).toEqual([
        'team-owner@lists.example.org',
        'team@lists.example.org',
      ])
    })

    test('the author settles it at the end, still inside the dialogue', async () => {
      const smtp = await client()
      await smtp.dialogue('MAIL FROM:<bounce@esp.example>', 'RCPT TO:<author@lists.example.org>')
      expect(await smtp.data('From: eve@example.com\r\n\r\nhi\r\n')).toBe(
        '550 5.7.2 You are not permitted to post to author@lists.example.org',
      )
      await smtp.dialogue(
        'MAIL FROM:<bounce@esp.example>',
        'RCPT TO:<author@lists.example.org>',
        'RCPT TO:<authors@lists.example.org>',
      )
      expect(await smtp.data('From: eve@example.com\r\n\r\nhi\r\n')).toBe(
        '550-5.7.2 You are not permitted to post to author@lists.example.org\n550 5.7.2 You are not permitted to post to authors@lists.example.org',
      )
      await smtp.dialogue(
        'MAIL FROM:<bounce@esp.example>',
        'RCPT TO:<open@lists.example.org>',
        'RCPT TO:<authors@lists.example.org>',
      )
      expect(await smtp.data('From: eve@example.com\r\n\r\nhi\r\n')).toEqual(OK)
      expect(recipients(await delivered())).toEqual(['open@lists.example.org'])
    })

    test('too big is told at the end, by the size that came', async () => {
      const smtp = await client()
      await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<small@lists.example.org>')
      const big = `Subject: x\r\n\r\n${'0123456789\r\n'.repeat(12_000)}`
      expect(await smtp.data(big)).toBe(
        '552 5.3.4 The message is larger than the 200 bytes that small@lists.example.org takes',
      )
      expect(await delivered()).toEqual([])
    })

    test('mail that is none of ours goes its way, and lists in between are judged', async () => {
      const before = await milter.otherMessages()
      const smtp = await client()
      await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<bob@elsewhere.example>')
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
      expect(await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<team@lists.example.org>')).toEqual([
        OK,
        REFUSED,
      ])
      expect(await delivered()).toEqual([])
      expect(await milter.otherMessages()).toBe(before + 1)
    })

    test('clients that break off, in every phase', async () => {
      const script = ['MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>', 'DATA']
      for (let length = 0; length <= script.length; length++) {
        const smtp = await client()
        await smtp.dialogue(...script.slice(0, length))
        if (length === script.length) smtp.send('Subject: half a mess')
        smtp.destroy()
      }
      const silent = await SmtpClient.open(postfix.endpoint)
      silent.destroy()
      const smtp = await client()
      await smtp.dialogue(...script.slice(0, 2))
      expect(await smtp.data('Subject: whole\r\n\r\nhi\r\n')).toEqual(OK)
      expect(await delivered()).toHaveLength(1)
    })

    test('several messages on one connection, with RSET, EHLO and unknown commands in between', async () => {
      const smtp = await client()
      for (let i = 0; i < 3; i++) {
        expect(
          await smtp.pipeline(
            'MAIL FROM:<eve@example.com>',
            'RCPT TO:<team@lists.example.org>',
            'RSET',
            'NOOP',
          ),
        ).toEqual([OK, REFUSED, OK, OK])
        await smtp.command('MAIL FROM:<alice@example.net>')
        await smtp.command('EHLO again.example')
        expect(await smtp.command('NOSUCH')).toMatch(/^500 /)
        expect(
          await smtp.pipeline('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>'),
        ).toEqual([OK, OK])
        expect(await smtp.data(`Subject: ${i}\r\n\r\nhi\r\n`)).toEqual(OK)
      }
      expect(await delivered()).toHaveLength(3)
    })

    test('20 parallel sessions', async () => {
      const source = (from: string, ...options: string[]): Promise<unknown> =>
        promisify(execFile)('smtp-source', [
          ...['-s', '20', '-m', '100', '-l', '2000', '-f', from, '-t', 'team@lists.example.org', ...options],
          `127.0.0.1:${postfix.endpoint.port}`,
        ])
      await source('alice@example.net')
      expect(await delivered()).toHaveLength(100)
      // Refused at RCPT: smtp-source goes on to the next message with -A, and fails at the end without.
      await expect(source('eve@example.com')).rejects.toThrow('You are not permitted')
      expect(await delivered()).toEqual([])
    })
  })
}

describe.each([
  ['native', 'tcp'],
  ['libmilter', 'unix'],
] as const)('Postfix without its milter, %s on %s', (engine, socket) => {
  test.skipIf(isLeftOut(engine))(
    'does its default action, and is well again with the next session',
    async () => {
      const sink = await startTrap({ lmtp: true })
      const place = await placeFor(socket)
      const postfix = await startPostfix({
        snippets: ['main.cf.milter'],
        replace: { 'inet:127.0.0.1:10041': socketOf(place.endpoint) },
        mainCf: MAIN_CF(sink),
      })
      let milter: Engine | undefined
      try {
        const away = await SmtpClient.connect(postfix.endpoint)
        await away.command('EHLO client.example')
        expect(await away.command('MAIL FROM:<alice@example.net>')).toMatch(/^451 4\.7\.1 /)
        milter = await startEngine(engine, place.endpoint)
        // What failed at the beginning of a session stays so until its end.
        expect(await away.dialogue('RSET', 'MAIL FROM:<alice@example.net>')).toEqual([
          OK,
          expect.stringMatching(/^451 /),
        ])
        const back = await SmtpClient.connect(postfix.endpoint)
        expect(
          await back.dialogue(
            'EHLO x.example',
            'MAIL FROM:<eve@example.com>',
            'RCPT TO:<team@lists.example.org>',
          ),
        ).toEqual([expect.stringMatching(/^250/), OK, REFUSED])
        await back.command('RSET')
        await milter.stop()
        milter = undefined
        expect(await back.command('MAIL FROM:<alice@example.net>')).toMatch(/^451 4\.7\.1 /)
        away.destroy()
        back.destroy()
        expect(sink.messages).toEqual([])
      } finally {
        await milter?.stop()
        await postfix.stop()
        await sink.stop()
        place.remove()
      }
    },
  )
})
