/**
 * What only the message tells, with a real Postfix: refused inside the dialogue where the milter is asked, and with no
 * bounce where the sink alone can know. After every case nothing is queued and nothing was sent on.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  type ListOf,
  leftOutWithoutPostfix,
  type Site,
  type SiteOptions,
  showLogsOnFailure,
  startSite,
} from './site.ts'

const OK = expect.stringMatching(/^250 2\.1\.[05] Ok$/)
const QUEUED = expect.stringMatching(/^250 2\.0\.0 Ok: queued as /)

const open = { nonmember_action: 'accept' } as const

/** Everybody may post to all of them; what they do goes by the message. */
const LISTS: readonly ListOf[] = [
  { name: 'any', settings: { identity: 'any' }, members: ['alice@example.net'] },
  { name: 'envelope', members: ['alice@example.net'] },
  { name: 'accepts', settings: open },
  { name: 'refuses', settings: { ...open, header_rules: 'reject Subject: ^spam' } },
  {
    name: 'refuses-and-drops',
    settings: { ...open, header_rules: 'reject Subject: ^spam', late_refusal: 'discard' },
  },
  { name: 'holds', settings: { ...open, header_rules: 'hold Subject: ^spam' } },
  { name: 'drops', settings: { ...open, header_rules: 'discard Subject: ^spam' } },
  { name: 'text', settings: { ...open, refused_parts: '.exe' } },
]

const to = (list: string): string => `RCPT TO:<${list}@lists.example.org>`
const mail = (from: string, ...fields: readonly string[]): string =>
  `From: ${from}\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n${fields.map(field => `${field}\r\n`).join('')}\r\nHello.\r\n`

const SPAM = mail('eve@example.com', 'Subject: spam')
const LOOP = mail('eve@example.com', 'List-Id: Us <accepts.lists.example.org>')
const PARTS = `From: eve@example.com\r\nDate: Sun, 22 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello.\r\n--b\r\nContent-Type: application/octet-stream; name="a.exe"\r\n\r\nTVqQ\r\n--b--\r\n`

let site: Site

/** Sends a message, and gives the reply to its data. */
async function send(from: string, lists: readonly string[], text: string): Promise<string> {
  const smtp = await site.outsider()
  expect(await smtp.dialogue(`MAIL FROM:<${from}>`, ...lists.map(to))).toEqual([OK, ...lists.map(() => OK)])
  return smtp.data(text)
}

/** How many copies a list has, and how many of its messages wait. */
async function kept(list: string): Promise<readonly [copies: number, held: number]> {
  return [site.copies(list).length, (await site.held(list)).length]
}

function withSite(options: Pick<SiteOptions, 'milter' | 'postfix'>): void {
  beforeAll(async () => {
    site = await startSite({ store: 'embedded', lists: LISTS, ...options })
  })
  afterAll(() => site?.stop())
  showLogsOnFailure(() => site)
  afterEach(async () => {
    expect(await site.settled()).toEqual([])
  })
}

const SUITE = 'Postfix and what messages hold'

describe.skipIf(leftOutWithoutPostfix(SUITE))('with the milter', () => {
  withSite({ milter: 'native', postfix: { snippets: ['main.cf.milter', 'main.cf.lmtp'] } })

  test('a member is the author, and the envelope is somebody else’s: by identity', async () => {
    expect(await send('bounce@esp.example', ['any'], mail('alice@example.net'))).toEqual(QUEUED)
    expect(await send('bounce@esp.example', ['any'], mail('eve@example.com'))).toBe(
      '550 5.7.2 You are not permitted to post to any@lists.example.org',
    )
    const smtp = await site.outsider()
    expect((await smtp.dialogue('MAIL FROM:<bounce@esp.example>', to('envelope'))).at(-1)).toBe(
      '550 5.7.2 You are not permitted to post to envelope@lists.example.org',
    )
    await site.settled()
    expect([await kept('any'), await kept('envelope')]).toEqual([
      [1, 0],
      [0, 0],
    ])
  })

  test.each([
    ['refuses', SPAM, '550 5.7.2 The list refuses@lists.example.org does not take messages like this one'],
    ['accepts', LOOP, '554 5.4.6 The message has been through accepts@lists.example.org already'],
    [
      'text',
      PARTS,
      '554 5.6.1 The list text@lists.example.org does not take this kind of content: application/octet-stream (.exe)',
    ],
  ])('%s: refused inside the dialogue', async (list, text, reply) => {
    expect(await send('eve@example.com', [list], text)).toBe(reply)
    await site.settled()
    expect(await kept(list)).toEqual([0, 0])
  })

  test('one list drops it', async () => {
    expect(await send('eve@example.com', ['drops'], SPAM)).toMatch(/^250 2\.0\.0 Ok/)
    await site.settled()
    expect(await kept('drops')).toEqual([0, 0])
  })

  test('one list refuses, one holds and one accepts: each its own', async () => {
    const lists = ['refuses', 'refuses-and-drops', 'holds', 'drops', 'accepts']
    expect(await send('eve@example.com', lists, SPAM)).toEqual(QUEUED)
    await site.settled()
    const found = Object.fromEntries(await Promise.all(lists.map(async list => [list, await kept(list)])))
    expect(found).toEqual({
      // Nobody could be told any more.
      refuses: [0, 1],
      'refuses-and-drops': [0, 0],
      holds: [0, 1],
      drops: [0, 0],
      accepts: [1, 0],
    })
  })

  test('two lists that refuse say so in one reply', async () => {
    expect(await send('eve@example.com', ['refuses', 'refuses-and-drops'], SPAM)).toBe(
      '550-5.7.2 The list refuses@lists.example.org does not take messages like this one\n550 5.7.2 The list refuses-and-drops@lists.example.org does not take messages like this one',
    )
  })
})

describe.skipIf(leftOutWithoutPostfix(SUITE))('with the sink alone', () => {
  withSite({ postfix: { snippets: ['main.cf.lmtp'] } })

  test.each([
    ['any', mail('alice@example.net'), [1, 0]],
    ['any', mail('eve@example.com'), [1, 1]],
    ['envelope', mail('alice@example.net'), [0, 1]],
    ['refuses', SPAM, [0, 1]],
    ['refuses-and-drops', SPAM, [0, 0]],
    ['holds', SPAM, [0, 1]],
    ['drops', SPAM, [0, 0]],
    ['text', PARTS, [0, 1]],
    ['accepts', LOOP, [0, 1]],
  ] as const)('%s: kept or dropped, and no bounce', async (list, text, want) => {
    expect(await send('eve@example.com', [list], text)).toEqual(QUEUED)
    await site.settled()
    expect(await kept(list)).toEqual(want)
  })

  test('one message to several lists: each its own', async () => {
    const before = await kept('accepts')
    const lists = ['refuses', 'refuses-and-drops', 'holds', 'accepts']
    const counts = await Promise.all(lists.map(kept))
    expect(await send('eve@example.com', lists, SPAM)).toEqual(QUEUED)
    await site.settled()
    const after = await Promise.all(lists.map(kept))
    expect(after.map(([copies, held], i) => [copies - counts[i]![0], held - counts[i]![1]])).toEqual([
      [0, 1],
      [0, 0],
      [0, 1],
      [1, 0],
    ])
    expect(before).toEqual(counts[3])
  })
})
