/** A real Sendmail with the milter on either engine: what its clients are told, and what becomes of their mail. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { leaveOut } from '../support/parts.ts'
import { whyNoSendmail } from '../support/sendmail.ts'
import { requireLibmilter } from './libmilter-host.ts'
import {
  type Choices,
  type Engine,
  type EngineName,
  REFUSED_MTA,
  SendmailSite,
  startEngine,
  UNKNOWN_MTA,
} from './sendmail-site.ts'

const OK = expect.stringMatching(/^250 /)
const ACCEPTED = expect.stringMatching(/^250 2\.0\.0 \w+ Message accepted for delivery$/)
const LATER = '451 4.3.2 Please try again later'
const REFUSED =
  '550 5.7.2 <team@lists.example.org>... You are not permitted to post to team@lists.example.org'
const NULL_SENDER = '550 5.7.2 The null sender may not post to a list, and every recipient is one'

const withoutSendmail = leaveOut('milter with Sendmail', whyNoSendmail()) !== undefined

/** Why suites with an engine cannot run here. */
const isLeftOut = (engine: EngineName): boolean =>
  withoutSendmail || (engine === 'libmilter' && requireLibmilter() !== undefined)

interface Setup extends Required<Choices> {
  readonly engine: EngineName
  readonly socket: 'tcp' | 'unix'
}

const SETUPS: readonly Setup[] = [
  { engine: 'native', socket: 'tcp', hold: 'sink', traceHeader: false },
  { engine: 'native', socket: 'unix', hold: 'quarantine', traceHeader: true },
  { engine: 'libmilter', socket: 'unix', hold: 'sink', traceHeader: true },
]

const RECEIVED = /^Received: from client\.example \(localhost \[127\.0\.0\.1\]\)\r\n(?:[ \t].*\r\n)+/m

