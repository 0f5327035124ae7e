/**
 * No backscatter, with a real Postfix: whatever Postfix has taken and only the sink can refuse, no bounce goes to a
 * stranger; and what was let in at RCPT is delivered, though the permission is gone by then. After every case nothing is
 * queued, and nothing was sent on.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type NextHop, startNextHop } from '../support/next-hop.ts'
import {
  asSent,
  type ListOf,
  leftOutWithoutPostfix,
  type Site,
  showLogsOnFailure,
  startSite,
  storesFor,
} from './site.ts'

const SUITE = 'no backscatter behind Postfix'

function message(octets = 0): string {
  const header =
    'From: eve@example.com\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n'
  const filler = `${'x'.repeat(76)}\r\n`
  return `${header}\r\n${filler.repeat(Math.ceil(octets / filler.length))}Hello.\r\n`
}

/** What becomes of it all, as the site and every list say. */
type Choice = 'hold' | 'discard'

interface Late {
  readonly what: string
  readonly sender?: string
  readonly client?: string
  /** `MAIL` says how large the message is. */
  readonly declared?: number
  readonly list: string
  readonly recipient?: string
  readonly octets?: number
  /** What is too large to be taken cannot be held, either. */
  readonly lost?: true
}

const CASES: readonly Late[] = [
  { what: 'who is a stranger to the list', list: 'members' },
  { what: 'an unknown list', list: 'nosuch' },
  { what: 'an unknown list with an odd name', list: 'no such', recipient: '"no such"' },
  { what: 'a service address of an unknown list', list: 'nosuch-owner' },
  { what: 'a banned sender', list: 'open', sender: 'banned@example.net' },
  { what: 'a sender who is forbidden everywhere', list: 'open', sender: 'forbidden@example.net' },
  { what: 'a closed list', list: 'closed' },
  { what: 'an announcement list', list: 'announce', sender: 'alice@example.net' },
  { what: 'a post that is larger than the list takes', list: 'small', octets: 3000 },
  { what: 'a post that says so at MAIL', list: 'small', octets: 3000, declared: 3400 },
  { what: 'a post that is larger than the sink takes', list: 'open', octets: 200_000, lost: true },
  { what: 'one that says so at MAIL', list: 'open', octets: 200_000, declared: 210_000, lost: true },
  { what: 'more recipients than the list allows', list: 'single', recipient: 'open,single' },
  { what: 'the null sender', list: 'open', sender: '' },
  { what: 'a probe’s name, from elsewhere', list: 'nosuch-probed', sender: 'double-bounce@victim.example' },
  { what: 'a probe’s name, to a list', list: 'open', sender: 'double-bounce@victim.example' },
  { what: 'an MTA that is refused', list: 'open', client: '192.0.2.66' },
  { what: 'what the next hop refuses', list: 'relayed' },
  { what: 'what the next hop refuses of a service address', list: 'relayed', recipient: 'relayed-owner' },
]

describe.skipIf(leftOutWithoutPostfix(SUITE)).each<Choice>(['hold', 'discard'])(
  'what only the sink can refuse: %s',
  choice => {
    let site: Site
    let hop: NextHop
    const late = { late_refusal: choice }
    const lists: readonly ListOf[] = [
      { name: 'members', settings: late, members: ['alice@example.net'] },
      { name: 'open', settings: { ...late, nonmember_action: 'accept' } },
      { name: 'closed', settings: { ...late, state: 'closed' } },
      {
        name: 'announce',
        settings: { ...late, member_action: 'reject', nonmember_action: 'reject' },
        members: ['alice@example.net'],
      },
      { name: 'small', settings: { ...late, nonmember_action: 'accept', max_size: 2000 } },
      { name: 'single', settings: { ...late, nonmember_action: 'accept', max_recipients: 1 } },
      { name: 'relayed', settings: { ...late, nonmember_action: 'accept', delivery: 'hop' } },
    ]
    beforeAll(async () => {
      hop = await startNextHop({ RCPT: () => '550 5.7.1 Not here\r\n' })
      site = await startSite({
        store: 'embedded',
        postfix: {
          snippets: ['main.cf.lmtp'],
          // Whom XCLIENT names comes by the loopback interface, and is from elsewhere all the same.
          mainCf: 'local_header_rewrite_clients =\n',
        },
        lists,
        sink: 'max_size = 100000',
        config: `[site]\nlate_refusal = "${choice}"\n[delivery.relay.hop]\nto = "127.0.0.1:${hop.endpoint.port}"\n`,
        document: {
          bans: ['banned@example.net'],
          forbidden: ['forbidden@example.net'],
          mtas: { refused: ['192.0.2.66'] },
        },
      })
    })
    afterAll(async () => {
      await site?.stop()
      await hop?.stop()
    })
    showLogsOnFailure(() => site)
    afterEach(async () => {
      expect(await site.settled()).toEqual([])
      expect(site.postfix.log()).not.toMatch(/status=bounced|sender non-delivery/)
    })

    test.each(CASES)('$what', async ({ list, sender = 'eve@example.com', client: from, ...about }) => {
      const before = { held: (await site.held(list)).length, copies: site.copies(list).length }
      const client = await site.outsider(from)
      const size = about.declared === undefined ? '' : ` SIZE=${about.declared}`
      const recipients = (about.recipient ?? list)
        .split(',')
        .map(name => `RCPT TO:<${name}@lists.example.org>`)
      const replies = await client.dialogue(`MAIL FROM:<${sender}>${size}`, ...recipients)
      expect(replies.every(reply => reply.startsWith('250'))).toBe(true)
      expect(await client.data(message(about.octets))).toMatch(/^250 2\.0\.0 /)
      expect(await site.settled()).toEqual([])
      const held = (await site.held(list)).length - before.held
      expect(held).toBe(choice === 'hold' && about.lost === undefined ? 1 : 0)
      expect(site.copies(list)).toHaveLength(before.copies)
    })
  },
)

