/**
 * Callouts that other Exims make, and an Exim whose Postern goes away: callers learn whether a list exists, whatever its
 * members may do, and mail that was taken waits for the sink.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type Exim, startExim } from '../support/exim.ts'
import { type EximSite, leftOutWithoutExim, showEximLogsOnFailure, startEximSite } from './exim-site.ts'
import { asSent } from './site.ts'

const MESSAGE =
  'From: alice@example.net\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nHello.\r\n'

const LISTS = [
  { name: 'team', members: ['alice@example.net'] },
  { name: 'quiet', settings: { member_action: 'reject', nonmember_action: 'reject' } },
  { name: 'waits', members: ['alice@example.net'] },
]

/** Where another Exim finds the site: as a host that is no proxy. */
const TO_SITE = (port: number): { readonly routers: string; readonly transports: string } => ({
  routers: `
site:
  driver = manualroute
  domains = lists.example.org
  route_list = * 127.0.0.1
  self = send
  transport = site
`,
  transports: `
site:
  driver = smtp
  port = ${port}
  interface = 127.0.0.2
  allow_localhost
`,
})

const SUITE = "callouts to Exim's site"

describe.skipIf(leftOutWithoutExim(SUITE))('callouts', () => {
  let site: EximSite
  const others: Exim[] = []
  beforeAll(async () => {
    site = await startEximSite({ store: 'embedded', recipe: 'policy', lists: LISTS })
  })
  afterAll(async () => {
    for (const other of others) await other.stop()
    await site?.stop()
  })
  showEximLogsOnFailure(() => site)
  afterEach(async () => {
    expect(await site.settled()).toEqual([])
  })

  /** Another Exim, with an ACL for RCPT. */
  async function other(rcpt: string, way: 'smtp' | 'lmtp'): Promise<Exim> {
    const { lmtp, callout } = site.postern
    if (lmtp.kind !== 'tcp' || callout.kind !== 'tcp') throw new Error('the sink listens on a port')
    const exim = await startExim({
      policy: site.postern.policy,
      lmtp,
      callout,
      rcpt,
      ...(way === 'smtp' ? TO_SITE(site.exim.endpoint.port) : {}),
    })
    others.push(exim)
    return exim
  }

  async function ask(exim: Exim, sender: string, recipient: string): Promise<string> {
    const client = await exim.connect('192.0.2.1')
    const replies = await client.dialogue('EHLO x.example', `MAIL FROM:<${sender}>`, `RCPT TO:<${recipient}>`)
    client.destroy()
    return replies.at(-1) ?? ''
  }

  describe.each(['smtp', 'lmtp'] as const)('of the recipient, by %s', way => {
    test.each(['callout=10s', 'callout=10s,random', 'callout=10s,no_cache', 'callout=10s,random,no_cache'])(
      '%s',
      async options => {
        const exim = await other(`  deny !verify = recipient/${options}\n  accept\n`, way)
        for (const list of ['team', 'quiet', 'team-owner', 'team']) {
          expect(await ask(exim, 'eve@example.net', `${list}@lists.example.org`)).toBe('250 Accepted')
        }
        for (const list of ['nosuch', 'nosuch-owner', 'nosuchtoo']) {
          expect(await ask(exim, 'eve@example.net', `${list}@lists.example.org`)).toMatch(
            /^550-Callout verification failed:\n550 550 5\.1\.1 There is no list nosuch/,
          )
        }
        if (options.includes('random')) {
          expect(site.postern.log()).toMatch(
            / reject: RCPT .* from=<> to=<[^>]+-testing@lists\.example\.org>/,
          )
        }
        expect(exim.panicLog()).toBe('')
      },
    )
  })

  test.each(['callout=10s', 'callout=10s,random', 'callout=10s,postmaster'])(
    'of the sender: %s',
    async options => {
      const exim = await other(`  deny !verify = sender/${options}\n  accept\n`, 'smtp')
      for (const list of ['team', 'quiet', 'team-bounces', 'team-bounces+bob=example.com']) {
        expect(await ask(exim, `${list}@lists.example.org`, 'bob@example.org')).toBe('250 Accepted')
      }
      expect(await ask(exim, 'nosuch@lists.example.org', 'bob@example.org')).toMatch(/^550-/)
      expect(exim.panicLog()).toBe('')
    },
  )
})

describe.skipIf(leftOutWithoutExim(SUITE)).each(['policy', 'callout'] as const)(
  'Postern goes away and comes back, by %s',
  recipe => {
    let site: EximSite
    beforeAll(async () => {
      site = await startEximSite({ store: 'embedded', recipe, lists: LISTS })
    })
    afterAll(() => site?.stop())
    showEximLogsOnFailure(() => site)

    test('451 while it is away, and what was taken before is there once, afterwards', async () => {
      const client = await site.outsider()
      await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<waits@lists.example.org>')
      expect(await client.command('DATA')).toMatch(/^354 /)
      await site.postern.stop()
      // Asked once more at the end of the message.
      expect(await client.content(MESSAGE)).toBe(
        '451 4.3.0 The mailing lists cannot be reached; try again later',
      )
      const [, refused] = await client.dialogue(
        'MAIL FROM:<alice@example.net>',
        'RCPT TO:<waits@lists.example.org>',
      )
      expect(refused).toMatch(/^451 /)
      await site.postern.start()
      await client.dialogue('RSET', 'MAIL FROM:<alice@example.net>', 'RCPT TO:<waits@lists.example.org>')
      expect(await client.data(MESSAGE)).toMatch(/^250 OK id=/)
      expect(await site.settled()).toEqual([])
      expect(site.copies('waits').map(asSent)).toEqual([MESSAGE])
    })

    test('the sink away: the message waits in the queue, and arrives', async () => {
      const { postern, exim } = site
      const before = site.copies('waits').length
      await exim.run('exim4', ['-bm', '-f', 'alice@example.net', 'team@lists.example.org'], MESSAGE)
      await site.settled()
      await postern.stop()
      await exim.run('exim4', ['-bm', '-f', 'alice@example.net', 'waits@lists.example.org'], MESSAGE)
      await exim.waitForLog(/== waits@lists\.example\.org R=postern T=postern defer .*Connection refused/)
      expect(exim.queueIsEmpty()).toBe(false)
      await postern.start()
      expect(await site.settled()).toEqual([])
      expect(site.copies('waits')).toHaveLength(before + 1)
    })
  },
)
