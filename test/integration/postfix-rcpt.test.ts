/** The usual set-up, `main.cf.policy-rcpt` with `main.cf.lmtp`: each case as a client sees it, and what becomes of the mail. */
import { execFileSync } from 'node:child_process'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  asSent,
  asSentBeforeHeld,
  type ListOf,
  leftOutWithoutPostfix,
  type Site,
  showLogsOnFailure,
  startSite,
  storesFor,
} from './site.ts'

const MEMBERS = { nonmember_action: 'reject' }

const LISTS: readonly ListOf[] = [
  { name: 'team', members: ['alice@example.net'] },
  { name: 'post', members: ['alice@example.net'] },
  { name: 'bdat', members: ['alice@example.net'] },
  { name: 'two', members: ['alice@example.net'] },
  { name: 'closedtoalice', members: ['bob@example.net'] },
  { name: 'twice', members: ['alice@example.net'] },
  { name: 'null', members: ['alice@example.net'] },
  { name: 'serv', members: ['alice@example.net'] },
  { name: 'mixed', members: ['alice@example.net'] },
  { name: 'moderated', settings: { member_action: 'hold', nonmember_action: 'hold' } },
  { name: 'dropping', settings: { nonmember_action: 'discard' } },
  { name: 'größe', members: ['jürgen@example.net'] },
  { name: 'paused', settings: { state: 'paused' }, members: ['alice@example.net'] },
  { name: 'closed', settings: { state: 'closed' }, members: ['alice@example.net'] },
  { name: 'small', settings: { max_size: 1000 }, members: ['alice@example.net'] },
  { name: 'alone', settings: { max_recipients: 1 }, members: ['alice@example.net'] },
  {
    name: 'wordy',
    settings: { reply_text: 'members only', reply_url: 'https://lists.example.org/wordy' },
  },
  { name: 'live', members: ['alice@example.net'] },
]

const REFUSED = (list: string): string =>
  `550 5.7.2 <${list}@lists.example.org>: Recipient address rejected: You are not permitted to post to ${list}@lists.example.org`

/** Everything that SMTP can carry and that is easily damaged on the way. */
const MESSAGE = [
  'From: Alice <alice@example.net>',
  'To: team@lists.example.org',
  'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=',
  'Date: Sun, 22 Nov 2026 10:00:00 +0000',
  'Message-ID: <1@example.net>',
  'X-Folded: one',
  '\ttwo',
  '',
  'Grüße, 8 bit.',
  '.',
  '..two dots',
  'From a line that looks like an mbox',
  '   leading and trailing blanks   ',
  'x'.repeat(990),
  '',
  '',
  '',
].join('\r\n')

const SUITE = 'Postfix with main.cf.policy-rcpt'