describe.skipIf(leftOutWithoutPostfix(SUITE)).each(storesFor(SUITE))(
  'who was let in, on the %s store',
  store => {
    let site: Site
    const members = ['alice@example.net']
    beforeAll(async () => {
      site = await startSite({
        store,
        postfix: { snippets: ['main.cf.policy-rcpt', 'main.cf.lmtp'] },
        lists: [
          { name: 'gone', members },
          { name: 'banned', members },
          { name: 'strict', members, settings: { honour_admission: 'no' } },
          { name: 'small', members, settings: { nonmember_action: 'accept', max_size: 2000 } },
          { name: 'team', members },
          { name: 'deleted', members },
        ],
      })
    })
    afterAll(() => site?.stop())
    showLogsOnFailure(() => site)

    /** Posts to a list, with Postern away as soon as Postfix knows that it may take the message; then things change. */
    async function postMeanwhile(list: string, ...changes: readonly (readonly string[])[]): Promise<void> {
      const client = await site.outsider()
      await client.command('MAIL FROM:<alice@example.net>')
      expect(await client.command(`RCPT TO:<${list}@lists.example.org>`)).toBe('250 2.1.5 Ok')
      await site.postern.stop()
      expect(await client.data(message())).toMatch(/^250 2\.0\.0 /)
      await site.postfix.waitForLog(new RegExp(`to=<${list}@lists\\.example\\.org>.* status=deferred`))
      for (const change of changes) await site.postern.must(...change)
      await site.postern.start()
      expect(await site.settled()).toEqual([])
    }

    test('and was removed while the mail waited: it is delivered', async () => {
      await postMeanwhile('gone', ['member', 'remove', 'gone@lists.example.org', 'alice@example.net'])
      expect(site.copies('gone').map(asSent)).toEqual([message()])
      expect(site.postern.log()).toMatch(
        / accept: RCPT .* reason=admitted-before .*list=<gone@lists\.example\.org>/,
      )
    })

    test('and was banned: it is delivered', async () => {
      await postMeanwhile('banned', ['ban', 'add', 'alice@example.net', '--list', 'banned@lists.example.org'])
      expect(site.copies('banned').map(asSent)).toEqual([message()])
    })

    test('and was removed from a list that does not honour it: it waits for a moderator', async () => {
      await postMeanwhile('strict', ['member', 'remove', 'strict@lists.example.org', 'alice@example.net'])
      expect(site.copies('strict')).toEqual([])
      expect(await site.held('strict')).toHaveLength(1)
      expect(site.postern.log()).toMatch(
        / hold: RCPT .* reason=late-refusal-held .*instead_of=sender-not-permitted/,
      )
    })

    test('and the list was removed: it waits for a moderator', async () => {
      await postMeanwhile('deleted', ['list', 'remove', 'deleted@lists.example.org'])
      expect(await site.held('deleted')).toHaveLength(1)
    })

    test('a member is told of a post that is too big, and a stranger whom the list lets in is not', async () => {
      for (const sender of ['alice@example.net', 'eve@example.com']) {
        const client = await site.outsider()
        await client.dialogue(`MAIL FROM:<${sender}>`, 'RCPT TO:<small@lists.example.org>')
        expect(await client.data(message(3000))).toMatch(/^250 2\.0\.0 /)
      }
      const sent = await site.settled()
      expect(sent.map(({ sender, recipients }) => [sender, recipients])).toEqual([
        ['', ['alice@example.net']],
      ])
      expect(await site.held('small')).toHaveLength(1)
    })

    test('a stranger is refused by the policy server, and nothing comes to the sink', async () => {
      const client = await site.outsider()
      const replies = await client.dialogue('MAIL FROM:<eve@example.com>', 'RCPT TO:<team@lists.example.org>')
      expect(replies[1]).toMatch(/^550 5\.7\.2 /)
      expect(await site.settled()).toEqual([])
      expect(await site.held('team')).toEqual([])
    })
  },
)
