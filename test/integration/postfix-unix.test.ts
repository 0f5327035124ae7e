/** Unix sockets below the queue directory, with smtpd and lmtp confined to it as in Debian. */
import { statSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  asSent,
  asSentBeforeHeld,
  leftOutWithoutPostfix,
  type Site,
  showLogsOnFailure,
  startSite,
} from './site.ts'

const MESSAGE =
  'From: alice@example.net\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nHello.\r\n'

const SUITE = 'Postfix with unix sockets'

describe.skipIf(leftOutWithoutPostfix(SUITE))('unix sockets', () => {
  let site: Site
  beforeAll(async () => {
    site = await startSite({
      store: 'embedded',
      sockets: 'unix',
      postfix: {
        snippets: ['main.cf.policy-rcpt', 'main.cf.lmtp'],
        // Addresses of one's own in a list domain, exempted as the task document says.
        mainCf: `virtual_alias_maps =
    inline:{ abuse@lists.example.org=abuse@example.org, all@lists.example.org=team@lists.example.org }
smtpd_recipient_restrictions =
    check_recipient_access
    inline:{ abuse@lists.example.org=DUNNO, all@lists.example.org=DUNNO, lists.example.org=postern },
    permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
`,
      },
      lists: [{ name: 'team', members: ['alice@example.net'] }],
    })
  })
  afterAll(() => site?.stop())
  showLogsOnFailure(() => site)

  test('are open to Postfix and to nobody else', () => {
    const { policy, lmtp } = site.postern
    for (const endpoint of [policy, lmtp]) {
      const { mode, gid } = statSync(endpoint.kind === 'unix' ? endpoint.path : '')
      expect(mode & 0o777).toBe(0o660)
      expect(gid).not.toBe(0)
    }
  })

  test('carry questions and messages', async () => {
    const client = await site.outsider()
    await client.command('MAIL FROM:<eve@example.net>')
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe(
      '550 5.7.2 <team@lists.example.org>: Recipient address rejected: You are not permitted to post to team@lists.example.org',
    )
    await client.dialogue('RSET', 'MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')
    expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
    expect(await site.settled()).toEqual([])
    expect(site.copies('team').map(asSent)).toEqual([MESSAGE])
  })

  test('an address that is exempted is not asked about', async () => {
    const client = await site.outsider()
    await client.command('MAIL FROM:<eve@example.net>')
    expect(await client.command('RCPT TO:<abuse@lists.example.org>')).toBe('250 2.1.5 Ok')
    expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
    const sent = await site.settled()
    expect(sent.map(({ recipients }) => recipients)).toEqual([['abuse@example.org']])
  })

  test('what only the sink can refuse waits for a moderator: nobody gets a bounce', async () => {
    const client = await site.outsider()
    await client.command('MAIL FROM:<eve@example.net>')
    expect(await client.command('RCPT TO:<all@lists.example.org>')).toBe('250 2.1.5 Ok')
    expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
    expect(await site.settled()).toEqual([])
    expect((await site.held('team')).map(asSentBeforeHeld)).toEqual([MESSAGE])
  })
})
