/** Postfix looks lists up in Postern: what is made while it runs receives mail at once, with nothing touched in it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { SmtpClient } from '../support/smtp-client.ts'
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
const ACCEPTED = '250 2.1.5 Ok'
const AWAY = 'Temporary lookup failure'

/** What a sender is told of a recipient, in a new transaction on the same connection. */
async function rcpt(client: SmtpClient, recipient: string, sender = 'alice@example.net'): Promise<string> {
  await client.dialogue('RSET', `MAIL FROM:<${sender}>`)
  return client.command(`RCPT TO:<${recipient}>`)
}

/** Sends the message to the recipient that was accepted. */
async function send(client: SmtpClient): Promise<void> {
  expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
}

const SUITE = 'Postfix with everything looked up'

describe.skipIf(leftOutWithoutPostfix(SUITE)).each(storesFor(SUITE))('everything, on the %s store', store => {
  let site: Site
  const lists = ['team', 'queued'].map(name => ({ name, members: ['alice@example.net'] }))
  const document = { domains: [{ domain: 'lists.example.org' }, { domain: 'other.example.org' }] }
  beforeAll(async () => {
    site = await startSite({
      store,
      socketmap: true,
      postfix: { snippets: ['main.cf.socketmap'] },
      lists,
      document,
      failuresExpected: true,
    })
  })
  afterAll(() => site?.stop())
  showLogsOnFailure(() => site)

  test('a new domain and a new list', async () => {
    const client = await site.outsider()
    expect(await rcpt(client, 'early@new.example.org')).toBe(
      '554 5.7.1 <early@new.example.org>: Relay access denied',
    )
    await site.postern.must('domain', 'add', 'new.example.org')
    expect(await rcpt(client, 'news@new.example.org')).toBe(
      '550 5.1.1 <news@new.example.org>: Recipient address rejected: There is no list news@new.example.org',
    )
    await site.postern.must('list', 'add', 'news@new.example.org', '--preset', 'open')
    expect(await rcpt(client, 'news@new.example.org')).toBe(ACCEPTED)
    await send(client)
    expect(await site.settled()).toEqual([])
    expect(site.copies('../new.example.org/news').map(asSent)).toEqual([MESSAGE])
    expect(site.postfix.log()).not.toMatch(/reload|refresh/)
  })

  test('the law is asked before mail is taken', async () => {
    const client = await site.outsider()
    expect(await rcpt(client, 'team@lists.example.org', 'eve@example.com')).toBe(
      '550 5.7.2 <team@lists.example.org>: Recipient address rejected: You are not permitted to post to team@lists.example.org',
    )
    expect(await rcpt(client, 'team-owner@lists.example.org', 'eve@example.com')).toBe(ACCEPTED)
    expect(await rcpt(client, 'team+detail@lists.example.org')).toBe(ACCEPTED)
    await send(client)
    expect(await site.settled()).toEqual([])
    expect(site.copies('team').map(asSent)).toEqual([MESSAGE])
  })

  test('postmaster and abuse of every list domain reach a human, and other mail is as ever', async () => {
    const client = await site.insider()
    const recipients = ['postmaster@lists.example.org', 'Abuse@other.example.org', 'bob@elsewhere.example']
    for (const recipient of recipients) {
      expect(await rcpt(client, recipient, 'eve@example.com')).toBe(ACCEPTED)
      await send(client)
    }
    const sent = await site.settled()
    expect(sent.map(each => each.recipients.join()).sort()).toEqual([
      'bob@elsewhere.example',
      'postmaster@example.org',
      'postmaster@example.org',
    ])
  })

  test('mail that is queued while Postern is away is delivered once, when it is back', async () => {
    const { maildirRoot } = site.postern
    rmSync(maildirRoot, { recursive: true, force: true })
    writeFileSync(maildirRoot, 'not a directory')
    const client = await site.outsider()
    expect(await rcpt(client, 'queued@lists.example.org')).toBe(ACCEPTED)
    await send(client)
    await site.postfix.waitForLog(/to=<queued@lists\.example\.org>.* status=deferred .* 451 4\.3\.0 /)
    await site.postern.stop()
    await site.postfix.waitForLog(
      /to=<queued@lists\.example\.org>.* status=deferred .*(?:refused|lookup|rewrite)/,
    )
    rmSync(maildirRoot)
    mkdirSync(maildirRoot)
    await site.postern.start()
    expect(await site.settled()).toEqual([])
    expect(site.copies('queued').map(asSent)).toEqual([MESSAGE])
  })

  test('the store is away: 451, whoever is written to; back: mail flows, with no restart', async () => {
    // Two processes: each remembers what it was told of an address, a failure as well.
    const [client, other] = [await site.insider(), await site.insider()]
    await (store === 'redis' ? site.redis?.stop() : site.postern.stop())
    for (const recipient of ['lost@lists.example.org', 'nobody@elsewhere.example']) {
      expect(await rcpt(client, recipient)).toBe(`451 4.3.0 <${recipient}>: ${AWAY}`)
    }
    await (store === 'redis' ? site.redis?.restart() : site.postern.start())
    await site.postern.load(
      documentOf([...lists, { name: 'lost', members: ['alice@example.net'] }], document),
    )
    expect(await rcpt(client, 'team@lists.example.org')).toBe(ACCEPTED)
    expect(await rcpt(other, 'lost@lists.example.org')).toBe(ACCEPTED)
    await send(other)
    expect(await site.settled()).toEqual([])
    expect(site.copies('lost').map(asSent)).toEqual([MESSAGE])
  })
})

