/**
 * Exim by both recipes, the policy server and the callout, asked at every stage: each case in its phase as a client sees
 * it, and what becomes of the mail.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type EximSite,
  leftOutWithoutExim,
  type Recipe,
  showEximLogsOnFailure,
  startEximSite,
  unwrapped,
} from './exim-site.ts'
import { asSent, heldFor, type ListOf, type StoreKind, storesFor } from './site.ts'

const ALICE = ['alice@example.net']

const LISTS: readonly ListOf[] = [
  ...['team', 'post', 'bdat', 'mine', 'null', 'serv', 'mixed', 'prdr', 'twice'].map(name => ({
    name,
    members: ALICE,
  })),
  { name: 'theirs', members: ['bob@example.net'] },
  { name: 'moderated', settings: { nonmember_action: 'hold' } },
  { name: 'beside-held', settings: { nonmember_action: 'accept' } },
  { name: 'dropping', settings: { nonmember_action: 'discard' } },
  { name: 'beside-dropped', settings: { nonmember_action: 'accept' } },
  { name: 'größe', members: ['jürgen@example.net'] },
  { name: 'paused', settings: { state: 'paused' }, members: ALICE },
  { name: 'closed', settings: { state: 'closed' }, members: ALICE },
  { name: 'banned', settings: { nonmember_action: 'accept' } },
  { name: 'small', settings: { max_size: 1000 }, members: ALICE },
  { name: 'alone', settings: { max_recipients: 1 }, members: ALICE },
  { name: 'seldom', settings: { rate: '2/1h' }, members: ALICE },
  { name: 'open', settings: { nonmember_action: 'accept' } },
  { name: 'wordy', settings: { reply_text: 'members only, all others by post; '.repeat(4).trim() } },
  { name: 'live', members: ALICE },
]

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
  'longer than a line may be: '.repeat(80),
  '',
  '',
  '',
].join('\r\n')

const LARGE = `${MESSAGE}${'long\r\n'.repeat(1000)}`

/** What Exim would expand, were it in a configuration. */
const EXPANDED = ['$', '{run{/bin/false}}$pid'].join('')

const TAKEN = '250 Accepted'
const QUEUED = expect.stringMatching(/^(?:250- \d+ byte chunk, total \d+\n)?250 OK id=/)
const REFUSED = (list: string): string =>
  `550 5.7.2 You are not permitted to post to ${list}@lists.example.org`
const NO_NULL_SENDER = '550 5.7.2 The null sender may not post to a list, and every recipient is one'

const SUITE = 'Exim'
const BOTH: readonly Recipe[] = ['policy', 'callout']
const RUNS: readonly (readonly [Recipe, StoreKind])[] = storesFor(SUITE).flatMap(store =>
  BOTH.map(recipe => [recipe, store] as const),
)

