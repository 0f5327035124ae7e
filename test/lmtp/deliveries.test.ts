/** Lists with deliveries of their own: each recipient's copy goes where its list says, and what fails there stays there. */
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Delivery, DeliveryRecipient } from '../../src/app/message.ts'
import { createMaildirDelivery } from '../../src/delivery/maildir.ts'
import { keepingDelivery, type Sink } from '../support/lmtp-sink.ts'
import type { StateDocument } from '../support/vectors.ts'
import { end, greeted, start } from './site.ts'

const ANYBODY = { nonmember_action: 'accept' }

/** Lists by where their mail goes. */
const STATE: StateDocument = {
  postern: 1,
  domains: [{ domain: 'lists.example.org' }, { domain: 'a.example', delivery: 'one' }],
  lists: [
    { address: 'site@lists.example.org', settings: ANYBODY },
    { address: 'one@lists.example.org', settings: { ...ANYBODY, delivery: 'one' } },
    { address: 'two@lists.example.org', settings: { ...ANYBODY, delivery: 'two' } },
    { address: 'gone@lists.example.org', settings: { ...ANYBODY, delivery: 'gone' } },
    { address: 'wild@lists.example.org', settings: { ...ANYBODY, delivery: 'wild' } },
    { address: 'domain@a.example', settings: ANYBODY },
    { address: 'own@a.example', settings: { ...ANYBODY, delivery: 'two' } },
    { address: 'held@a.example', settings: { nonmember_action: 'hold' } },
    { address: 'author@a.example', settings: { ...ANYBODY, identity: 'author' } },
    { address: 'shadow@a.example', settings: { nonmember_action: 'reject', mode: 'shadow' } },
  ],
}

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-deliveries-'))
})
afterEach(async () => {
  await end()
  await rm(root, { recursive: true, force: true })
})

const MESSAGE = ['From: alice@example.net', 'Subject: x', '', 'text']

/** Sends a message, and gives the code and enhanced code of each recipient's reply, in order. */
async function send(
  sink: Sink,
  recipients: readonly string[],
  lines: readonly string[] = MESSAGE,
  sender = 'alice@example.net',
): Promise<readonly string[]> {
  const client = await greeted(sink)
  client.send(`MAIL FROM:<${sender}>`, ...recipients.map(to => `RCPT TO:<${to}>`), 'DATA')
  await client.replies(recipients.length + 2)
  client.send(...lines, '.')
  return (await client.replies(recipients.length)).map(reply => reply.slice(0, 9))
}

const OK = '250 2.0.0'
const DEFERRED = '451 4.3.0'

/** Deliveries that keep what they get, and each call by itself. */
function keeping(name: string): ReturnType<typeof keepingDelivery> & { readonly calls: string[][] } {
  const kept = keepingDelivery()
  const calls: string[][] = []
  return {
    ...kept,
    name,
    calls,
    deliver: (envelope, message, to) => {
      calls.push(to.map(({ list }) => list))
      return kept.deliver(envelope, message, to)
    },
  }
}

describe('which delivery', () => {
  test.each<[string, string, string, DeliveryRecipient['disposition']]>([
    ['a list that has chosen', 'one@lists.example.org', 'one', 'deliver'],
    ['a list whose domain has chosen', 'domain@a.example', 'one', 'deliver'],
    ['a list that goes before its domain', 'own@a.example', 'two', 'deliver'],
    ['a list that leaves it to the site', 'site@lists.example.org', 'site', 'deliver'],
    ['a post that waits for a moderator', 'held@a.example', 'one', 'hold'],
    ['a post that is judged at its end', 'author@a.example', 'one', 'deliver'],
    ['a post to a list in shadow mode', 'shadow@a.example', 'one', 'deliver'],
    ['a service address', 'own-owner@a.example', 'two', 'deliver'],
    ['a service address of a list whose domain has chosen', 'domain-bounces@a.example', 'one', 'deliver'],
  ])('%s', async (_, recipient, name, disposition) => {
    const [site, one, two] = [keeping('site'), keeping('one'), keeping('two')]
    const sink = await start({ state: STATE, delivery: site, deliveries: { one, two } })
    expect(await send(sink, [recipient])).toEqual([OK])
    const taken = [site, one, two].filter(({ copies }) => copies.length > 0)
    expect(taken.map(delivery => delivery.name)).toEqual([name])
    expect(taken[0]?.copies).toMatchObject([{ recipient: { text: recipient }, disposition }])
    expect(sink.log.lines.at(-1)).toMatchObject({
      message: disposition === 'hold' ? 'message held' : 'message delivered',
      delivery: name,
    })
  })

  test('a bounce to a service address goes there as well', async () => {
    const [one, two] = [keeping('one'), keeping('two')]
    const sink = await start({ state: STATE, deliveries: { one, two } })
    expect(await send(sink, ['own-bounces@a.example'], MESSAGE, '')).toEqual([OK])
    expect(two.copies).toMatchObject([{ service: 'bounces' }])
  })

  test('a message for all of them is handed to each once, with its own recipients in their order', async () => {
    const [site, one, two] = [keeping('site'), keeping('one'), keeping('two')]
    const sink = await start({ state: STATE, delivery: site, deliveries: { one, two } })
    const recipients = [
      'own@a.example',
      'site@lists.example.org',
      'domain@a.example',
      'two@lists.example.org',
      'one@lists.example.org',
      'own@a.example',
    ]
    // More than is kept in memory: all of them read the same file at the same time.
    const lines = [...MESSAGE, ...Array.from({ length: 5000 }, (_, line) => `${line} ${'x'.repeat(60)}`)]
    expect(await send(sink, recipients, lines)).toEqual(recipients.map(() => OK))
    expect([site, one, two].map(({ calls }) => calls)).toEqual([
      [['site@lists.example.org']],
      [['domain@a.example', 'one@lists.example.org']],
      [['own@a.example', 'two@lists.example.org', 'own@a.example']],
    ])
    const sent = Buffer.from(`${lines.join('\r\n')}\r\n`)
    for (const { bytes } of [...site.copies, ...one.copies, ...two.copies])
      expect(bytes.equals(sent)).toBe(true)
  })
})