describe.skipIf(leftOutWithoutPostfix(SUITE)).each(storesFor(SUITE))(
  'main.cf.policy-rcpt on the %s store',
  store => {
    let site: Site
    beforeAll(async () => {
      site = await startSite({
        store,
        postfix: { snippets: ['main.cf.policy-rcpt', 'main.cf.lmtp'] },
        lists: LISTS.map(list => ({ ...list, settings: { ...MEMBERS, ...list.settings } })),
      })
    })
    afterAll(() => site?.stop())
    showLogsOnFailure(() => site)
    afterEach(async () => {
      expect(await site.settled()).toEqual([])
    })

    describe('at RCPT', () => {
      test.each(['outsider', 'insider'] as const)('a stranger is refused by the list, as %s', async from => {
        const client = await site[from]()
        expect(
          await client.dialogue('MAIL FROM:<eve@example.net>', 'RCPT TO:<team@lists.example.org>'),
        ).toEqual(['250 2.1.0 Ok', REFUSED('team')])
        expect(await client.command('DATA')).toBe('554 5.5.1 Error: no valid recipients')
        expect(site.copies('team')).toEqual([])
      })

      test.each([
        ['an unknown list', 'nosuch', '550 5.1.1', 'There is no list nosuch@lists.example.org'],
        [
          'an unknown service address',
          'team-nosuch',
          '550 5.1.1',
          'There is no list team-nosuch@lists.example.org',
        ],
        [
          'a paused list',
          'paused',
          '451 4.2.4',
          'The list paused@lists.example.org is paused; try again later',
        ],
        ['a closed list', 'closed', '550 5.2.4', 'The list closed@lists.example.org is closed'],
        [
          'a list with words of its own',
          'wordy',
          '550 5.7.2',
          'wordy@lists.example.org: members only; see https://lists.example.org/wordy',
        ],
      ])('%s', async (_, list, code, text) => {
        const client = await site.outsider()
        await client.command('MAIL FROM:<alice@example.net>')
        expect(await client.command(`RCPT TO:<${list}@lists.example.org>`)).toBe(
          `${code} <${list}@lists.example.org>: Recipient address rejected: ${text}`,
        )
      })

      test('a message that declares itself too large', async () => {
        const client = await site.outsider()
        await client.command('MAIL FROM:<alice@example.net> SIZE=1001')
        expect(await client.command('RCPT TO:<small@lists.example.org>')).toBe(
          '552 5.3.4 <small@lists.example.org>: Recipient address rejected: The message is larger than the 1000 bytes that small@lists.example.org takes',
        )
      })

      test('a list that wants to be the only recipient', async () => {
        const client = await site.outsider()
        expect(
          await client.dialogue(
            'MAIL FROM:<alice@example.net>',
            'RCPT TO:<team@lists.example.org>',
            'RCPT TO:<alone@lists.example.org>',
          ),
        ).toEqual([
          '250 2.1.0 Ok',
          '250 2.1.5 Ok',
          '550 5.5.3 <alone@lists.example.org>: Recipient address rejected: A message to alone@lists.example.org may not have more than 1 recipients here',
        ])
      })

      test('nobody relays because of Postern, and mail elsewhere is none of its business', async () => {
        const outsider = await site.outsider()
        await outsider.command('MAIL FROM:<alice@example.net>')
        expect(await outsider.command('RCPT TO:<bob@elsewhere.example>')).toBe(
          '554 5.7.1 <bob@elsewhere.example>: Relay access denied',
        )
        const insider = await site.insider()
        await insider.dialogue('MAIL FROM:<eve@example.net>', 'RCPT TO:<bob@elsewhere.example>')
        expect(await insider.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        const sent = await site.settled()
        expect(sent.map(({ sender, recipients }) => ({ sender, recipients }))).toEqual([
          { sender: 'eve@example.net', recipients: ['bob@elsewhere.example'] },
        ])
      })

      test("the postmaster of the list domain is Postfix's to find", async () => {
        const client = await site.outsider()
        expect(
          await client.dialogue('MAIL FROM:<eve@example.net>', 'RCPT TO:<postmaster@lists.example.org>'),
        ).toEqual(['250 2.1.0 Ok', '250 2.1.5 Ok'])
        expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        const sent = await site.settled()
        expect(sent.map(({ recipients }) => recipients)).toEqual([['postmaster@example.org']])
      })
    })

    describe('delivery', () => {
      test("a member's message is in the maildir, byte for byte, below the lines that were added", async () => {
        const client = await site.outsider()
        expect(
          await client.dialogue(
            'MAIL FROM:<alice@example.net> BODY=8BITMIME',
            'RCPT TO:<post@lists.example.org>',
          ),
        ).toEqual(['250 2.1.0 Ok', '250 2.1.5 Ok'])
        expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 Ok: queued as /)
        await site.postfix.waitForEmptyQueue()
        const copies = site.copies('post')
        expect(copies.map(asSent)).toEqual([MESSAGE])
        expect(copies[0]?.toString()).toMatch(
          /^Return-Path: <alice@example\.net>\r\nDelivered-To: post@lists\.example\.org\r\nReceived: from mx\.example\.org \(\[127\.0\.0\.1\]\)\r\n/,
        )
      })

      test('the same by BDAT', async () => {
        const client = await site.outsider()
        await client.dialogue(
          'MAIL FROM:<alice@example.net> BODY=8BITMIME',
          'RCPT TO:<bdat@lists.example.org>',
        )
        expect(await client.bdat(MESSAGE)).toMatch(/^250 2\.0\.0 Ok: \d+ bytes queued as /)
        await site.postfix.waitForEmptyQueue()
        expect(site.copies('bdat').map(asSent)).toEqual([MESSAGE])
      })

      test('of two recipients one is refused, and the other gets the message', async () => {
        const client = await site.outsider()
        expect(
          await client.dialogue(
            'MAIL FROM:<alice@example.net>',
            'RCPT TO:<closedtoalice@lists.example.org>',
            'RCPT TO:<two@lists.example.org>',
          ),
        ).toEqual(['250 2.1.0 Ok', REFUSED('closedtoalice'), '250 2.1.5 Ok'])
        expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        await site.postfix.waitForEmptyQueue()
        expect(site.copies('two').map(asSent)).toEqual([MESSAGE])
        expect(site.copies('closedtoalice')).toEqual([])
      })

      test('a recipient that is named twice, and in another case, is one copy: Postfix sees to that', async () => {
        const client = await site.outsider()
        const replies = await client.pipeline(
          'MAIL FROM:<alice@example.net>',
          'RCPT TO:<twice@lists.example.org>',
          'RCPT TO:<twice@lists.example.org>',
          'RCPT TO:<TWICE@LISTS.example.org>',
          'DATA',
        )
        expect(replies.map(reply => reply.slice(0, 3))).toEqual(['250', '250', '250', '250', '354'])
        expect(await client.content(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        await site.postfix.waitForEmptyQueue()
        expect(site.copies('twice').map(asSent)).toEqual([MESSAGE])
      })

      test('a post to a moderated list waits for its moderators', async () => {
        const client = await site.outsider()
        await client.dialogue('MAIL FROM:<eve@example.net>', 'RCPT TO:<moderated@lists.example.org>')
        expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        await site.postfix.waitForEmptyQueue()
        expect(site.copies('moderated')).toEqual([])
        expect((await site.held('moderated')).map(asSentBeforeHeld)).toEqual([MESSAGE])
      })

      test('a post to a list that drops them is nowhere', async () => {
        const client = await site.outsider()
        await client.dialogue('MAIL FROM:<eve@example.net>', 'RCPT TO:<dropping@lists.example.org>')
        expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        await site.postfix.waitForEmptyQueue()
        expect(site.copies('dropping')).toEqual([])
        expect(await site.held('dropping')).toEqual([])
      })

      test('addresses in UTF-8', async () => {
        const client = await site.outsider()
        expect(
          await client.dialogue('MAIL FROM:<eve@example.net> SMTPUTF8', 'RCPT TO:<größe@lists.example.org>'),
        ).toEqual([
          '250 2.1.0 Ok',
          '550 5.7.2 <größe@lists.example.org>: Recipient address rejected: You are not permitted to post to gr\\x{F6}\\x{DF}e@lists.example.org',
        ])
        await client.dialogue(
          'RSET',
          'MAIL FROM:<jürgen@example.net> SMTPUTF8 BODY=8BITMIME',
          'RCPT TO:<größe@lists.example.org>',
        )
        expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        await site.postfix.waitForEmptyQueue()
        expect(site.copies('gr%C3%B6%C3%9Fe').map(asSent)).toEqual([MESSAGE])
      })
    })

    describe('the null sender', () => {
      const REFUSAL = 'The null sender may not post to a list, and every recipient is one'

      test('is accepted at RCPT and refused at DATA', async () => {
        const client = await site.outsider()
        expect(await client.dialogue('MAIL FROM:<>', 'RCPT TO:<null@lists.example.org>', 'DATA')).toEqual([
          '250 2.1.0 Ok',
          '250 2.1.5 Ok',
          `550 5.7.2 <DATA>: Data command rejected: ${REFUSAL}`,
        ])
      })

      test('is accepted at RCPT and refused at DATA for two lists', async () => {
        const client = await site.outsider()
        const replies = await client.dialogue(
          'MAIL FROM:<>',
          'RCPT TO:<null@lists.example.org>',
          'RCPT TO:<team@lists.example.org>',
          'DATA',
        )
        expect(replies.at(-1)).toBe(`550 5.7.2 <DATA>: Data command rejected: ${REFUSAL}`)
      })

      test('is refused at BDAT', async () => {
        const client = await site.outsider()
        await client.dialogue('MAIL FROM:<>', 'RCPT TO:<null@lists.example.org>')
        expect(await client.bdat(MESSAGE)).toBe(`550 5.7.2 <DATA>: Data command rejected: ${REFUSAL}`)
        expect(site.copies('null')).toEqual([])
      })

      test('learns that an unknown list is unknown', async () => {
        const client = await site.outsider()
        await client.command('MAIL FROM:<>')
        expect(await client.command('RCPT TO:<nosuch@lists.example.org>')).toMatch(/^550 5\.1\.1 /)
      })

      test.each([
        ['the null sender', ''],
        ['a stranger', 'eve@example.net'],
      ])('%s writes to every service address', async (_, sender) => {
        const services = [
          'bounces',
          'confirm',
          'join',
          'leave',
          'owner',
          'request',
          'subscribe',
          'unsubscribe',
        ]
        const before = services.map(service => site.copies('serv', `.${service}`).length)
        const client = await site.outsider()
        const replies = await client.dialogue(
          `MAIL FROM:<${sender}>`,
          ...services.map(service => `RCPT TO:<serv-${service}@lists.example.org>`),
          'RCPT TO:<serv-bounces+alice=example.net@lists.example.org>',
        )
        expect(replies).toEqual(['250 2.1.0 Ok', ...Array(9).fill('250 2.1.5 Ok')])
        expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        await site.postfix.waitForEmptyQueue()
        const after = services.map(service => site.copies('serv', `.${service}`).length)
        const new_ = after.map((count, index) => count - (before[index] ?? 0))
        expect(new_).toEqual([2, 1, 1, 1, 1, 1, 1, 1])
        expect(site.copies('serv')).toEqual([])
      })

      test('to a list and its owner at once reaches the owner, and nobody is told', async () => {
        const client = await site.outsider()
        await client.dialogue(
          'MAIL FROM:<>',
          'RCPT TO:<mixed@lists.example.org>',
          'RCPT TO:<mixed-owner@lists.example.org>',
        )
        expect(await client.data(MESSAGE)).toMatch(/^250 2\.0\.0 /)
        await site.postfix.waitForEmptyQueue()
        expect(site.copies('mixed-owner')).toEqual([])
        expect(site.copies('mixed', '.owner').map(asSent)).toEqual([MESSAGE])
        expect(site.copies('mixed')).toEqual([])
      })
    })

    test('what the task document says to try', async () => {
      const { configDirectory } = site.postfix
      const run = (command: string, ...args: readonly string[]): string =>
        execFileSync(`/usr/sbin/${command}`, ['-c', configDirectory, ...args], { encoding: 'utf8' }).trim()
      expect(run('postmap', '-q', 'lists.example.org', run('postconf', '-hx', 'transport_maps'))).toMatch(
        /^lmtp:inet:127\.0\.0\.1:\d+$/,
      )
      expect(run('postmap', '-q', 'lists.example.org', 'inline:{ lists.example.org=postern }')).toBe(
        'postern',
      )
      // As nc -N does it: what was piped in is sent, then our side is closed.
      const { policy } = site.postern
      const socket = connect({
        port: policy.kind === 'tcp' ? policy.port : 0,
        host: '127.0.0.1',
        allowHalfOpen: true,
      })
      socket.end(
        'request=smtpd_access_policy\nprotocol_state=RCPT\nsender=stranger@example.net\nrecipient=team@lists.example.org\n\n',
      )
      expect(await text(socket)).toBe(
        'action=550 5.7.2 You are not permitted to post to team@lists.example.org\n\n',
      )
    })

    test('a change at the command line counts with the next question', async () => {
      const client = await site.outsider()
      const ask = async (sender: string): Promise<string> => {
        const [, , reply = ''] = await client.dialogue(
          'RSET',
          `MAIL FROM:<${sender}>`,
          'RCPT TO:<live@lists.example.org>',
        )
        return reply
      }
      expect(await ask('carol@example.net')).toBe(REFUSED('live'))
      await site.postern.must('member', 'add', 'live@lists.example.org', 'carol@example.net')
      expect(await ask('carol@example.net')).toBe('250 2.1.5 Ok')
      await site.postern.must('ban', 'add', '@example.net', '--list', 'live@lists.example.org')
      expect(await ask('carol@example.net')).toBe(
        '550 5.7.2 <live@lists.example.org>: Recipient address rejected: You are banned from posting to live@lists.example.org',
      )
      await site.postern.must('list', 'remove', 'live@lists.example.org')
      expect(await ask('carol@example.net')).toMatch(/^550 5\.1\.1 /)
    })
  },
)
