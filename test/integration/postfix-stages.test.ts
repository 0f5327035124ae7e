/** `main.cf.policy-stages`: refusals in the phase that they belong to. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { SmtpClient } from '../support/smtp-client.ts'
import { asSent, leftOutWithoutPostfix, type Site, showLogsOnFailure, startSite, storesFor } from './site.ts'

const MESSAGE =
  'From: alice@example.net\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nHello.\r\n'

/** The networks of the known MTAs, the site's own among them. */
const KNOWN = ['127.0.0.0/8', '192.0.2.0/24', '2001:db8::/32']

const SUITE = 'Postfix with main.cf.policy-stages'

describe.skipIf(leftOutWithoutPostfix(SUITE)).each(storesFor(SUITE))(
  'main.cf.policy-stages on the %s store',
  store => {
    let site: Site
    beforeAll(async () => {
      site = await startSite({
        store,
        postfix: { snippets: ['main.cf.policy-stages', 'main.cf.lmtp'] },
        lists: [
          { name: 'team', members: ['alice@example.net'] },
          { name: 'small', settings: { max_size: 300 }, members: ['alice@example.net'] },
        ],
        document: {
          forbidden: ['mallory@example.net', '@spam.example'],
          mtas: { known: KNOWN, refused: ['.bad.example', '192.0.2.66'] },
        },
      })
    })
    afterAll(() => site?.stop())
    showLogsOnFailure(() => site)
    afterEach(async () => {
      expect(await site.settled()).toEqual([])
    })

    /** A client from an address, before it has said EHLO. */
    async function from(address: string): Promise<SmtpClient> {
      const client = await site.insider()
      expect(await client.command(`XCLIENT ADDR=${address}`)).toMatch(/^220 /)
      return client
    }

    const UNKNOWN = 'Helo command rejected: This host is not known here as a mail server'
    const REFUSED = 'Helo command rejected: This host may not send mail here'

    test.each([
      ['an unknown MTA', '203.0.113.5', 'mx.example.com', UNKNOWN],
      ['an unknown MTA that says it is another', '203.0.113.5', 'localhost', UNKNOWN],
      ['an unknown MTA by IPv6', 'IPV6:2001:db9::1', 'mx.example.com', UNKNOWN],
      ['a refused MTA in a known network', '192.0.2.66', 'mx.example.com', REFUSED],
      ['an MTA refused by its name, in any case', '192.0.2.7', 'MX.Bad.Example', REFUSED],
    ])('%s is refused at EHLO, and gets no further', async (_, address, helo, text) => {
      const client = await from(address)
      expect(await client.command(`EHLO ${helo}`)).toBe(`550 5.7.1 <${helo}>: ${text}`)
      expect(await client.command('MAIL FROM:<alice@example.net>')).toBe(
        '503 5.5.1 Error: send HELO/EHLO first',
      )
    })

    test.each([
      ['an address', 'mallory@example.net'],
      ['in another case', 'MALLORY@Example.NET'],
      ['a domain', 'anybody@spam.example'],
    ])('a forbidden sender is refused at MAIL: %s', async (_, sender) => {
      const client = await from('192.0.2.1')
      await client.command('EHLO mx.example.net')
      expect(await client.command(`MAIL FROM:<${sender}>`)).toBe(
        `550 5.7.1 <${sender}>: Sender address rejected: This sender may not post to any list here`,
      )
      expect(await client.command('MAIL FROM:<alice@example.net>')).toBe('250 2.1.0 Ok')
    })

    test('a sender whose domain only ends like a forbidden one is not meant', async () => {
      const client = await from('192.0.2.1')
      expect(await client.dialogue('EHLO mx.example.net', 'MAIL FROM:<anybody@notspam.example>')).toEqual([
        expect.stringMatching(/^250/),
        '250 2.1.0 Ok',
      ])
    })

    test('a stranger is refused at RCPT, the null sender at DATA', async () => {
      const client = await from('192.0.2.1')
      await client.dialogue('EHLO mx.example.net', 'MAIL FROM:<eve@example.net>')
      expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe(
        '550 5.7.2 <team@lists.example.org>: Recipient address rejected: You are not permitted to post to team@lists.example.org',
      )
      await client.dialogue('RSET', 'MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>')
      expect(await client.command('DATA')).toBe(
        '550 5.7.2 <DATA>: Data command rejected: The null sender may not post to a list, and every recipient is one',
      )
    })

    test('a message that turns out too large is refused at its end', async () => {
      const client = await from('192.0.2.1')
      await client.dialogue(
        'EHLO mx.example.net',
        'MAIL FROM:<alice@example.net>',
        'RCPT TO:<small@lists.example.org>',
      )
      expect(await client.data(`${MESSAGE}${'long\r\n'.repeat(100)}`)).toBe(
        '552 5.3.4 <END-OF-MESSAGE>: End-of-data rejected: The message is larger than the 300 bytes that small@lists.example.org takes',
      )
    })

    test('a member on a known MTA posts', async () => {
      const client = await from('192.0.2.1')
      expect(
        await client.dialogue(
          'EHLO mx.example.net',
          'MAIL FROM:<alice@example.net>',
          'RCPT TO:<team@lists.example.org>',
        ),
      ).toEqual([expect.stringMatching(/^250/), '250 2.1.0 Ok', '250 2.1.5 Ok'])
      const before = site.copies('team').length
      expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('team').slice(before).map(asSent)).toEqual([MESSAGE])
    })

    test("a host of the site's own networks is not questioned before RCPT", async () => {
      const client = await site.insider()
      expect(await client.command('MAIL FROM:<mallory@example.net>')).toBe('250 2.1.0 Ok')
      expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe(
        '550 5.7.1 <team@lists.example.org>: Recipient address rejected: This sender may not post to any list here',
      )
    })
  },
)