describe('a delivery that fails', () => {
  test('defers its own recipients; a Maildir beside it has the others on the disk', async () => {
    await writeFile(join(root, 'file'), '')
    await mkdir(join(root, 'good'))
    const maildir = (path: string): Delivery =>
      createMaildirDelivery({ root: join(root, path), hostname: 'sink.example.org' })
    const sink = await start({ state: STATE, deliveries: { one: maildir('good'), two: maildir('file') } })
    const recipients = ['own@a.example', 'domain@a.example', 'two@lists.example.org', 'one@lists.example.org']
    expect(await send(sink, recipients)).toEqual([DEFERRED, OK, DEFERRED, OK])
    for (const list of ['a.example/domain', 'lists.example.org/one']) {
      const names = await readdir(join(root, 'good', list, 'new'))
      expect(names.length).toBe(1)
      const copy = await readFile(join(root, 'good', list, 'new', names[0]!), 'latin1')
      expect(copy.endsWith(`${MESSAGE.join('\r\n')}\r\n`)).toBe(true)
    }
    expect((await readdir(join(root, 'good', 'a.example'))).sort()).toEqual(['domain'])
    expect(sink.log.lines.filter(({ message }) => message === 'message not delivered')).toMatchObject([
      { recipient: 'own@a.example', list: 'own@a.example', delivery: 'maildir', cause: { code: 'EEXIST' } },
      { recipient: 'two@lists.example.org', list: 'two@lists.example.org' },
    ])
    expect(sink.front.counts).toMatchObject({ delivered: 2, failed: 2 })
  })

  test.each<[string, Delivery['deliver']]>([
    ['throws', () => Promise.reject(new Error('a bug'))],
    [
      'throws at once',
      () => {
        throw new Error('a bug')
      },
    ],
    ['tells too little', async () => []],
    ['fails', async (_e, _m, to) => to.map(() => ({ kind: 'failed', cause: new Error('no') }))],
  ])('that %s keeps no other from its mail', async (_, deliver) => {
    const one = keeping('one')
    const sink = await start({ state: STATE, deliveries: { one, two: { name: 'two', deliver } } })
    expect(await send(sink, ['own@a.example', 'domain@a.example'])).toEqual([DEFERRED, OK])
    expect(one.copies.length).toBe(1)
  })

  test('that is slow makes the others wait, and all hear their own', async () => {
    const one = keeping('one')
    let finish: () => void = () => {}
    const begun = new Promise<void>(resolve => {
      finish = resolve
    })
    const slow: Delivery = {
      name: 'two',
      deliver: async (_envelope, _message, to) => {
        await begun
        return to.map(() => ({ kind: 'failed', cause: new Error('no') }))
      },
    }
    const watched: Delivery = {
      name: 'one',
      deliver: async (...args) => {
        const outcomes = await one.deliver(...args)
        finish()
        return outcomes
      },
    }
    const sink = await start({ state: STATE, deliveries: { one: watched, two: slow } })
    expect(await send(sink, ['own@a.example', 'domain@a.example'])).toEqual([DEFERRED, OK])
  })
})

describe('a name that the configuration does not have', () => {
  test.each(['gone@lists.example.org', 'gone-owner@lists.example.org'])(
    '%s is deferred, with a line that has the name, and put nowhere else',
    async recipient => {
      const [site, one] = [keeping('site'), keeping('one')]
      const sink = await start({ state: STATE, delivery: site, deliveries: { one } })
      expect(await send(sink, [recipient, 'one@lists.example.org'])).toEqual([DEFERRED, OK])
      expect(site.copies).toEqual([])
      expect(one.copies.length).toBe(1)
      expect(sink.log.lines.find(({ level }) => level === 'error')).toMatchObject({
        message: 'message not delivered',
        recipient,
        list: 'gone@lists.example.org',
        cause: new Error('the configuration has no delivery gone'),
      })
    },
  )

  test('held posts and posts judged at their end, too', async () => {
    const sink = await start({ state: STATE, deliveries: {} })
    const recipients = ['held@a.example', 'author@a.example', 'site@lists.example.org']
    expect(await send(sink, recipients)).toEqual([DEFERRED, DEFERRED, OK])
    expect(sink.copies.map(({ list }) => list)).toEqual(['site@lists.example.org'])
  })

  test('a delivery that cannot be made fails for its own recipients only', async () => {
    const one = keeping('one')
    const deliveries = Object.defineProperty({ one }, 'wild', {
      get: () => {
        throw new Error('cannot be made')
      },
    })
    const sink = await start({ state: STATE, deliveries })
    expect(await send(sink, ['wild@lists.example.org', 'domain@a.example'])).toEqual([DEFERRED, OK])
  })
})
