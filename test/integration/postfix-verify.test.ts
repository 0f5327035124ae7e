/** `main.cf.verify`: Postfix probes the sink for the recipient before it asks who may post. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { asSent, leftOutWithoutPostfix, type Site, showLogsOnFailure, startSite, storesFor } from './site.ts'

const MESSAGE =
  'From: alice@example.net\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nHello.\r\n'

const SUITE = 'Postfix with main.cf.verify'

describe.skipIf(leftOutWithoutPostfix(SUITE)).each(storesFor(SUITE))(
  'main.cf.verify on the %s store',
  store => {
    let site: Site
    beforeAll(async () => {
      site = await startSite({
        store,
        postfix: {
          snippets: ['main.cf.verify', 'main.cf.lmtp'],
          // Minutes would be long for a test.
          mainCf: 'address_verify_negative_refresh_time = 1s\naddress_verify_negative_expire_time = 3s\n',
        },
        lists: [
          { name: 'team', members: ['alice@example.net'] },
          { name: 'quiet', settings: { member_action: 'reject' }, members: ['alice@example.net'] },
        ],
      })
    })
    afterAll(() => site?.stop())
    showLogsOnFailure(() => site)
    afterEach(async () => {
      expect(await site.settled()).toEqual([])
    })

    test('an unknown list is refused with what the sink says', async () => {
      const client = await site.outsider()
      await client.command('MAIL FROM:<alice@example.net>')
      expect(await client.command('RCPT TO:<nosuch@lists.example.org>')).toMatch(
        /^550 5\.1\.1 <nosuch@lists\.example\.org>: Recipient address rejected: undeliverable address: host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.1\.1 There is no list nosuch@lists\.example\.org \(in reply to RCPT TO command\)$/,
      )
    })

    test('a list that did not exist before exists, after a while', async () => {
      const client = await site.outsider()
      await client.command('MAIL FROM:<alice@example.net>')
      expect(await client.command('RCPT TO:<fresh@lists.example.org>')).toMatch(/^550 5\.1\.1 /)
      await site.postern.must('list', 'add', 'fresh@lists.example.org', '--preset', 'open')
      await expect
        .poll(() => client.command('RCPT TO:<fresh@lists.example.org>'), { timeout: 15_000, interval: 500 })
        .toBe('250 2.1.5 Ok')
    })

    test('a list that refuses everybody exists for probes, and then refuses', async () => {
      const client = await site.outsider()
      await client.command('MAIL FROM:<alice@example.net>')
      expect(await client.command('RCPT TO:<quiet@lists.example.org>')).toBe(
        '550 5.7.2 <quiet@lists.example.org>: Recipient address rejected: You are not permitted to post to quiet@lists.example.org',
      )
    })

    test('a stranger is refused by the list, a member posts', async () => {
      const client = await site.outsider()
      await client.command('MAIL FROM:<eve@example.net>')
      expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe(
        '550 5.7.2 <team@lists.example.org>: Recipient address rejected: You are not permitted to post to team@lists.example.org',
      )
      await client.dialogue('RSET', 'MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')
      expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('team').map(asSent)).toEqual([MESSAGE])
    })

    test('probes leave nothing in the maildir', async () => {
      const client = await site.outsider()
      await client.command('MAIL FROM:<>')
      expect(await client.command('RCPT TO:<quiet-owner@lists.example.org>')).toBe('250 2.1.5 Ok')
      await site.settled()
      expect(site.copies('quiet', '.owner')).toEqual([])
    })
  },
)
