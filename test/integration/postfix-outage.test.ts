/** What clients see, and what becomes of mail, while Postern, its store or its disk is away. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  asSent,
  documentOf,
  leftOutWithoutPostfix,
  type Site,
  showLogsOnFailure,
  startSite,
  storesFor,
} from './site.ts'

const MESSAGE =
  'From: alice@example.net\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\nHello.\r\n'
const LISTS = ['team', 'queued', 'disk'].map(name => ({ name, members: ['alice@example.net'] }))
const TROUBLE = '451 4.3.5 <team@lists.example.org>: Recipient address rejected: Server configuration problem'

const SUITE = 'Postfix while Postern is away'

describe.skipIf(leftOutWithoutPostfix(SUITE)).each(storesFor(SUITE))('on the %s store', store => {
  let site: Site
  beforeAll(async () => {
    site = await startSite({
      store,
      postfix: { snippets: ['main.cf.policy-rcpt', 'main.cf.lmtp'] },
      lists: LISTS,
      failuresExpected: true,
    })
  })
  afterAll(() => site?.stop())
  showLogsOnFailure(() => site)
  afterEach(async () => {
    expect(await site.settled()).toEqual([])
  })

  test('Postern down: 451 for lists, other mail flows; back up: mail flows, on the same connection', async () => {
    const client = await site.insider()
    await client.command('MAIL FROM:<alice@example.net>')
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe('250 2.1.5 Ok')
    expect(await site.postern.stop()).toBe(0)

    await client.dialogue('RSET', 'MAIL FROM:<alice@example.net>')
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe(TROUBLE)
    expect(await client.command('RCPT TO:<bob@elsewhere.example>')).toBe('250 2.1.5 Ok')
    expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)

    await site.postern.start()
    await client.command('MAIL FROM:<alice@example.net>')
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe('250 2.1.5 Ok')
    expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
    const sent = await site.settled()
    expect(sent.map(({ recipients }) => recipients)).toEqual([['bob@elsewhere.example']])
    expect(site.copies('team').map(asSent)).toEqual([MESSAGE])
  })

  test('Postern goes down behind RCPT: the message waits in the queue and is delivered once', async () => {
    const client = await site.outsider()
    await client.command('MAIL FROM:<alice@example.net>')
    expect(await client.command('RCPT TO:<queued@lists.example.org>')).toBe('250 2.1.5 Ok')
    await site.postern.stop()
    expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
    await site.postfix.waitForLog(/to=<queued@lists\.example\.org>.* status=deferred/)
    expect(site.postfix.queueIsEmpty()).toBe(false)
    await site.postern.start()
    await site.postfix.waitForEmptyQueue()
    expect(site.copies('queued').map(asSent)).toEqual([MESSAGE])
  })

  test('the maildir cannot be written to: the sink says so, and nothing is lost', async () => {
    const { maildirRoot } = site.postern
    rmSync(maildirRoot, { recursive: true, force: true })
    writeFileSync(maildirRoot, 'not a directory')
    const client = await site.outsider()
    await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<disk@lists.example.org>')
    expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
    const line = await site.postfix.waitForLog(/to=<disk@lists\.example\.org>.* status=deferred/)
    expect(line).toMatch(/dsn=4\.3\.0, .* 451 4\.3\.0 Temporary failure/)
    rmSync(maildirRoot)
    mkdirSync(maildirRoot)
    await site.postfix.waitForEmptyQueue()
    expect(site.copies('disk').map(asSent)).toEqual([MESSAGE])
  })

  if (store !== 'redis') return
  test('Redis away: 451 4.3.0; back: mail flows, without a restart', async () => {
    const client = await site.outsider()
    await client.command('MAIL FROM:<alice@example.net>')
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe('250 2.1.5 Ok')
    await site.redis?.stop()
    await client.dialogue('RSET', 'MAIL FROM:<alice@example.net>')
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe(
      '451 4.3.0 <team@lists.example.org>: Recipient address rejected: Temporary failure; try again later',
    )
    await site.redis?.restart()
    await site.postern.load(documentOf(LISTS))
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe('250 2.1.5 Ok')
  })
})
