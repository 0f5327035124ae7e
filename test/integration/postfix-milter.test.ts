/**
 * `main.cf.milter` with `main.cf.lmtp`, and the whole of Postern behind them: what a client is told, what is in the
 * Maildirs, and what a restart under load comes to.
 */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { requireLibmilter } from '../milter/libmilter-host.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import {
  asSent,
  asSentBeforeHeld,
  leftOutWithoutPostfix,
  type Site,
  type SiteOptions,
  showLogsOnFailure,
  startSite,
  storesFor,
} from './site.ts'

const OK = expect.stringMatching(/^250 2\.1\.[05] Ok$/)
const QUEUED = expect.stringMatching(/^250 2\.0\.0 Ok: queued as /)
const REFUSED = (list: string): string =>
  `550 5.7.2 You are not permitted to post to ${list}@lists.example.org`

const message = (from: string): string =>
  `From: ${from}\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nHello.\r\n`
const MESSAGE = message('alice@example.net')

/** Why suites with an engine cannot run here. */
const noLibmilter = requireLibmilter()
const enginesHere = (['native', 'libmilter'] as const).filter(
  engine => engine === 'native' || noLibmilter === undefined,
)

const SUITE = 'Postfix with main.cf.milter'

/** Each engine on each store; libmilter once on TCP, and once on the unix socket that docs/milter.md advises. */
const SETUPS = storesFor(SUITE).flatMap(store =>
  enginesHere.map(engine => {
    const sockets: SiteOptions['sockets'] = engine === 'libmilter' && store === 'embedded' ? 'unix' : 'tcp'
    return { engine, store, sockets }
  }),
)

