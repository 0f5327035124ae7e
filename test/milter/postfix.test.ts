/** A real Postfix with the milter, on TCP and on a unix socket: what its clients are told, and what becomes of their mail. */
import { execFile, execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { leaveOut } from '../support/parts.ts'
import { type Postfix, startPostfix, whyNoPostfix } from '../support/postfix.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { startTrap, type Trap, type TrappedMessage } from '../support/trap.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { gateOf } from './world.ts'

const OK = expect.stringMatching(/^250 /)
const REFUSED = '550 5.7.2 You are not permitted to post to team@lists.example.org'
const NULL_SENDER = '550 5.7.2 The null sender may not post to a list, and every recipient is one'

const MAIN_CF = (sink: Trap): string => `
milter_command_timeout = 10s
smtpd_relay_restrictions = reject_unauth_destination
virtual_mailbox_domains = lists.example.org
virtual_mailbox_maps =
virtual_transport = lmtp:inet:127.0.0.1:${sink.endpoint.port}
relay_domains = elsewhere.example
relay_recipient_maps =
local_header_rewrite_clients =
`

const leftOut = leaveOut('milter with Postfix', whyNoPostfix()) !== undefined

const SETTINGS = {
  tcp: { hold: 'sink', traceHeader: true },
  unix: { hold: 'quarantine', traceHeader: false },
} as const

describe.skipIf(leftOut).each(['tcp', 'unix'] as const)('Postfix and the milter, %s', kind => {
  let milter: RunningMilter
  let sink: Trap
  let postfix: Postfix
  let seen = 0
  const clients: SmtpClient[] = []

  beforeAll(async () => {
    milter = await startMilter(kind, { gate: await gateOf('lists'), settings: SETTINGS[kind] })
    sink = await startTrap({ lmtp: true })
    const { endpoint } = milter
    const socket = endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `inet:127.0.0.1:${endpoint.port}`
    postfix = await startPostfix({
      snippets: ['main.cf.milter'],
      replace: { 'inet:127.0.0.1:10041': socket },
      mainCf: MAIN_CF(sink),
    })
  })

  afterAll(async () => {
    await postfix?.stop()
    await sink?.stop()
    await milter?.stop()
  })

  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy()
    // Neither a bounce was sent, nor was anything wrong with what the two said to each other.
    expect(
      postfix.sent.filter(({ recipients }) => recipients.some(to => !to.endsWith('@elsewhere.example'))),
    ).toEqual([])
    expect(milter.lines).toEqual([])
    expect(postfix.log()).not.toMatch(/warning: (?:milter|unexpected filter|malformed)/)
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
    expect(text.startsWith('X-Postern: accept (sender-permitted)\r\n')).toBe(SETTINGS[kind].traceHeader)
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
    await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<open@lists.example.org>', `RCPT TO:${path}`)
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
    if (kind === 'tcp') expect(recipients(await delivered())).toEqual(['moderated@lists.example.org'])
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
    expect(await smtp.dialogue('RSET', 'MAIL FROM:<>', 'RCPT TO:<team-bounces@lists.example.org>')).toEqual([
      OK,
      OK,
      OK,
    ])
    expect(await smtp.data('Subject: bounce\r\n\r\nhi\r\n')).toEqual(OK)
    expect(recipients(await delivered())).toEqual(['team-bounces@lists.example.org'])
  })

  test('a recipient after a refused DATA, in the same transaction', async () => {
    const smtp = await client()
    await smtp.dialogue('MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>', 'DATA')
    expect(await smtp.command('RCPT TO:<team-owner@lists.example.org>')).toEqual(OK)
    expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
    // The list's copy goes to the sink, which holds it: nobody could be told any more.
    expect(recipients(await delivered())).toEqual(['team-owner@lists.example.org', 'team@lists.example.org'])
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
    const before = milter.front.counts.otherMessages
    const smtp = await client()
    await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<bob@elsewhere.example>')
    expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
    expect(await smtp.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<team@lists.example.org>')).toEqual([
      OK,
      REFUSED,
    ])
    expect(await delivered()).toEqual([])
    expect(milter.front.counts.otherMessages).toBe(before + 1)
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

describe.skipIf(leftOut)('Postfix without its milter', () => {
  test('does its default action, and is well again with the next session', async () => {
    const sink = await startTrap({ lmtp: true })
    // A port that stays the same while the milter goes and comes.
    const place = createServer()
    place.listen(0, '127.0.0.1')
    await once(place, 'listening')
    const { port } = place.address() as { port: number }
    place.close()
    await once(place, 'close')
    const postfix = await startPostfix({
      snippets: ['main.cf.milter'],
      replace: { 'inet:127.0.0.1:10041': `inet:127.0.0.1:${port}` },
      mainCf: MAIN_CF(sink),
    })
    let milter: RunningMilter | undefined
    try {
      const away = await SmtpClient.connect(postfix.endpoint)
      await away.command('EHLO client.example')
      expect(await away.command('MAIL FROM:<alice@example.net>')).toMatch(/^451 4\.7\.1 /)
      milter = await startMilter('tcp', { gate: await gateOf('lists'), port })
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
    }
  })
})
