/**
 * Postfix → Postern → Mailman's own LMTP runner: what passes is in Mailman's queue, what Mailman says reaches
 * Postfix, and while Mailman is away mail waits in Postfix.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { createRelayDelivery } from '../../src/delivery/relay.ts'
import { ENVELOPE, message, relaySettings, to, told } from '../delivery/mail.ts'
import { leftOutWithoutMailman, type Mailman, type Queued, startMailman } from '../support/mailman.ts'
import { leftOutWithoutPostfix, type Site, showLogsOnFailure, startSite } from './site.ts'

const messageWith = (id: string): string =>
  `From: alice@example.net\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <${id}@example.net>\r\nSubject: ${id}\r\n\r\nHello.\r\n.dots.\r\n`

/** Has a list in Postern and none in Mailman, as somebody will who forgets one of the two. */
const LISTS = ['team', 'news', 'forgotten'].map(name => ({
  name,
  members: ['alice@example.net'],
}))
const HELD = {
  name: 'held',
  settings: { member_action: 'hold' },
  members: ['alice@example.net'],
}

/** The part of the configuration that the docs show. */
const PAGE = readFileSync(new URL('../../docs/delivery.md', import.meta.url), 'utf8')
const SNIPPET = /```toml\n(\[delivery\]\ndefault = "mailman"[\s\S]*?)```/.exec(PAGE)?.[1] ?? ''

const SUITE = 'Mailman'