describe.skipIf(leftOutWithoutPostfix(SUITE)).each(SETUPS)(
  'main.cf.milter, $engine by $sockets on the $store store',
  ({ engine, store, sockets }) => {
    let site: Site
    beforeAll(async () => {
      site = await startSite({
        store,
        sockets,
        milter: engine,
        // Names that are never used again: a copy tells by its name which of the queued messages it is.
        postfix: { snippets: ['main.cf.milter', 'main.cf.lmtp'], mainCf: 'enable_long_queue_ids = yes\n' },
        lists: [
          { name: 'mine', members: ['alice@example.net'] },
          { name: 'theirs', members: ['bob@example.net'] },
          { name: 'beside-hold', members: ['alice@example.net'] },
          { name: 'moderated', settings: { nonmember_action: 'hold' } },
          { name: 'beside-discard', members: ['alice@example.net'] },
          { name: 'dropping', settings: { nonmember_action: 'discard' } },
          { name: 'author', settings: { identity: 'author' }, members: ['alice@example.net'] },
          {
            name: 'brief',
            settings: { identity: 'author', max_size: 500 },
            members: ['alice@example.net'],
          },
          { name: 'several', members: ['alice@example.net'] },
          { name: 'left', members: ['alice@example.net'] },
          { name: 'ending', members: ['alice@example.net'] },
          { name: 'load', members: ['alice@example.net'] },
        ],
      })
    })
    afterAll(() => site?.stop())
    showLogsOnFailure(() => site)
    afterEach(async () => {
      expect(await site.settled()).toEqual([])
    })

    /** The recipients that Postfix tried to deliver to. */
    const deliveredTo = (list: string): number =>
      [...site.postfix.log().matchAll(new RegExp(` to=<${list}@lists\\.example\\.org>,`, 'g'))].length

    test('one message to a list that permits it and one that does not', async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue(
          'MAIL FROM:<alice@example.net>',
          'RCPT TO:<theirs@lists.example.org>',
          'RCPT TO:<mine@lists.example.org>',
        ),
      ).toEqual([OK, REFUSED('theirs'), OK])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('mine').map(asSent)).toEqual([MESSAGE])
      expect(site.copies('theirs')).toEqual([])
      expect(deliveredTo('theirs')).toBe(0)
    })

    test('held for one of two: the moderators have the one copy, the other list has the other', async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue(
          'MAIL FROM:<alice@example.net>',
          'RCPT TO:<moderated@lists.example.org>',
          'RCPT TO:<beside-hold@lists.example.org>',
        ),
      ).toEqual([OK, OK, OK])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.postfix.waitForEmptyQueue()
      expect((await site.held('moderated')).map(asSentBeforeHeld)).toEqual([MESSAGE])
      expect(site.copies('moderated')).toEqual([])
      expect(site.copies('beside-hold').map(asSent)).toEqual([MESSAGE])
      expect(await site.held('beside-hold')).toEqual([])
    })

    test('dropped for one of two: Postfix has that one no more, and the other list has its copy', async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue(
          'MAIL FROM:<alice@example.net>',
          'RCPT TO:<dropping@lists.example.org>',
          'RCPT TO:<beside-discard@lists.example.org>',
        ),
      ).toEqual([OK, OK, OK])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('beside-discard').map(asSent)).toEqual([MESSAGE])
      expect(site.copies('dropping')).toEqual([])
      expect(await site.held('dropping')).toEqual([])
      expect(deliveredTo('dropping')).toBe(0)
      expect(deliveredTo('beside-discard')).toBe(1)
    })

    test('where the author counts, the envelope does not, and he is judged inside the dialogue', async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<author@lists.example.org>'),
      ).toEqual([OK, OK])
      expect(await client.data(message('eve@example.com'))).toBe(REFUSED('author'))
      expect(
        await client.dialogue('MAIL FROM:<bounce@esp.example>', 'RCPT TO:<author@lists.example.org>'),
      ).toEqual([OK, OK])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('author').map(asSent)).toEqual([MESSAGE])
      expect(deliveredTo('author')).toBe(1)
    })

    test('he is judged at the end of the header: what comes after it is not waited for', async () => {
      const body = 'long\r\n'.repeat(200)
      const client = await site.outsider()
      await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<brief@lists.example.org>')
      expect(await client.data(message('eve@example.com') + body)).toBe(REFUSED('brief'))
      // At the end of the data the size comes first.
      await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<brief@lists.example.org>')
      expect(await client.data(MESSAGE + body)).toBe(
        '552 5.3.4 The message is larger than the 500 bytes that brief@lists.example.org takes',
      )
    })

    test('several messages on one connection, with pipelining, RSET, EHLO and unknown commands in between', async () => {
      const client = await site.outsider()
      for (const n of ['first', 'second', 'third']) {
        expect(
          await client.pipeline(
            'MAIL FROM:<eve@example.com>',
            'RCPT TO:<mine@lists.example.org>',
            'RCPT TO:<moderated@lists.example.org>',
            'RSET',
            'NOOP',
          ),
        ).toEqual([OK, REFUSED('mine'), OK, expect.stringMatching(/^250 /), '250 2.0.0 Ok'])
        await client.command('MAIL FROM:<bob@example.net>')
        await client.command('EHLO again.example.net')
        expect(await client.command('NOSUCH')).toMatch(/^500 /)
        expect(
          await client.pipeline('MAIL FROM:<alice@example.net>', 'RCPT TO:<several@lists.example.org>'),
        ).toEqual([OK, OK])
        expect(await client.data(MESSAGE.replace('Hello', n))).toEqual(QUEUED)
      }
      expect(await client.quit()).toMatch(/^221 /)
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('several').map(asSent).sort()).toEqual(
        ['first', 'second', 'third'].map(n => MESSAGE.replace('Hello', n)),
      )
    })

    test('clients that break off, in every phase: nothing of theirs is left, and others are served', async () => {
      const silent = await SmtpClient.open(site.postfix.endpoint)
      silent.destroy()
      const script = ['MAIL FROM:<alice@example.net>', 'RCPT TO:<left@lists.example.org>', 'DATA']
      for (let length = 0; length <= script.length; length++) {
        const client = await site.outsider()
        await client.dialogue(...script.slice(0, length))
        if (length === script.length) client.send('Subject: half a mess')
        client.destroy()
      }
      const client = await site.outsider()
      expect(await client.dialogue(...script.slice(0, 2))).toEqual([OK, OK])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('left').map(asSent)).toEqual([MESSAGE])
      expect(site.postfix.log()).not.toMatch(/warning: (?:milter|unexpected filter|malformed)/)
    })

    test('ended while a message is on its way: that one is finished', async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<ending@lists.example.org>'),
      ).toEqual([OK, OK])
      const logBefore = site.postern.log().length
      const ended = site.postern.stop()
      await vi.waitUntil(() => /\bstopping\b/.test(site.postern.log().slice(logBefore)), { interval: 10 })
      expect(
        await client.dialogue('RCPT TO:<theirs@lists.example.org>', 'RCPT TO:<mine@lists.example.org>'),
      ).toEqual([REFUSED('theirs'), OK])
      expect(await client.data(MESSAGE.replace('Hello', 'Late'))).toEqual(QUEUED)
      expect(await ended).toBe(0)
      await site.postern.start()
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('ending').map(asSent)).toEqual([MESSAGE.replace('Hello', 'Late')])
    })

    test('restarted under load: put off for now, then well again, and nothing is lost, doubled or bounced', async () => {
      /** The messages that Postfix took upon itself, by the name that it gave them. */
      const taken = (): string[] =>
        [
          ...site.postfix.log().matchAll(/qmgr\[\d+\]: (\w+): from=<alice@example\.net>, .*queue active/g),
        ].map(([, id]) => id ?? '')
      const loadTaken = async (more: number): Promise<void> => {
        const goal = new Set(taken()).size + more
        await vi.waitUntil(() => new Set(taken()).size >= goal, { timeout: 20_000, interval: 50 })
      }
      const before = new Set(taken())
      let over = false
      const load = (async (): Promise<void> => {
        while (!over) {
          await promisify(execFile)('smtp-source', [
            ...['-A', '-s', '20', '-m', '100', '-l', '500'],
            ...['-f', 'alice@example.net', '-t', 'load@lists.example.org'],
            `127.0.0.1:${site.postfix.endpoint.port}`,
          ])
        }
      })()
      try {
        await loadTaken(50)
        expect(await site.postern.stop()).toBe(0)
        // The milter's default action, as the client sees it and as Postfix writes it down.
        const late = await site.insider()
        expect(await late.command('MAIL FROM:<alice@example.net>')).toBe(
          '451 4.7.1 Service unavailable - try again later',
        )
        await site.postfix.waitForLog(
          /warning: connect to Milter service .*: (?:Connection refused|No such file or directory)/,
        )
        await site.postfix.waitForLog(/milter-reject: .* 451 4\.7\.1 .* from=<alice@example\.net>/)
        await site.postern.start()
        await loadTaken(50)
      } finally {
        over = true
        await load
      }
      const client = await site.outsider()
      expect(
        await client.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<load@lists.example.org>'),
      ).toEqual([OK, REFUSED('load')])
      await site.postfix.waitForEmptyQueue()
      const names = site
        .copies('load')
        .map(copy => / \(Postfix\) with E?SMTP id (\w+)/.exec(copy.toString())?.[1])
      const accepted = [...new Set(taken())].filter(id => !before.has(id))
      expect(accepted.length).toBeGreaterThan(100)
      expect(names.sort()).toEqual(accepted.sort())
      expect(site.postfix.log()).not.toMatch(/status=bounced/)
    }, 60_000)
  },
)