for (const { engine: name, socket, ...choices } of SETUPS) {
  describe.skipIf(isLeftOut(name))(`Sendmail and the milter, ${name} on ${socket}`, () => {
    let site: SendmailSite
    let engine: Engine

    beforeAll(async () => {
      site = await SendmailSite.start(socket)
      engine = await startEngine(name, site.milter, choices)
    })

    afterAll(async () => {
      await site?.stop()
      await engine?.stop()
    })

    afterEach(async () => {
      // Neither a bounce was sent, nor was anything left or wrong with what the two said to each other.
      expect(await site.settled()).toEqual([])
      site.leftToSink()
      expect(engine.problems()).toEqual([])
    })

    const folders = async (): Promise<string[]> => (await site.delivered()).map(([folder]) => folder)

    const leftToSink = (): string[] => site.leftToSink().map(address => address.split('@')[0] ?? '')

    test('a stranger is refused at RCPT, in the words of the list', async () => {
      const smtp = await site.client()
      expect(
        await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<team@lists.example.org>', 'DATA'),
      ).toEqual([OK, REFUSED, '503 5.0.0 Need RCPT (recipient)'])
      expect(await folders()).toEqual([])
    })

    test('a list that does not exist, and one that is paused', async () => {
      const smtp = await site.client()
      expect(
        await smtp.dialogue(
          'MAIL FROM:<alice@example.net>',
          'RCPT TO:<nosuch@lists.example.org>',
          'RCPT TO:<paused@lists.example.org>',
        ),
      ).toEqual([
        OK,
        '550 5.1.1 <nosuch@lists.example.org>... There is no list nosuch@lists.example.org',
        // What is only for now stands as it is.
        '451 4.2.4 The list paused@lists.example.org is paused; try again later',
      ])
    })

    test('a forbidden sender is refused at MAIL', async () => {
      const smtp = await site.client()
      expect(await smtp.command('MAIL FROM:<never@example.com>')).toBe(
        '550 5.7.1 <never@example.com>... This sender may not post to any list here',
      )
      expect(await smtp.command('MAIL FROM:<alice@example.net>')).toEqual(OK)
    })

    test.each([
      ['that is not known', UNKNOWN_MTA, 'This host is not known here as a mail server'],
      ['that is refused', REFUSED_MTA, 'This host may not send mail here'],
    ])('a host %s is refused from EHLO on, and told at MAIL', async (_what, address, text) => {
      const smtp = await site.stranger(address)
      expect(await smtp.dialogue('EHLO x.example', 'MAIL FROM:<alice@example.net>', 'NOOP')).toEqual([
        `250-mx.example.org Hello [${address}], pleased to meet you\n250 ENHANCEDSTATUSCODES`,
        `550 5.7.1 ${text}`,
        OK,
      ])
    })

    test("a member's message is delivered as it was", async () => {
      const smtp = await site.client()
      expect(
        await smtp.dialogue(
          'MAIL FROM:<alice@example.net> BODY=8BITMIME',
          'RCPT TO:<Team@LISTS.example.org>',
        ),
      ).toEqual([OK, OK])
      const sent = 'From: alice@example.net\r\nSubject: Grüße\r\n\r\n.dots\r\n'
      expect(await smtp.data(sent)).toEqual(ACCEPTED)
      const copies = await site.delivered()
      const trace = choices.traceHeader ? 'X-Postern: accept (sender-permitted)\r\n' : ''
      expect(copies.map(([folder, text]) => [folder, text.replace(RECEIVED, '')])).toEqual([
        ['team', `${trace}${sent}`],
      ])
    })

    test('one of two recipients is refused, the other gets it', async () => {
      const smtp = await site.client()
      expect(
        await smtp.pipeline(
          'MAIL FROM:<eve@example.com>',
          'RCPT TO:<team@lists.example.org>',
          'RCPT TO:<open@lists.example.org>',
        ),
      ).toEqual([OK, REFUSED, OK])
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
      expect(await folders()).toEqual(['open'])
    })

    test.each([
      ['dropped', 'silent', ['open'], ['open']],
      ['held', 'moderated', ['moderated (held)', 'open'], ['moderated', 'open']],
    ])('%s for one of two recipients: the other gets it alone', async (_what, list, want, left) => {
      const smtp = await site.client()
      await smtp.dialogue(
        'MAIL FROM:<eve@example.com>',
        'RCPT TO:<open@lists.example.org>',
        `RCPT TO:<${list}@lists.example.org>`,
      )
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
      expect(await folders()).toEqual(want)
      expect(leftToSink()).toEqual(left)
    })

    // Every command takes its time on TCP; see docs/sendmail.md.
    if (socket === 'unix') {
      test.each([
        'silent@lists.example.org',
        '<Silent@LISTS.example.org.>',
        '<@relay.example:silent@lists.example.org>',
        '<silent@lists.example.org\t>',
        '<silent (hush) @lists.example.org>',
        '<"silent"@lists.example.org>',
      ])('a recipient written %s can be deleted', async path => {
        const smtp = await site.client()
        expect(
          await smtp.dialogue(
            'MAIL FROM:<eve@example.com>',
            'RCPT TO:<open@lists.example.org>',
            `RCPT TO:${path}`,
          ),
        ).toEqual([OK, OK, OK])
        expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
        expect(await folders()).toEqual(['open'])
        expect(leftToSink()).toEqual(['open'])
      })
    }

    test('dropped for all', async () => {
      const smtp = await site.client()
      await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<silent@lists.example.org>')
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
      expect(await folders()).toEqual([])
      expect(leftToSink()).toEqual([])
    })

    test('held for all: kept by the MTA if the site says so, and otherwise by the sink', async () => {
      const smtp = await site.client()
      await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<moderated@lists.example.org>')
      const reply = await smtp.data('Subject: x\r\n\r\nhi\r\n')
      expect(reply).toEqual(ACCEPTED)
      if (choices.hold === 'quarantine') {
        const id = reply.split(' ')[2] ?? ''
        expect(site.sendmail.quarantined()).toEqual([id])
        site.sendmail.removeQuarantined(id)
      }
      expect(await folders()).toEqual(choices.hold === 'sink' ? ['moderated (held)'] : [])
    })

    test('the null sender is accepted at RCPT, and refused at DATA', async () => {
      const smtp = await site.client()
      expect(await smtp.dialogue('MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>', 'DATA')).toEqual([
        OK,
        OK,
        NULL_SENDER,
      ])
      expect(await smtp.dialogue('RSET', 'MAIL FROM:<>', 'RCPT TO:<nosuch@lists.example.org>')).toEqual([
        OK,
        OK,
        '550 5.1.1 <nosuch@lists.example.org>... There is no list nosuch@lists.example.org',
      ])
      expect(await folders()).toEqual([])
    })

    test.each(['bounces', 'owner', 'request'])('team-%s takes mail from anyone', async service => {
      const smtp = await site.client()
      for (const sender of ['', 'eve@example.com']) {
        expect(
          await smtp.dialogue(`MAIL FROM:<${sender}>`, `RCPT TO:<team-${service}@lists.example.org>`),
        ).toEqual([OK, OK])
        expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
        expect(await folders()).toEqual([`team/.${service}`])
      }
    })

    test("the postmaster's mail goes to the postmaster", async () => {
      const smtp = await site.client()
      expect(
        await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<Postmaster@lists.example.org>'),
      ).toEqual([OK, OK])
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
      expect((await site.settled()).map(({ sender, recipients }) => [sender, recipients])).toEqual([
        ['eve@example.com', ['postmaster@example.org']],
      ])
      expect(await folders()).toEqual([])
    })

    test('several messages on one connection, with RSET and unknown commands in between', async () => {
      const smtp = await site.client()
      for (let i = 0; i < 3; i++) {
        expect(
          await smtp.pipeline(
            'MAIL FROM:<eve@example.com>',
            'RCPT TO:<team@lists.example.org>',
            'RSET',
            'NOOP',
          ),
        ).toEqual([OK, REFUSED, OK, OK])
        expect(await smtp.command('NOSUCH')).toMatch(/^500 /)
        expect(await smtp.command('MAIL FROM:<never@example.com>')).toMatch(/^550 5\.7\.1 /)
        expect(
          await smtp.pipeline('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>'),
        ).toEqual([OK, OK])
        expect(await smtp.data(`Subject: ${i}\r\n\r\nhi\r\n`)).toEqual(ACCEPTED)
      }
      expect(await folders()).toEqual(['team', 'team', 'team'])
      expect(await smtp.quit()).toMatch(/^221 /)
    })

    test('RSET forgets a sender and its recipients', async () => {
      const smtp = await site.client()
      expect(
        await smtp.dialogue(
          'MAIL FROM:<alice@example.net>',
          'RCPT TO:<team@lists.example.org>',
          'RCPT TO:<open@lists.example.org>',
          'RSET',
          'MAIL FROM:<eve@example.com>',
          'RCPT TO:<team@lists.example.org>',
          'RCPT TO:<open@lists.example.org>',
        ),
      ).toEqual([OK, OK, OK, OK, OK, REFUSED, OK])
      expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
      expect(await folders()).toEqual(['open'])
    })

    test('a stranger who is the author is refused after the data, inside the dialogue', async () => {
      const smtp = await site.client()
      expect(
        await smtp.dialogue('MAIL FROM:<bounce@esp.example>', 'RCPT TO:<author@lists.example.org>'),
      ).toEqual([OK, OK])
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
      expect(await folders()).toEqual([])
    })

    test('a member who is the author may post from a foreign envelope', async () => {
      const smtp = await site.client()
      await smtp.dialogue('MAIL FROM:<bounce@esp.example>', 'RCPT TO:<author@lists.example.org>')
      expect(await smtp.data('From: alice@example.net\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
      expect(await folders()).toEqual(['author'])
    })

    test.each([
      ['dropped', 'From: dropped@example.net', ['open'], ['open']],
      ['held', 'From: held@example.net', ['author (held)', 'open'], ['author', 'open']],
    ])('%s for one of two by the author', async (_what, from, want, left) => {
      const smtp = await site.client()
      await smtp.dialogue(
        'MAIL FROM:<bounce@esp.example>',
        'RCPT TO:<author@lists.example.org>',
        'RCPT TO:<open@lists.example.org>',
      )
      expect(await smtp.data(`${from}\r\n\r\nhi\r\n`)).toEqual(ACCEPTED)
      expect(await folders()).toEqual(want)
      expect(leftToSink()).toEqual(left)
    })

    test('too big is told at the end, by the size that came', async () => {
      const smtp = await site.client()
      await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<small@lists.example.org>')
      const big = `Subject: x\r\n\r\n${'0123456789\r\n'.repeat(12_000)}`
      expect(await smtp.data(big)).toBe(
        '552 5.3.4 The message is larger than the 200 bytes that small@lists.example.org takes',
      )
      expect(await folders()).toEqual([])
    })

    test('clients that break off, in every phase', async () => {
      const script = ['MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>', 'DATA']
      for (let length = 0; length <= script.length; length++) {
        const smtp = await site.client()
        await smtp.dialogue(...script.slice(0, length))
        if (length === script.length) smtp.send('Subject: half a mess')
        smtp.destroy()
      }
      const smtp = await site.client()
      await smtp.dialogue(...script.slice(0, 2))
      expect(await smtp.data('Subject: whole\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
      expect(await folders()).toEqual(['team'])
    })

    test('without the milter Sendmail says later; with the milter back, mail flows', async () => {
      const before = await site.client()
      await engine.stop()
      // A session that had a milter fails when it needs it, and one that begins without it from MAIL on.
      const away = await site.client()
      expect(await away.command('MAIL FROM:<alice@example.net>')).toBe(LATER)
      expect(await before.command('MAIL FROM:<alice@example.net>')).toMatch(/^(?:451|250) /)
      expect(await before.command('RCPT TO:<team@lists.example.org>')).toMatch(/^(?:451|503) /)
      engine = await startEngine(name, site.milter, choices)
      expect(await away.dialogue('RSET', 'MAIL FROM:<alice@example.net>')).toEqual([OK, LATER])
      const back = await site.client()
      expect(
        await back.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<team@lists.example.org>', 'RSET'),
      ).toEqual([OK, REFUSED, OK])
      expect(
        await back.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>'),
      ).toEqual([OK, OK])
      expect(await back.data('Subject: x\r\n\r\nhi\r\n')).toEqual(ACCEPTED)
      expect(await folders()).toEqual(['team'])
    })
  })
}
