/**
 * No backscatter behind Exim: what its sendmail command takes, nobody was asked about, so only the sink can refuse it. No
 * bounce comes of it, nothing stays in the queue, and nothing is frozen.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type EximSite, leftOutWithoutExim, showEximLogsOnFailure, startEximSite } from './exim-site.ts'
import { asSent, heldFor, type ListOf } from './site.ts'

const SUITE = 'no backscatter behind Exim'

const message = (octets = 0): string =>
  `From: eve@example.com\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n\r\n${`${'x'.repeat(76)}\r\n`.repeat(Math.ceil(octets / 78))}Hello.\r\n`

const LISTS: readonly ListOf[] = [
  { name: 'members', members: ['alice@example.net'] },
  { name: 'drops', settings: { late_refusal: 'discard' } },
  { name: 'open', settings: { nonmember_action: 'accept' } },
  { name: 'closed', settings: { state: 'closed' } },
  { name: 'small', settings: { nonmember_action: 'accept', max_size: 2000 } },
]

interface Late {
  readonly what: string
  readonly list: string
  readonly sender?: string
  readonly octets?: number
  readonly held: number
}

const CASES: readonly Late[] = [
  { what: 'a stranger', list: 'members', held: 1 },
  { what: 'a stranger to a list that drops', list: 'drops', held: 0 },
  { what: 'an unknown list', list: 'nosuch', held: 1 },
  { what: 'a banned sender', list: 'open', sender: 'banned@example.net', held: 1 },
  { what: 'a closed list', list: 'closed', held: 1 },
  { what: 'a post that is too big for the list', list: 'small', octets: 3000, held: 1 },
  { what: 'a post that is too big for the sink', list: 'open', octets: 200_000, held: 0 },
  { what: 'the null sender', list: 'open', sender: '<>', held: 1 },
]

describe.skipIf(leftOutWithoutExim(SUITE))('what only the sink can refuse', () => {
  let site: EximSite
  beforeAll(async () => {
    site = await startEximSite({
      store: 'embedded',
      recipe: 'policy',
      lists: LISTS,
      sink: 'max_size = 100000',
      document: { bans: ['banned@example.net'] },
    })
  })
  afterAll(() => site?.stop())
  showEximLogsOnFailure(() => site)
  afterEach(async () => {
    expect(await site.settled()).toEqual([])
    expect(site.exim.log()).not.toMatch(/ \*\* |[Ff]rozen/)
    expect(site.exim.panicLog()).toBe('')
  })

  test.each(CASES)('$what', async ({ list, sender = 'eve@example.com', octets, held }) => {
    const before = (await heldFor(site.postern, list)).length
    const recipient = `${list}@lists.example.org`
    await site.exim.run('exim4', ['-bm', '-f', sender, recipient], message(octets))
    expect(await site.settled()).toEqual([])
    expect((await heldFor(site.postern, list)).length - before).toBe(held)
    expect(site.copies(list)).toEqual([])
  })

  test('a member posts, the mail waits in the queue, the member is removed: it is delivered', async () => {
    const client = await site.outsider()
    await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<members@lists.example.org>')
    expect(await client.command('DATA')).toMatch(/^354 /)
    // Postern has to be there at the end of the message, which it is asked about; so the list makes the mail wait.
    await site.postern.must('list', 'set', 'members@lists.example.org', 'state=paused')
    expect(await client.content(message())).toMatch(/^250 OK id=/)
    await site.exim.waitForLog(/== members@lists\.example\.org R=postern T=postern defer /)
    await site.postern.must('member', 'remove', 'members@lists.example.org', 'alice@example.net')
    await site.postern.must('list', 'set', 'members@lists.example.org', 'state=active')
    expect(await site.settled()).toEqual([])
    expect(site.copies('members').map(asSent)).toEqual([message()])
    expect(site.postern.log()).toContain('reason=admitted-before')
  })
})
