/** Delivery into Maildirs on a real file system: what is written, where, and what is left when it fails. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Delivery, DeliveryRecipient, Envelope, Message } from '../../src/app/message.ts'
import { NULL_SENDER } from '../../src/core/address.ts'
import { createDiscardDelivery } from '../../src/delivery/discard.ts'
import { createMaildirDelivery } from '../../src/delivery/maildir.ts'
import { folderName, pathName } from '../../src/delivery/path-name.ts'
import { traceFields } from '../../src/delivery/trace-fields.ts'
import { address } from '../support/vectors.ts'

let root = ''
let mail = ''
let delivery: Delivery

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-maildir-'))
  mail = join(root, 'var', 'mail')
  delivery = createMaildirDelivery({ root: mail, hostname: 'sink.example.org' })
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

const ENVELOPE: Envelope = {
  sender: address('alice@example.net'),
  client: {},
  id: 'ID1',
  receivedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
  smtputf8: false,
  mta: { name: 'mx.example.org', address: '192.0.2.1' },
}

function message(text: string | Buffer): Message {
  const bytes = Buffer.from(text as string)
  return {
    size: bytes.length,
    async *read() {
      for (let at = 0; at < bytes.length; at += 50_000) yield bytes.subarray(at, at + 50_000)
    },
  }
}

function to(recipient: string, more: Partial<DeliveryRecipient> = {}): DeliveryRecipient {
  const parsed = address(recipient)
  return { recipient: parsed, list: parsed.key, service: undefined, disposition: 'deliver', ...more }
}

async function filesIn(path: string): Promise<readonly string[]> {
  return (await readdir(path).catch(() => [])).sort()
}

/** Every file below a directory, with the path to it. */
async function allFiles(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(path.length + 1))
    .sort()
}

const TEAM = 'team@lists.example.org'
const TEXT = 'Subject: x\r\n\r\nHello.\r\n'

describe('a copy', () => {
  test('is the message as it was, after the fields of final delivery', async () => {
    expect(await delivery.deliver(ENVELOPE, message(TEXT), [to(TEAM)])).toEqual([{ kind: 'delivered' }])
    const folder = join(mail, 'lists.example.org', 'team', 'new')
    const [name = ''] = await filesIn(folder)
    const content = await readFile(join(folder, name), 'utf8')
    expect(content).toBe(
      'Return-Path: <alice@example.net>\r\n' +
        'Delivered-To: team@lists.example.org\r\n' +
        'Received: from mx.example.org ([192.0.2.1])\r\n' +
        '\tby sink.example.org (Postern) with LMTP id ID1\r\n' +
        '\tfor <team@lists.example.org>; Fri, 2 Jan 2026 03:04:05 +0000\r\n' +
        TEXT,
    )
    expect(name).toMatch(/^\d{10}\.M\d{6}P\d+R[0-9a-f]{8}Q\d+\.sink\.example\.org,S=\d+$/)
    expect(name.endsWith(`,S=${content.length}`)).toBe(true)
    expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600)
  })

  test('keeps every octet of a message of some megabytes', async () => {
    const octets = Buffer.from(Array.from({ length: 3_000_001 }, (_, index) => (index * 7919) % 256))
    await delivery.deliver(ENVELOPE, message(octets), [to(TEAM)])
    const folder = join(mail, 'lists.example.org', 'team', 'new')
    const [name = ''] = await filesIn(folder)
    const content = await readFile(join(folder, name))
    expect(content.subarray(content.length - octets.length).equals(octets)).toBe(true)
  })

  test('is made for each recipient, and twice for the same one', async () => {
    const recipients = [to(TEAM), to(TEAM), to('open@lists.example.org')]
    expect(await delivery.deliver(ENVELOPE, message(TEXT), recipients)).toEqual(
      recipients.map(() => ({ kind: 'delivered' })),
    )
    expect((await filesIn(join(mail, 'lists.example.org', 'team', 'new'))).length).toBe(2)
    expect((await filesIn(join(mail, 'lists.example.org', 'open', 'new'))).length).toBe(1)
  })

  test('of many at once has a name of its own', async () => {
    const recipients = Array.from({ length: 200 }, () => to(TEAM))
    await Promise.all([
      delivery.deliver(ENVELOPE, message(TEXT), recipients),
      delivery.deliver(ENVELOPE, message(TEXT), recipients),
    ])
    expect((await filesIn(join(mail, 'lists.example.org', 'team', 'new'))).length).toBe(400)
    expect(await filesIn(join(mail, 'lists.example.org', 'team', 'tmp'))).toEqual([])
  })
})

