/** Postfix → Postern → mlmmj, by a program for each copy: Debian's packages, and all of a list's addresses. */
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { MLMMJ_RECEIVE, type Mlmmj, mlmmjMissing, startMlmmj } from '../support/mlmmj.ts'
import { DOMAIN, leftOutWithoutPostfix, type Site, showLogsOnFailure, startSite } from './site.ts'

const SUITE = 'Postfix, Postern and mlmmj'
const SUBSCRIBERS = ['alice@example.net', 'bob@example.net']
const OWNER = 'owner@example.net'

function message(to: string, subject: string): string {
  return `From: alice@example.net\r\nTo: ${to}\r\nSubject: ${subject}\r\nMessage-ID: <${subject}@example.net>\r\n\r\nHello.\r\n`
}

const leftOut = mlmmjMissing(SUITE) !== undefined || leftOutWithoutPostfix(SUITE)

describe.skipIf(leftOut)('a list of mlmmj', () => {
  let mlmmj: Mlmmj
  let site: Site

  beforeAll(async () => {
    mlmmj = await startMlmmj()
    mlmmj.makeList('team', DOMAIN, { owner: OWNER, subscribers: SUBSCRIBERS })
    mlmmj.makeList('away', DOMAIN, { owner: OWNER, subscribers: SUBSCRIBERS })
    mlmmj.makeList('slow', DOMAIN, { owner: OWNER, subscribers: SUBSCRIBERS })
    const settings = { flavour: 'mlmmj', delivery: 'mlmmj' }
    site = await startSite({
      store: 'embedded',
      postfix: { snippets: ['main.cf.policy-rcpt', 'main.cf.lmtp'] },
      config: `[delivery.pipe.mlmmj]
command = ["${MLMMJ_RECEIVE}", "-F", "-L", "${mlmmj.spool}/{list_domain}/{list_local}"]
`,
      lists: [
        { name: 'team', settings, members: SUBSCRIBERS },
        { name: 'away', settings, members: SUBSCRIBERS },
        { name: 'slow', settings: { ...settings, member_action: 'hold' }, members: SUBSCRIBERS },
      ],
      failuresExpected: true,
    })
  })

  afterAll(async () => {
    await site?.stop()
    await mlmmj?.stop()
  })

  showLogsOnFailure(() => site)

  afterEach(async () => {
    // Postfix bounces nothing.
    expect(await site.settled()).toEqual([])
  })

  /** Sends from outside, and gives Postfix's replies to RCPT and to the end of the message. */
  async function send(sender: string, to: string, subject: string): Promise<readonly string[]> {
    const client = await site.outsider()
    const replies = await client.dialogue(`MAIL FROM:<${sender}>`, `RCPT TO:<${to}>`)
    if (replies.at(-1)?.startsWith('250') !== true) return replies.slice(1)
    return [...replies.slice(1), await client.data(message(to, subject))]
  }

  const archived = (list: string): readonly string[] => Object.values(mlmmj.files(list, DOMAIN, 'archive'))

  test('gets a member’s post, archives it and sends it to its subscribers', async () => {
    expect(await send('alice@example.net', `team@${DOMAIN}`, 'post')).toEqual([
      '250 2.1.5 Ok',
      expect.stringMatching(/^250 2\.0\.0 /),
    ])
    await vi.waitFor(
      () => expect(mlmmj.sent.flatMap(sent => sent.recipients).sort()).toEqual(SUBSCRIBERS),
      10_000,
    )
    expect(mlmmj.sent[0]?.sender).toMatch(/^team\+bounces-1-.+@lists\.example\.org$/)
    const [post = '', ...more] = archived('team')
    expect(more).toEqual([])
    expect(post).toMatch(/\nSubject: post\n[\s\S]*\n\nHello\.\n$/)
    expect(post).not.toContain('\r')
    await vi.waitFor(() => expect(site.postern.log()).toMatch(/message delivered.*delivery=<mlmmj>/), 10_000)
  })

  test('never sees a stranger’s post', async () => {
    const [reply] = await send('eve@example.net', `team@${DOMAIN}`, 'stranger')
    expect(reply).toMatch(/^550 5\.7\.2 /)
    expect(archived('team')).toHaveLength(1)
  })

  test.each([
    ['help', 'alice@example.net', /^Subject: .*information/im],
    ['subscribe', 'alice@example.net', /^Subject: .*subscri/im],
    ['owner', OWNER, /^Subject: to-owner/m],
  ])('answers the author at its address +%s', async (service, answered, content) => {
    const before = mlmmj.sent.length
    const [reply] = await send('eve@example.net', `team+${service}@${DOMAIN}`, `to-${service}`)
    expect(reply).toBe('250 2.1.5 Ok')
    await vi.waitFor(() => expect(mlmmj.sent.length).toBeGreaterThan(before), 10_000)
    const [sent] = mlmmj.sent.slice(before)
    expect(sent?.recipients).toEqual([answered])
    expect(sent?.content.toString()).toMatch(content)
  })

  test('gets a bounce, of which it keeps a note', async () => {
    const [reply] = await send('', `team+bounces-1-bob=example.net@${DOMAIN}`, 'bounce')
    expect(reply).toBe('250 2.1.5 Ok')
    await vi.waitFor(
      () => expect(Object.keys(mlmmj.files('team', DOMAIN, 'bounce'))).toContain('bob=example.net'),
      10_000,
    )
  })

  test('that is away for a while gets its mail, once, when it is back; until then it waits in Postfix', async () => {
    const there = join(mlmmj.spool, DOMAIN, 'away')
    renameSync(there, `${there}.gone`)
    expect(await send('alice@example.net', `away@${DOMAIN}`, 'later')).toHaveLength(2)
    const line = await site.postfix.waitForLog(/to=<away@lists\.example\.org>.* status=deferred/)
    expect(line).toMatch(/dsn=4\.3\.0, .* 451 4\.3\.0 Temporary failure/)
    await vi.waitFor(
      () => expect(site.postern.log()).toMatch(/error: message not delivered.*mlmmj-receive ended with 1/),
      10_000,
    )
    renameSync(`${there}.gone`, there)
    await site.postfix.waitForEmptyQueue()
    await vi.waitFor(() => expect(archived('away')).toHaveLength(1), 10_000)
  })

  test('never sees a post that waits for a moderator: it is in the queue of held posts', async () => {
    await send('alice@example.net', `slow@${DOMAIN}`, 'held')
    await site.postfix.waitForEmptyQueue()
    expect(await site.held('slow')).toHaveLength(1)
    expect(archived('slow')).toEqual([])
  })
})