describe.skipIf(leftOutWithoutExim(SUITE)).each(RUNS)('Exim by %s, on the %s store', (recipe, store) => {
  let site: EximSite
  beforeAll(async () => {
    site = await startEximSite({
      store,
      recipe,
      everyStage: true,
      lists: LISTS,
      document: {
        forbidden: ['mallory@example.net', '@spam.example'],
        bans: ['troll@example.com'],
        mtas: { known: ['127.0.0.0/8', '192.0.2.0/24', '2001:db8::/32'], refused: ['.bad.example'] },
      },
      config: '[site]\nmax_recipients = 12',
    })
    await site.postern.must('ban', 'add', 'eve@example.net', '--list', 'banned@lists.example.org')
  })
  afterAll(() => site?.stop())
  showEximLogsOnFailure(() => site)
  afterEach(async () => {
    expect(await site.settled()).toEqual([])
  })

  /** Sends commands, and gives each reply as one text. */
  async function say(...lines: readonly string[]): Promise<string[]> {
    const client = await site.outsider()
    return (await client.dialogue(...lines)).map(unwrapped)
  }

  /** The last of the replies. */
  async function lastOf(...lines: readonly string[]): Promise<string> {
    return (await say(...lines)).at(-1) ?? ''
  }

  describe('before RCPT', () => {
    const UNKNOWN = '550 5.7.1 This host is not known here as a mail server'

    test.each([
      ['an unknown MTA', '203.0.113.5', 'mx.example.com', UNKNOWN],
      ['an unknown MTA that says it is another', '203.0.113.5', 'localhost', UNKNOWN],
      ['an unknown MTA by IPv6', '2001:db9::1', 'mx.example.com', UNKNOWN],
      [
        'an MTA refused by what it says',
        '192.0.2.8',
        'MX.Bad.Example',
        '550 5.7.1 This host may not send mail here',
      ],
    ])('%s is refused at EHLO, and gets no further', async (_, address, helo, reply) => {
      const client = await site.from(address)
      expect(client.greeting).toMatch(/^220 /)
      expect(await client.command(`EHLO ${helo}`)).toBe(reply)
      expect(await client.command('MAIL FROM:<alice@example.net>')).toBe('503 HELO or EHLO required')
    })

    test('an MTA refused by its name in DNS', async () => {
      // Says to Exim what DNS would have said.
      const args = ['-bs', '-oMa', '192.0.2.7', '-oMs', 'mx.bad.example']
      expect(await site.exim.run('exim4', args, 'EHLO x.example\r\nQUIT\r\n')).toContain(
        '\r\n550 5.7.1 This host may not send mail here\r\n',
      )
    })

    test('a known MTA by IPv6', async () => {
      const client = await site.from('2001:db8::25')
      expect(await client.command('EHLO mx.example.com')).toMatch(/^250-/)
    })

    test.each([
      ['an address', 'mallory@example.net'],
      ['in another case', 'MALLORY@Example.NET'],
      ['a domain', 'anybody@spam.example'],
    ])('a forbidden sender is refused at MAIL: %s', async (_, sender) => {
      expect(await say(`MAIL FROM:<${sender}>`, 'MAIL FROM:<anybody@notspam.example>')).toEqual([
        '550 5.7.1 This sender may not post to any list here',
        '250 OK',
      ])
    })
  })

  describe('at RCPT', () => {
    test.each([
      ['a stranger', 'eve@example.net', 'team', REFUSED('team')],
      ['another stranger', 'alice@notexample.net', 'team', REFUSED('team')],
      [
        'an unknown list',
        'alice@example.net',
        'nosuch',
        '550 5.1.1 There is no list nosuch@lists.example.org',
      ],
      [
        'an unknown service address',
        'alice@example.net',
        'team-nosuch',
        '550 5.1.1 There is no list team-nosuch@lists.example.org',
      ],
      [
        'a closed list',
        'alice@example.net',
        'closed',
        '550 5.2.4 The list closed@lists.example.org is closed',
      ],
      [
        "a list's ban",
        'eve@example.net',
        'banned',
        '550 5.7.2 You are banned from posting to banned@lists.example.org',
      ],
      [
        "the site's ban",
        'troll@example.com',
        'open',
        '550 5.7.2 You are banned from posting to open@lists.example.org',
      ],
      [
        'a text that is longer than a line',
        'eve@example.net',
        'wordy',
        `550 5.7.2 wordy@lists.example.org: ${'members only, all others by post; '.repeat(4).trim()}`,
      ],
    ])('%s', async (_, sender, list, reply) => {
      expect(await say(`MAIL FROM:<${sender}>`, `RCPT TO:<${list}@lists.example.org>`)).toEqual([
        '250 OK',
        reply,
      ])
    })

    test('a paused list', async () => {
      expect(await lastOf('MAIL FROM:<alice@example.net>', 'RCPT TO:<paused@lists.example.org>')).toBe(
        recipe === 'policy'
          ? '451 4.2.4 The list paused@lists.example.org is paused; try again later'
          : '451 Could not complete recipient verify callout',
      )
    })

    test('a message that declares itself too large', async () => {
      expect(
        await lastOf('MAIL FROM:<alice@example.net> SIZE=1001', 'RCPT TO:<small@lists.example.org>'),
      ).toBe('552 5.3.4 The message is larger than the 1000 bytes that small@lists.example.org takes')
    })

    test('what a callout cannot know: how many recipients there are', async () => {
      const rcpt = Array.from({ length: 12 }, (_, i) => `RCPT TO:<team+${i}@lists.example.org>`)
      const replies = await say(
        'MAIL FROM:<alice@example.net>',
        ...rcpt,
        'RCPT TO:<post@lists.example.org>',
        'RSET',
        'MAIL FROM:<alice@example.net>',
        'RCPT TO:<team@lists.example.org>',
        'RCPT TO:<alone@lists.example.org>',
      )
      expect([replies[13], replies.at(-1)]).toEqual(
        recipe === 'policy'
          ? [
              '452 4.5.3 Too many recipients; send to the rest later',
              '550 5.5.3 A message to alone@lists.example.org may not have more than 1 recipients here',
            ]
          : [TAKEN, TAKEN],
      )
    })

    test('what a callout cannot know: how often somebody posts', async () => {
      const post = async (): Promise<string> => {
        const client = await site.outsider()
        await client.command('MAIL FROM:<alice@example.net>')
        const reply = unwrapped(await client.command('RCPT TO:<seldom@lists.example.org>'))
        return reply.startsWith('250') ? client.data(MESSAGE) : reply
      }
      expect([await post(), await post()]).toEqual([QUEUED, QUEUED])
      expect(await post()).toEqual(
        recipe === 'policy'
          ? '450 4.7.1 You have posted too often to seldom@lists.example.org; try again later'
          : QUEUED,
      )
    })

    test('mail elsewhere is none of its business', async () => {
      const client = await site.outsider()
      expect(await client.dialogue('MAIL FROM:<eve@example.net>', 'RCPT TO:<bob@elsewhere.example>')).toEqual(
        ['250 OK', TAKEN],
      )
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      const sent = await site.settled()
      expect(sent.map(({ sender, recipients }) => ({ sender, recipients }))).toEqual([
        { sender: 'eve@example.net', recipients: ['bob@elsewhere.example'] },
      ])
    })

    test("the postmaster of a list domain is the site's", async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue('MAIL FROM:<eve@example.net>', 'RCPT TO:<PostMaster@lists.example.org>'),
      ).toEqual(['250 OK', TAKEN])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      const sent = await site.settled()
      expect(sent.map(({ recipients }) => recipients)).toEqual([['postmaster@example.org']])
    })

    test('a sender with a control character is nobody, and writes no line of the request', async () => {
      expect(
        await lastOf(
          'MAIL FROM:<"alice@example.net\tsender=alice"@example.com>',
          'RCPT TO:<team@lists.example.org>',
        ),
      ).toBe(recipe === 'policy' ? REFUSED('team') : '500 5.5.2 A command holds no control characters')
    })

    test.each([
      ['blanks and quotes', '"john \\"doe\\""@example.net', 'team'],
      ['what Exim would expand', `"${EXPANDED}"@example.net`, 'team'],
      ['per cent', '%s%n%%@example.net', 'team'],
      ['braces', '"}{"@example.net', 'team'],
      ['equals', 'recipient=a@example.net', 'team'],
    ])('a sender with %s is a stranger, and named so', async (_, sender, list) => {
      expect(await lastOf(`MAIL FROM:<${sender}>`, `RCPT TO:<${list}@lists.example.org>`)).toBe(REFUSED(list))
      expect(site.exim.panicLog()).toBe('')
    })

    test.each([
      ['a blank', '"te am"', 'te am'],
      ['quotes', '"\\"team\\""', '"team"'],
      ['what Exim would expand', '"${if{"', '${if{'],
      ['per cent', 'te%sam', 'te%sam'],
    ])('a recipient with %s does not exist', async (_, local, named) => {
      expect(await lastOf('MAIL FROM:<alice@example.net>', `RCPT TO:<${local}@lists.example.org>`)).toBe(
        `550 5.1.1 There is no list ${named}@lists.example.org`,
      )
    })

    test('a recipient in another notation is the list', async () => {
      expect(
        await say(
          'MAIL FROM:<"ALICE"@Example.NET>',
          'RCPT TO:<"Team"@LISTS.example.org>',
          'RCPT TO:<@relay.example:team+detail@lists.example.org>',
        ),
      ).toEqual(['250 OK', TAKEN, TAKEN])
    })

    test('bytes that are no text are nobody and no list', async () => {
      const client = await site.outsider()
      const send = (line: string): Promise<string> => {
        client.send(Buffer.from(`${line}\r\n`, 'latin1'))
        return client.read()
      }
      await send('MAIL FROM:<\xe4lice@example.net>')
      expect(await send('RCPT TO:<team@lists.example.org>')).toBe(
        recipe === 'policy' ? REFUSED('team') : '500 5.5.2 A command is in ASCII or UTF-8',
      )
      await client.dialogue('RSET', 'MAIL FROM:<alice@example.net>')
      expect(await send('RCPT TO:<te\xe4m@lists.example.org>')).toMatch(
        recipe === 'policy' ? /^550 5\.1\.1 / : /^500 5\.5\.2 /,
      )
      expect(site.exim.panicLog()).toBe('')
    })

    test('addresses in UTF-8', async () => {
      const client = await site.outsider()
      const replies = await client.dialogue(
        'MAIL FROM:<eve@example.net> SMTPUTF8',
        'RCPT TO:<größe@lists.example.org>',
      )
      expect(replies.map(unwrapped)).toEqual(['250 OK', REFUSED('gr\\x{F6}\\x{DF}e')])
      await client.dialogue(
        'RSET',
        'MAIL FROM:<jürgen@example.net> SMTPUTF8 BODY=8BITMIME',
        'RCPT TO:<größe@lists.example.org>',
      )
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.settled()
      expect(site.copies('gr%C3%B6%C3%9Fe').map(asSent)).toEqual([MESSAGE])
    })
  })

  describe('delivery', () => {
    test("a member's message is in the maildir, byte for byte, below the lines that were added", async () => {
      const client = await site.outsider()
      await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<post@lists.example.org>')
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.settled()
      expect(site.copies('post').map(asSent)).toEqual([MESSAGE])
    })

    test('the same by BDAT', async () => {
      const client = await site.outsider()
      await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<bdat@lists.example.org>')
      expect(await client.bdat(MESSAGE)).toEqual(QUEUED)
      await site.settled()
      expect(site.copies('bdat').map(asSent)).toEqual([MESSAGE])
    })

    test('one message to a list that permits it and one that does not', async () => {
      const client = await site.outsider()
      expect(
        await client.dialogue(
          'MAIL FROM:<alice@example.net>',
          'RCPT TO:<theirs@lists.example.org>',
          'RCPT TO:<mine@lists.example.org>',
        ),
      ).toEqual(['250 OK', REFUSED('theirs'), TAKEN])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.settled()
      expect(site.copies('mine').map(asSent)).toEqual([MESSAGE])
      expect(site.copies('theirs')).toEqual([])
    })

    test.each([
      ['held', 'moderated', 'beside-held', 1],
      ['dropped', 'dropping', 'beside-dropped', 0],
    ])('%s for one of two recipients, and not for the other', async (_, list, beside, held) => {
      const client = await site.outsider()
      expect(
        await client.dialogue(
          'MAIL FROM:<eve@example.com>',
          `RCPT TO:<${list}@lists.example.org>`,
          `RCPT TO:<${beside}@lists.example.org>`,
        ),
      ).toEqual(['250 OK', TAKEN, TAKEN])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.settled()
      expect(site.copies(beside).map(asSent)).toEqual([MESSAGE])
      expect(site.copies(list)).toEqual([])
      expect(await heldFor(site.postern, list)).toHaveLength(held)
    })

    test('a recipient in two spellings is two for Exim, and both have their reply', async () => {
      const client = await site.outsider()
      await client.dialogue(
        'MAIL FROM:<alice@example.net>',
        'RCPT TO:<twice@lists.example.org>',
        'RCPT TO:<TWICE@lists.example.org>',
      )
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.settled()
      expect(site.copies('twice').map(asSent)).toEqual([MESSAGE, MESSAGE])
    })

    test('several messages on one connection are judged each for itself', async () => {
      const client = await site.outsider()
      const before = site.copies('mine').length
      for (const sender of ['alice@example.net', 'alice@example.net']) {
        expect(await client.dialogue(`MAIL FROM:<${sender}>`, 'RCPT TO:<mine@lists.example.org>')).toEqual([
          '250 OK',
          TAKEN,
        ])
        expect(await client.data(MESSAGE)).toEqual(QUEUED)
      }
      expect(
        (await client.dialogue('MAIL FROM:<>', 'RCPT TO:<mine@lists.example.org>', 'DATA')).map(unwrapped),
      ).toEqual(['250 OK', TAKEN, NO_NULL_SENDER])
      await site.settled()
      expect(site.copies('mine')).toHaveLength(before + 2)
    })
  })

  describe('the null sender', () => {
    test.each([
      ['a list', ['null']],
      ['two lists', ['null', 'team']],
      ['two addresses of one list', ['null', 'null+detail']],
    ])('to %s is accepted at RCPT and refused at DATA', async (_, lists) => {
      const rcpt = lists.map(list => `RCPT TO:<${list}@lists.example.org>`)
      expect(await say('MAIL FROM:<>', ...rcpt, 'DATA')).toEqual([
        '250 OK',
        ...lists.map(() => TAKEN),
        NO_NULL_SENDER,
      ])
    })

    test.each([
      ['a list', ['null'], '550 5.7.2 The null sender may not post to null@lists.example.org'],
      ['two lists', ['null', 'team'], NO_NULL_SENDER],
    ])('to %s is refused after BDAT, which has no DATA', async (_, lists, reply) => {
      const client = await site.outsider()
      await client.dialogue('MAIL FROM:<>', ...lists.map(list => `RCPT TO:<${list}@lists.example.org>`))
      expect(unwrapped(await client.bdat(MESSAGE))).toBe(reply)
      for (const list of lists) expect(site.copies(list)).toEqual([])
    })

    test('learns that an unknown list is unknown, and a closed one closed', async () => {
      expect(
        await say('MAIL FROM:<>', 'RCPT TO:<nosuch@lists.example.org>', 'RCPT TO:<closed@lists.example.org>'),
      ).toEqual([
        '250 OK',
        '550 5.1.1 There is no list nosuch@lists.example.org',
        '550 5.2.4 The list closed@lists.example.org is closed',
      ])
    })

    test.each([
      ['the null sender', ''],
      ['a stranger', 'eve@example.net'],
    ])('%s writes to every service address', async (_, sender) => {
      const services = 'bounces confirm join leave owner request subscribe unsubscribe'.split(' ')
      const before = services.map(service => site.copies('serv', `.${service}`).length)
      const client = await site.outsider()
      const replies = await client.dialogue(
        `MAIL FROM:<${sender}>`,
        ...services.map(service => `RCPT TO:<serv-${service}@lists.example.org>`),
        'RCPT TO:<serv-bounces+alice=example.net@lists.example.org>',
      )
      expect(replies).toEqual(['250 OK', ...Array(9).fill(TAKEN)])
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.settled()
      const after = services.map(service => site.copies('serv', `.${service}`).length)
      expect(after.map((count, index) => count - (before[index] ?? 0))).toEqual([2, 1, 1, 1, 1, 1, 1, 1])
      expect(site.copies('serv')).toEqual([])
    })

    test('to a list and its owner at once reaches the owner, and nobody is told', async () => {
      const client = await site.outsider()
      await client.dialogue(
        'MAIL FROM:<>',
        'RCPT TO:<mixed@lists.example.org>',
        'RCPT TO:<mixed-owner@lists.example.org>',
      )
      expect(await client.data(MESSAGE)).toEqual(QUEUED)
      await site.settled()
      expect(site.copies('mixed', '.owner').map(asSent)).toEqual([MESSAGE])
      expect(site.copies('mixed')).toEqual([])
    })

    test('to a list and its owner with PRDR: each has its own reply after the data', async () => {
      const client = await site.outsider()
      await client.dialogue(
        'MAIL FROM:<> PRDR',
        'RCPT TO:<prdr@lists.example.org>',
        'RCPT TO:<prdr-owner@lists.example.org>',
      )
      expect(await client.data(MESSAGE)).toMatch(/^353 /)
      expect([await client.read(), await client.read(), await client.read()]).toEqual([
        '550 5.7.2 The null sender may not post to prdr@lists.example.org',
        expect.stringMatching(/^250 PRDR R=<prdr-owner@lists\.example\.org> /),
        expect.stringMatching(/^250 id=\S+ message accepted for some recipients$/),
      ])
      await site.settled()
      expect(site.copies('prdr', '.owner').map(asSent)).toEqual([MESSAGE])
      expect(site.copies('prdr')).toEqual([])
    })
  })

  describe('at the end of the message', () => {
    const TOO_LARGE = '552 5.3.4 The message is larger than the 1000 bytes that small@lists.example.org takes'

    test.each(['data', 'bdat'] as const)('a message that turns out too large is refused: %s', async by => {
      const client = await site.outsider()
      await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<small@lists.example.org>')
      expect(unwrapped(await client[by](LARGE))).toBe(TOO_LARGE)
      expect(site.copies('small')).toEqual([])
    })

    test('with PRDR it is refused for the list that is too small, and the other has it', async () => {
      const before = site.copies('team').length
      const client = await site.outsider()
      await client.dialogue(
        'MAIL FROM:<alice@example.net> PRDR',
        'RCPT TO:<small@lists.example.org>',
        'RCPT TO:<team@lists.example.org>',
      )
      expect(await client.data(LARGE)).toMatch(/^353 /)
      expect([unwrapped(await client.read()), await client.read(), await client.read()]).toEqual([
        TOO_LARGE,
        expect.stringMatching(/^250 PRDR R=<team@lists\.example\.org> /),
        expect.stringMatching(/^250 id=/),
      ])
      await site.settled()
      expect(site.copies('team')).toHaveLength(before + 1)
      expect(site.copies('small')).toEqual([])
    })
  })

  test('a change at the command line counts with the next question', async () => {
    const client = await site.outsider()
    const ask = async (sender: string): Promise<string> => {
      const lines = ['RSET', `MAIL FROM:<${sender}>`, 'RCPT TO:<live@lists.example.org>']
      return (await client.dialogue(...lines)).at(-1) ?? ''
    }
    expect(await ask('carol@example.net')).toBe(REFUSED('live'))
    await site.postern.must('member', 'add', 'live@lists.example.org', 'carol@example.net')
    expect(await ask('carol@example.net')).toBe(TAKEN)
    await site.postern.must('list', 'remove', 'live@lists.example.org')
    expect(await ask('carol@example.net')).toBe('550 5.1.1 There is no list live@lists.example.org')
  })
})