describe.skipIf(leftOutWithoutMailman(SUITE) || leftOutWithoutPostfix(SUITE))(
  'Postfix, Postern and Mailman',
  { timeout: 120_000 },
  () => {
    let mailman: Mailman
    let site: Site

    beforeAll(async () => {
      mailman = await startMailman(['team@lists.example.org', 'news@lists.example.org'])
      site = await startSite({
        store: 'embedded',
        postfix: { snippets: ['main.cf.policy-rcpt', 'main.cf.lmtp'] },
        config: SNIPPET.replace('8024', String(mailman.endpoint.port)),
        lists: [...LISTS, HELD],
        failuresExpected: true,
      })
    }, 180_000)
    afterAll(async () => {
      await site?.stop()
      await mailman?.remove()
    })
    showLogsOnFailure(() => site)

    let before = 0
    afterEach(async () => {
      await site.settled()
      before = (await mailman.queued()).length
    })

    async function newlyQueued(): Promise<readonly Queued[]> {
      await site.postfix.waitForEmptyQueue()
      return (await mailman.queued()).slice(before)
    }

    async function send(text: string, sender: string, ...recipients: readonly string[]): Promise<void> {
      const client = await site.outsider()
      await client.command(`MAIL FROM:<${sender}>`)
      for (const name of recipients) {
        expect(await client.command(`RCPT TO:<${name}@lists.example.org>`)).toMatch(/^250 /)
      }
      expect(await client.data(text)).toMatch(/^250 2\.0\.0 /)
    }

    test("a member's post is in Mailman's incoming queue, as it was sent", async () => {
      await send(messageWith('post'), 'alice@example.net', 'team')
      const [post, ...others] = await newlyQueued()
      expect(others).toEqual([])
      expect(post).toMatchObject({ queue: 'in', list: 'team.lists.example.org', service: null })
      expect(post?.text).toMatch(/^X-MailFrom: alice@example\.net$/m)
      expect(post?.text).toContain('Subject: post\n')
      expect(post?.text).toMatch(/\n\nHello\.\n\.dots\.\n$/)
      const received = post?.text.match(/^Received: .*\n(?:[ \t].*\n)+/gm)
      expect(received?.[0]).toMatch(
        /by postern\.example\.org \(Postern\) with LMTP id \w+\n\tfor <team@lists\.example\.org>;/,
      )
      expect(received).toHaveLength(2)
      expect(post?.text).not.toMatch(/^(?:Return-Path|Delivered-To):/m)
      // Mailman's own words went all the way back.
      await site.postfix.waitForLog(
        /to=<team@lists\.example\.org>.* status=sent \(250 2\.0\.0 <team@lists\.example\.org> taken as /,
      )
      await vi.waitFor(
        () =>
          expect(site.postern.log()).toMatch(
            /message delivered; .*delivery=<mailman> reply=<250 2\.0\.0 Ok>/,
          ),
        10_000,
      )
    })

    test("a stranger is refused while Mailman's answer would have been a bounce", async () => {
      const client = await site.outsider()
      await client.command('MAIL FROM:<eve@example.net>')
      expect(await client.command('RCPT TO:<team@lists.example.org>')).toMatch(/^550 5\.7\.2 /)
      expect(await newlyQueued()).toEqual([])
    })

    test('two lists and a service address in one message: a copy each', async () => {
      await send(messageWith('several'), 'alice@example.net', 'team', 'news', 'team-owner')
      const queued = await newlyQueued()
      expect(queued.map(({ queue, list, service }) => [queue, list, service]).sort()).toEqual(
        [
          ['in', 'news.lists.example.org', null],
          ['in', 'team.lists.example.org', 'owner'],
          ['in', 'team.lists.example.org', null],
        ].sort(),
      )
    })

    test('a post that waits for a moderator is not in Mailman, but in the queue of held posts', async () => {
      await send(messageWith('held'), 'alice@example.net', 'held')
      expect(await newlyQueued()).toEqual([])
      expect(await site.held('held')).toHaveLength(1)
    })

    test('a list that Mailman does not have: its 550 is passed back, the other copy is delivered', async () => {
      await send(messageWith('forgotten'), 'alice@example.net', 'forgotten', 'team')
      expect((await newlyQueued()).map(({ list }) => list)).toEqual(['team.lists.example.org'])
      await site.postfix.waitForLog(
        /to=<forgotten@lists\.example\.org>.* status=bounced .*said: 550 5\.0\.0 Requested action not taken: mailbox unavailable/,
      )
    })

    test('Mailman stopped: 451, the mail waits in Postfix, and arrives, once, after it is back', async () => {
      await mailman.stop()
      await send(messageWith('waits'), 'alice@example.net', 'team', 'news')
      for (const name of ['team', 'news']) {
        await site.postfix.waitForLog(
          new RegExp(
            `to=<${name}@lists\\.example\\.org>.* status=deferred .*said: 451 4\\.3\\.0 Temporary failure`,
          ),
        )
      }
      await vi.waitFor(
        () => expect(site.postern.log()).toMatch(/message not delivered; .*cannot reach 127\.0\.0\.1:/),
        10_000,
      )
      expect(await mailman.queued()).toHaveLength(before)
      await mailman.start()
      execFileSync('/usr/sbin/postqueue', ['-c', site.postfix.configDirectory, '-f'])
      const arrived = await newlyQueued()
      expect(arrived.map(({ list }) => list).sort()).toEqual([
        'news.lists.example.org',
        'team.lists.example.org',
      ])
      expect(arrived.every(({ text }) => text.includes('Subject: waits'))).toBe(true)
    })

    test('several recipients in one transaction: each gets its own reply', async () => {
      const delivery = createRelayDelivery(relaySettings(mailman.endpoint))
      const recipients = ['team', 'nobody', 'news', 'team-owner'].map(name => to(`${name}@lists.example.org`))
      expect((await delivery.deliver(ENVELOPE, message(messageWith('one')), recipients)).map(told)).toEqual([
        'delivered: 250 2.0.0 Ok',
        'refused: 550 5.0.0 Requested action not taken: mailbox unavailable',
        'delivered: 250 2.0.0 Ok',
        'delivered: 250 2.0.0 Ok',
      ])
      expect(await newlyQueued()).toHaveLength(3)
      await delivery.close?.()
    })

    test('a message with defects: Mailman has one reply for all, and a transaction for each recipient gets each its own', async () => {
      const defective = message(
        'Message-ID: <1@x>\r\nContent-Type: multipart/mixed; boundary="b"\r\n\r\nno part\r\n',
      )
      const both = [to('team@lists.example.org'), to('news@lists.example.org')]
      const settings = relaySettings(mailman.endpoint, { timeoutMs: 1500 })
      const together = createRelayDelivery(settings)
      expect((await together.deliver(ENVELOPE, defective, both)).map(told)).toEqual([
        'refused: 501 5.0.0 Message has defects',
        'failed: late',
      ])
      const each = createRelayDelivery({ ...settings, maxRecipients: 1 })
      expect((await each.deliver(ENVELOPE, defective, both)).map(told)).toEqual(
        Array(2).fill('refused: 501 5.0.0 Message has defects'),
      )
      await together.close?.()
      await each.close?.()
    })
  },
)