describe.skipIf(leftOutWithoutPostfix('Postfix with recipients looked up'))('recipients alone', () => {
  let site: Site
  beforeAll(async () => {
    site = await startSite({
      store: 'embedded',
      socketmap: true,
      postfix: { snippets: ['main.cf.socketmap-recipients'] },
      lists: [{ name: 'paused', settings: { state: 'paused' } }],
    })
  })
  afterAll(() => site?.stop())
  showLogsOnFailure(() => site)
  afterEach(async () => {
    expect(await site.settled()).toEqual([])
  })

  test('an unknown list is refused by Postfix itself; a new one takes mail at once', async () => {
    const client = await site.outsider()
    expect(await rcpt(client, 'fresh@lists.example.org')).toBe(
      '550 5.1.1 <fresh@lists.example.org>: Recipient address rejected: User unknown in virtual mailbox table',
    )
    await site.postern.must('list', 'add', 'fresh@lists.example.org', '--preset', 'open')
    expect(await rcpt(client, 'fresh@lists.example.org')).toBe(ACCEPTED)
    await send(client)
    await site.settled()
    expect(site.copies('fresh').map(asSent)).toEqual([MESSAGE])
    await site.postern.must('list', 'remove', 'fresh@lists.example.org')
    expect(await rcpt(await site.outsider(), 'fresh@lists.example.org')).toMatch(/^550 5\.1\.1 /)
  })

  test('a list exists that takes no posts, and so do service addresses; endless names do not', async () => {
    const client = await site.outsider()
    expect(await rcpt(client, 'paused@lists.example.org')).toBe(ACCEPTED)
    expect(await rcpt(client, 'PAUSED-Owner@Lists.Example.ORG')).toBe(ACCEPTED)
    expect(await rcpt(client, '"paused"@lists.example.org')).toBe(ACCEPTED)
    expect(await rcpt(client, `${'x'.repeat(300)}@lists.example.org`)).toMatch(/^550 5\.1\.1 /)
    expect(await rcpt(client, '"a b"@lists.example.org')).toMatch(/^550 5\.1\.1 /)
  })

  test('Postern is away: mail to lists waits, other mail flows', async () => {
    const client = await site.insider()
    await site.postern.stop()
    expect(await rcpt(client, 'paused@lists.example.org')).toBe(
      `451 4.3.0 <paused@lists.example.org>: ${AWAY}`,
    )
    expect(await rcpt(client, 'bob@elsewhere.example')).toBe(ACCEPTED)
    await site.postern.start()
    expect(await rcpt(client, 'paused@lists.example.org')).toBe(ACCEPTED)
  })
})

describe.skipIf(leftOutWithoutPostfix('Postfix with look-ups by unix socket'))('by unix socket', () => {
  let site: Site
  beforeAll(async () => {
    const table = 'socketmap:unix:postern/socketmap'
    site = await startSite({
      store: 'embedded',
      socketmap: true,
      sockets: 'unix',
      postfix: {
        snippets: [],
        mainCf: `virtual_mailbox_domains = ${table}:domain
virtual_mailbox_maps = ${table}:recipient
transport_maps = ${table}:transport
virtual_alias_maps = ${table}:alias
lmtp_send_xforward_command = yes
smtpd_restriction_classes = nosuch
nosuch = check_recipient_access ${table}:nosuch
smtpd_recipient_restrictions =
    check_recipient_access inline:{ wrong@lists.example.org=nosuch }, reject_unauth_destination
`,
      },
      lists: [{ name: 'team', members: ['alice@example.net'] }],
    })
  })
  afterAll(() => site?.stop())
  showLogsOnFailure(() => site)

  test('list domains as virtual mailbox domains: mail reaches its list, and nobody else gets in', async () => {
    const client = await site.outsider()
    expect(await rcpt(client, 'nosuch@lists.example.org')).toBe(
      '550 5.1.1 <nosuch@lists.example.org>: Recipient address rejected: User unknown in virtual mailbox table',
    )
    expect(await rcpt(client, 'bob@elsewhere.example')).toBe(
      '454 4.7.1 <bob@elsewhere.example>: Relay access denied',
    )
    expect(await rcpt(client, 'team@lists.example.org')).toBe(ACCEPTED)
    await send(client)
    expect(await site.settled()).toEqual([])
    expect(site.copies('team').map(asSent)).toEqual([MESSAGE])
  })

  test('a map that there is not: 451, and the log of Postfix says why', async () => {
    const client = await site.outsider()
    expect(await rcpt(client, 'wrong@lists.example.org')).toBe(
      '451 4.3.5 <wrong@lists.example.org>: Recipient address rejected: Server configuration error',
    )
    await site.postfix.waitForLog(
      /socketmap server permanent error: there is no map of that name; the maps are/,
    )
  })
})