describe('folders', () => {
  test('hold what goes to services', async () => {
    await delivery.deliver(ENVELOPE, message(TEXT), [
      to(TEAM),
      to('team-owner@lists.example.org', { list: address(TEAM).key, service: 'owner' }),
    ])
    const files = (await allFiles(mail)).map(path => path.replace(/\d{10}\..*/, 'FILE'))
    expect(files).toEqual([
      'lists.example.org/team/.owner/maildirfolder',
      'lists.example.org/team/.owner/new/FILE',
      'lists.example.org/team/new/FILE',
    ])
    for (const folder of ['', '.owner']) {
      for (const name of ['tmp', 'new', 'cur']) {
        const path = join(mail, 'lists.example.org', 'team', folder, name)
        expect((await stat(path)).mode & 0o777).toBe(0o700)
      }
    }
  })

  test('are made again if somebody has removed them', async () => {
    await delivery.deliver(ENVELOPE, message(TEXT), [to(TEAM)])
    await rm(join(mail, 'lists.example.org'), { recursive: true })
    const recipients = [to(TEAM), to(TEAM), to(TEAM)]
    expect(await delivery.deliver(ENVELOPE, message(TEXT), recipients)).toEqual(
      recipients.map(() => ({ kind: 'delivered' })),
    )
    expect((await filesIn(join(mail, 'lists.example.org', 'team', 'new'))).length).toBe(3)
  })
})

describe('what fails', () => {
  test.each<[string, () => Promise<void>]>([
    [
      'a file where the root should be',
      async () => {
        await mkdir(join(root, 'var'))
        await writeFile(mail, '')
      },
    ],
    [
      'a file where the list should be',
      async () => {
        await mkdir(join(mail, 'lists.example.org'), { recursive: true })
        await writeFile(join(mail, 'lists.example.org', 'team'), '')
      },
    ],
    [
      'a file where new should be',
      async () => {
        await mkdir(join(mail, 'lists.example.org', 'team'), { recursive: true })
        await writeFile(join(mail, 'lists.example.org', 'team', 'new'), '')
      },
    ],
  ])('%s is deferred, and nothing is left in tmp', async (_, break_) => {
    await break_()
    const [outcome, other] = await delivery.deliver(ENVELOPE, message(TEXT), [
      to(TEAM),
      to('other@lists.example.net'),
    ])
    expect(outcome?.kind).toBe('failed')
    expect(outcome?.kind === 'failed' && (outcome.cause as NodeJS.ErrnoException).code).toMatch(
      /^(?:ENOTDIR|EEXIST)$/,
    )
    expect(await filesIn(join(mail, 'lists.example.org', 'team', 'tmp'))).toEqual([])
    if (_ !== 'a file where the root should be') expect(other?.kind).toBe('delivered')
  })

  test('what is repaired is delivered to again', async () => {
    await mkdir(join(mail, 'lists.example.org'), { recursive: true })
    await writeFile(join(mail, 'lists.example.org', 'team'), '')
    expect((await delivery.deliver(ENVELOPE, message(TEXT), [to(TEAM)]))[0]?.kind).toBe('failed')
    await rm(join(mail, 'lists.example.org', 'team'))
    expect((await delivery.deliver(ENVELOPE, message(TEXT), [to(TEAM)]))[0]?.kind).toBe('delivered')
  })

  test('a directory that may not be written to is deferred', async () => {
    await delivery.deliver(ENVELOPE, message(TEXT), [to(TEAM)])
    await chmod(join(mail, 'lists.example.org', 'team', 'tmp'), 0o500)
    // Root may write everywhere, and nobody nowhere.
    const isRoot = process.geteuid?.() === 0
    if (isRoot) process.seteuid?.(65_534)
    try {
      const [outcome] = await delivery.deliver(ENVELOPE, message(TEXT), [to(TEAM)])
      expect(outcome).toMatchObject({ kind: 'failed', cause: { code: 'EACCES' } })
    } finally {
      if (isRoot) process.seteuid?.(0)
    }
    expect((await allFiles(mail)).length).toBe(1)
  })

  test('a message that cannot be read again leaves nothing behind', async () => {
    const broken: Message = {
      size: 100,
      async *read() {
        yield Buffer.from('Subject: x\r\n')
        throw new Error('the spool is gone')
      },
    }
    const [outcome] = await delivery.deliver(ENVELOPE, broken, [to(TEAM)])
    expect(outcome).toMatchObject({ kind: 'failed', cause: { message: 'the spool is gone' } })
    expect(await allFiles(mail)).toEqual([])
  })
})