const BOTH = 'Postfix with main.cf.milter and main.cf.policy-rcpt'

describe.skipIf(leftOutWithoutPostfix(BOTH)).each(enginesHere)(
  'the milter (%s) beside the policy server, on one smtpd',
  engine => {
    let site: Site
    beforeAll(async () => {
      site = await startSite({
        store: 'embedded',
        milter: engine,
        postfix: { snippets: ['main.cf.policy-rcpt', 'main.cf.milter', 'main.cf.lmtp'] },
        lists: [
          { name: 'team', members: ['alice@example.net'] },
          { name: 'author', settings: { identity: 'author' }, members: ['alice@example.net'] },
        ],
      })
    })
    afterAll(() => site?.stop())
    showLogsOnFailure(() => site)
    afterEach(async () => {
      expect(await site.settled()).toEqual([])
    })

    const refusals = (): string[] => site.postfix.log().match(/(?:milter-)?reject: .*/g) ?? []

    test('a stranger is refused once, by whoever comes first: the policy server', async () => {
      const before = refusals().length
      const client = await site.outsider()
      expect(
        await client.pipeline('MAIL FROM:<eve@example.com>', 'RCPT TO:<team@lists.example.org>', 'NOOP'),
      ).toEqual([
        OK,
        `550 5.7.2 <team@lists.example.org>: Recipient address rejected: You are not permitted to post to team@lists.example.org`,
        '250 2.0.0 Ok',
      ])
      await site.postfix.waitForLog(/reject: RCPT from /)
      expect(refusals().slice(before)).toEqual([expect.stringMatching(/^reject: RCPT from /)])
      expect(site.copies('team')).toEqual([])
    })

    test('the null sender is refused once at DATA', async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue('MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>', 'DATA', 'NOOP'),
      ).toEqual([
        OK,
        OK,
        '550 5.7.2 <DATA>: Data command rejected: The null sender may not post to a list, and every recipient is one',
        '250 2.0.0 Ok',
      ])
    })

    test("a member's message is delivered once", async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>'),
      ).toEqual([OK, OK])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.postfix.waitForEmptyQueue()
      expect(site.copies('team').map(asSent)).toEqual([MESSAGE])
    })

    test('what the policy server has to leave open, the milter settles', async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<author@lists.example.org>'),
      ).toEqual([OK, OK])
      expect(await client.data(message('eve@example.com'))).toBe(REFUSED('author'))
      expect(site.copies('author')).toEqual([])
    })
  },
)
