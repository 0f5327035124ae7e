/**
 * Postfix → Postern → a moderator → the list: what waits is accepted by the command line and arrives once, as it was
 * sent; and of none of it anything is ever sent to anybody.
 */
import { readdirSync, renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { OWNER } from '../../src/delivery/held-owner.ts'
import { heldIn } from '../support/held-queue.ts'
import {
  asSent,
  asSentBeforeHeld,
  DOMAIN,
  leftOutWithoutPostfix,
  type Site,
  showLogsOnFailure,
  startSite,
  storesFor,
} from './site.ts'

const SUITE = 'moderation behind Postfix'

const messageOf = (subject: string): string =>
  `From: alice@example.net\r\nTo: lists@${DOMAIN}\r\nSubject: ${subject}\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nHello,\r\n.dots\r\n`

describe.skipIf(leftOutWithoutPostfix(SUITE)).each(storesFor(SUITE))(
  'a moderated list on the %s store',
  store => {
    let site: Site

    beforeAll(async () => {
      site = await startSite({
        store,
        postfix: { snippets: ['main.cf.policy-rcpt', 'main.cf.lmtp'] },
        lists: [
          { name: 'moderated', settings: { nonmember_action: 'hold' } },
          { name: 'first', settings: { first_post: 'hold' }, members: ['alice@example.net'] },
          { name: 'emergency', settings: { emergency: 'on' }, members: ['alice@example.net'] },
          { name: 'dying', settings: { nonmember_action: 'hold' } },
          { name: 'bounded', settings: { nonmember_action: 'hold' } },
        ],
        config: '[held]\npath = "./held"\nmax_messages = 2\n',
      })
    })

    afterAll(async () => {
      await site?.stop()
    })

    showLogsOnFailure(() => site)

    async function send(list: string, content: string): Promise<void> {
      const client = await site.outsider()
      const replies = await client.dialogue('MAIL FROM:<alice@example.net>', `RCPT TO:<${list}@${DOMAIN}>`)
      expect(replies.map(reply => reply.slice(0, 3))).toEqual(['250', '250'])
      expect(await client.data(content)).toMatch(/^250 /)
    }

    async function idOf(list: string): Promise<string> {
      const [held] = await heldIn(site.postern.heldRoot, `${list}@${DOMAIN}`)
      if (held === undefined) throw new Error(`nothing waits for ${list}`)
      return held.id
    }

    test('a post is held, is shown, is accepted, arrives once, and its sender may post', async () => {
      const content = messageOf('to be accepted')
      await send('moderated', content)
      expect(await site.settled()).toEqual([])
      expect(site.copies('moderated')).toEqual([])
      expect((await site.held('moderated')).map(asSentBeforeHeld)).toEqual([content])

      const listed = await site.postern.must('held', 'ls', '--list', `moderated@${DOMAIN}`)
      const [id = '', , , sender, reason, subject] = listed.trim().split('\t')
      expect([sender, reason, subject]).toEqual(['alice@example.net', 'sender-moderated', 'to be accepted'])
      expect(await site.postern.must('held', 'show', id)).toMatch(/^Subject: to be accepted$/m)
      expect(asSentBeforeHeld(Buffer.from(await site.postern.must('held', 'show', '--raw', id)))).toBe(
        content,
      )

      const [one, two] = await Promise.all([
        site.postern.run(['held', 'accept', '--and-allow', id]),
        site.postern.run(['held', 'accept', '--and-allow', id]),
      ])
      expect([one.status, two.status].sort()).toEqual([0, 1])
      expect(site.copies('moderated').map(asSent)).toEqual([content])
      expect(await site.held('moderated')).toEqual([])

      await send('moderated', messageOf('the next'))
      expect(await site.settled()).toEqual([])
      expect(site.copies('moderated')).toHaveLength(2)
    })

    test('a first post waits until a moderator lets it through, the second does not', async () => {
      await send('first', messageOf('first'))
      expect(await site.settled()).toEqual([])
      expect(site.copies('first')).toEqual([])
      await site.postern.must('held', 'accept', '--reason', 'first-post')
      await send('first', messageOf('second'))
      expect(await site.settled()).toEqual([])
      expect(site.copies('first')).toHaveLength(2)
    })

    test('everything waits in an emergency, and is dropped or let through after it', async () => {
      for (const subject of ['one', 'two']) await send('emergency', messageOf(subject))
      expect(await site.settled()).toEqual([])
      expect(site.copies('emergency')).toEqual([])
      await site.postern.must('list', 'set', `emergency@${DOMAIN}`, 'emergency=off')
      await site.postern.must('held', 'reject', await idOf('emergency'))
      await site.postern.must('held', 'accept', '--list', `emergency@${DOMAIN}`)
      await send('emergency', messageOf('three'))
      expect(await site.settled()).toEqual([])
      expect(site.copies('emergency')).toHaveLength(2)
      expect(await site.held('emergency')).toEqual([])
    })

    test('what a killed daemon and a killed command have left is delivered once after the start', async () => {
      const content = messageOf('to survive')
      await send('dying', content)
      expect(await site.settled()).toEqual([])
      const id = await idOf('dying')
      // As a command leaves it that was killed when it had just claimed the message.
      const directory = join(site.postern.heldRoot, 'lists', DOMAIN, 'dying')
      const [name = ''] = readdirSync(directory)
      const gone = OWNER.replace(/^\d+-\d+/, '4194304-1')
      process.kill(site.postern.pid(), 'SIGKILL')
      await site.postern.stop()
      renameSync(join(directory, name), join(directory, `${name},accept=${gone}`))
      await site.postern.start()
      await vi.waitFor(() => expect(site.copies('dying')).toHaveLength(1), 20_000)
      await vi.waitFor(() => expect(site.postern.log()).toContain(`held message accepted`), 10_000)
      expect(site.copies('dying').map(asSent)).toEqual([content])
      expect((await site.postern.run(['held', 'accept', id])).status).toBe(1)
      expect(await site.settled()).toEqual([])
    })

    test('a list whose queue is full defers, and loses nothing', async () => {
      for (const subject of ['one', 'two', 'three']) await send('bounded', messageOf(subject))
      const line = await site.postfix.waitForLog(/to=<bounded@lists\.example\.org>.* status=deferred/)
      expect(line).toMatch(/dsn=4\.2\.2, .* 452 4\.2\.2 Too many posts to bounded@lists\.example\.org wait/)
      await site.postern.must('held', 'accept', '--list', `bounded@${DOMAIN}`)
      expect(await site.settled()).toEqual([])
      await site.postern.must('held', 'accept', '--list', `bounded@${DOMAIN}`)
      expect(site.copies('bounded')).toHaveLength(3)
    })
  },
)