describe('names', () => {
  test.each([
    ['team', 'team'],
    ['a.b-c_d+e=f', 'a.b-c_d+e=f'],
    ['.', '%2E'],
    ['..', '%2E.'],
    ['.hidden', '%2Ehidden'],
    ['a/b', 'a%2Fb'],
    ['../../etc', '%2E.%2F..%2Fetc'],
    ['a b', 'a%20b'],
    ['50%', '50%25'],
    ['jürgen', 'j%C3%BCrgen'],
    ['用户', '%E7%94%A8%E6%88%B7'],
    ['a@b', 'a@b'],
    ['a\\b', 'a%5Cb'],
    ['new', 'new'],
  ])('%j is %s', (name, want) => {
    expect(pathName(name)).toBe(want)
  })

  test('two names never have one, and none leaves its directory', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '.', '/', '%', '2', 'E', 'é', ' ', '\\', '用') })
    const name = fc.oneof(
      text,
      text.map(part => part.repeat(40)),
    )
    fc.assert(
      fc.property(name, name, (first, second) => {
        const one = pathName(first)
        expect(one === pathName(second)).toBe(first === second)
        expect(one).toMatch(/^(?:(?!\.)[a-z0-9._+=@%A-F-]{1,200})?$/)
        expect(Buffer.byteLength(one)).toBeLessThanOrEqual(200)
      }),
      { numRuns: 2000 },
    )
  })

  test('folders of services have one level', () => {
    expect(folderName('owner')).toBe('.owner')
    expect(folderName('a.b')).toBe('.a%2Eb')
  })

  test('lists with such names are delivered to, each its own', async () => {
    const names = ['"../up"', '"a/b"', '"a b"', 'a.', '.a', 'jürgen', '"a\\"b"']
    const recipients = names.map(name => to(`${name}@lists.example.org`))
    const outcomes = await delivery.deliver(ENVELOPE, message(TEXT), recipients)
    expect(outcomes.map(outcome => outcome.kind)).toEqual(names.map(() => 'delivered'))
    expect((await filesIn(join(mail, 'lists.example.org'))).length).toBe(names.length)
    expect(await filesIn(root)).toEqual(['var'])
    expect(await filesIn(mail)).toEqual(['lists.example.org'])
  })
})

describe('the fields of final delivery', () => {
  const fields = (envelope: Partial<Envelope>, recipient = TEAM): readonly string[] =>
    traceFields({ ...ENVELOPE, ...envelope }, to(recipient), 'sink.example.org').split('\r\n')

  test.each<[string, Partial<Envelope>, string]>([
    ['the null sender', { sender: NULL_SENDER }, 'Return-Path: <>'],
    ['a quoted sender', { sender: address('"a b"@example.net') }, 'Return-Path: <"a b"@example.net>'],
    [
      'a malformed sender',
      { sender: { kind: 'malformed-sender', text: 'a\r\nX: y>' } },
      'Return-Path: <a??X: y?>',
    ],
  ])('%s', (_, envelope, want) => {
    expect(fields(envelope)[0]).toBe(want)
  })

  test.each<[string, Partial<Envelope>, string]>([
    ['a unix socket', { mta: { name: 'mx' } }, 'Received: from mx (unix socket)'],
    ['a wild name', { mta: { name: 'a\r\nb (c)' } }, 'Received: from a??b??c? (unix socket)'],
    ['IPv6', { mta: { name: 'mx', address: '2001:db8::1' } }, 'Received: from mx ([2001:db8::1])'],
  ])('%s', (_, envelope, want) => {
    expect(fields(envelope)[2]).toBe(want)
  })

  test('a message with SMTPUTF8 says so', () => {
    expect(fields({ smtputf8: true })[3]).toBe('\tby sink.example.org (Postern) with UTF8LMTP id ID1')
  })

  test('nothing from outside ends a line', () => {
    const text = fc.string({ unit: fc.constantFrom('a', '\r', '\n', '\0', '>', 'é', ' ', ':') })
    fc.assert(
      fc.property(text, text, (sender, name) => {
        const lines = fields({ sender: { kind: 'malformed-sender', text: sender }, mta: { name } })
        expect(lines.length).toBe(6)
        expect(lines.join('')).not.toMatch(/[\r\n\0]/)
      }),
    )
  })
})

test('discarding counts, and reads nothing', async () => {
  const discard = createDiscardDelivery()
  const unread: Message = {
    size: 1,
    // biome-ignore lint/correctness/useYield: it must not be read
    async *read() {
      throw new Error('read')
    },
  }
  expect(await discard.deliver(ENVELOPE, unread, [to(TEAM), to(TEAM)])).toEqual([
    { kind: 'delivered' },
    { kind: 'delivered' },
  ])
  expect(discard.dropped).toBe(2)
})
