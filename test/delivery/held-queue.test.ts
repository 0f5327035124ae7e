/** The queue of held messages on the file system: what is kept, who may take it, and what is wrong with a disk. */
import {
  appendFile,
  chmod,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type HeldClaim, isClaim } from '../../src/app/held.ts'
import { idMaker } from '../../src/delivery/held-names.ts'
import { FileHeldQueue } from '../../src/delivery/held-queue.ts'
import { heldIn } from '../support/held-queue.ts'
import { address } from '../support/vectors.ts'
import { ENVELOPE, message, POST, to } from './mail.ts'

const TEAM = 'team@lists.example.org'
const HOLD = {
  disposition: 'hold',
  grounds: { reason: 'first-post', rule: 'first-post-seen', returnPath: 'unproven' },
} as const

let path = ''
let now = Date.UTC(2026, 0, 2, 3, 4, 5)

beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'postern-held-'))
  now = Date.UTC(2026, 0, 2, 3, 4, 5)
})

afterEach(async () => {
  await rm(path, { recursive: true, force: true })
})

function queue(limits: { readonly maxMessages?: number; readonly maxSize?: number } = {}): FileHeldQueue {
  return new FileHeldQueue({ path, maxMessages: 0, maxSize: 0, ...limits }, () => now)
}

const hold = (in_: FileHeldQueue, list = TEAM, what = POST): Promise<string> =>
  in_.hold(ENVELOPE, what, to(list, HOLD))

async function claimed(in_: FileHeldQueue, id: string): Promise<HeldClaim> {
  const claim = await in_.claim(id, 'accept')
  if (!isClaim(claim)) throw new Error(claim.kind)
  return claim
}

/** Every file below the queue. */
async function files(): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => join(entry.parentPath, entry.name))
}

async function ids(in_: FileHeldQueue): Promise<readonly string[]> {
  const found: string[] = []
  for await (const { id } of in_.entries()) found.push(id)
  return found
}

describe('a held message', () => {
  test('is one file that nobody else may read, octet for octet, with all that is known', async () => {
    const octets = Buffer.from(Array.from({ length: 600_001 }, (_, index) => (index * 7919) % 256))
    const id = await hold(queue(), TEAM, message(octets))
    const [file = '', ...others] = await files()
    expect(others).toEqual([])
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    expect((await stat(join(path, 'lists'))).mode & 0o777).toBe(0o700)
    const [copy] = await heldIn(path)
    expect(copy?.octets.equals(octets)).toBe(true)
    expect(copy?.post).toMatchObject({
      envelope: ENVELOPE,
      to: { recipient: address(TEAM), list: TEAM, service: undefined },
      grounds: HOLD.grounds,
      heldAt: now,
      size: octets.length,
    })
    expect(id).toMatch(/^[0-9a-z]{11}$/)
    expect(file).toBe(join(path, 'lists/lists.example.org/team', `${id},S=600001`))
  })

  test('is found under its name, in any case and with look-alikes', async () => {
    const in_ = queue()
    const id = await hold(in_)
    expect(await in_.find(id.toUpperCase())).toMatchObject({ kind: 'held', id, state: 'waiting' })
    expect(await in_.find('0000000000')).toBeUndefined()
    expect(await in_.find('../../etc/passwd')).toBeUndefined()
  })

  test('shows a subject and an author that cannot harm a terminal, and nothing endless', async () => {
    const header = [
      `From: =?utf-8?q?Ann_=1b[2J=E2=80=AE?= <ann@example.net>, bob@example.net`,
      `Subject: =?utf-8?b?${Buffer.from('\u001b]0;x\u0007\u202eevil').toString('base64')}?=`,
      `\t${'long '.repeat(100)}`,
      'Message-ID: <1@example.net>',
      'Auto-Submitted: auto-replied',
      '',
      'Subject: of the body',
    ].join('\r\n')
    await hold(queue(), TEAM, message(header))
    const [copy] = await heldIn(path)
    const { summary } = copy?.post ?? {}
    expect(summary?.author).toBe('Ann [2J <ann@example.net>, bob@example.net')
    expect(summary?.subject).toMatch(/^\]0;x evil long long .*…$/)
    expect([...(summary?.subject ?? '')]).toHaveLength(200)
    expect(summary?.authors.map(({ text }) => text)).toEqual(['ann@example.net', 'bob@example.net'])
    expect([summary?.messageId, summary?.automatic]).toEqual(['<1@example.net>', true])
  })

  test('is listed by list and then by time', async () => {
    const in_ = queue()
    const second = await hold(in_, 'b@lists.example.org')
    now += 5000
    const third = await hold(in_, 'b@lists.example.org')
    const first = await hold(in_, 'a@lists.example.org')
    expect(await ids(in_)).toEqual([first, second, third])
    const waiting: string[] = []
    for await (const id of in_.waitingSince(now - 1000)) waiting.push(id)
    expect(waiting).toEqual([second])
  })
})

describe('bounds', () => {
  test('of messages and of octets are those of one list, and what has gone makes room', async () => {
    const in_ = queue({ maxMessages: 2, maxSize: 2 * POST.size })
    const first = await hold(in_)
    await hold(in_)
    await expect(hold(in_)).rejects.toMatchObject({ code: 'POSTERN_HELD_FULL' })
    await hold(in_, 'other@lists.example.org')
    expect(await in_.discard(first)).toBe('discarded')
    await expect(hold(in_, TEAM, message('x'.repeat(POST.size + 1)))).rejects.toMatchObject({
      code: 'POSTERN_HELD_FULL',
    })
    await hold(in_)
    expect(await heldIn(path)).toHaveLength(3)
  })

  test('count what is being written', async () => {
    const in_ = queue({ maxMessages: 3 })
    const all = await Promise.allSettled(Array.from({ length: 10 }, () => hold(in_)))
    const kept = all.filter(({ status }) => status === 'fulfilled').length
    expect([1, 2, 3]).toContain(kept)
    expect(await heldIn(path)).toHaveLength(kept)
  })

  test('ten thousand are listed without being in memory together', async () => {
    const in_ = queue()
    const id = await hold(in_, TEAM, message(`Subject: x\r\n\r\n${'x'.repeat(5000)}\r\n`))
    const [file = ''] = await files()
    const content = await readFile(file)
    const newId = idMaker(() => now)
    await Promise.all(Array.from({ length: 10_000 }, () => writeFile(file.replace(id, newId()), content)))
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    let most = 0
    let count = 0
    for await (const entry of in_.entries()) {
      count += entry.kind === 'held' ? 1 : 0
      if (count % 500 === 0) most = Math.max(most, process.memoryUsage().heapUsed - before)
    }
    expect(count).toBeGreaterThanOrEqual(10_000)
    expect(most).toBeLessThan(100_000_000)
  }, 120_000)
})

describe('claims', () => {
  test('of two at once one is had, and the other is told', async () => {
    const in_ = queue()
    const other = queue()
    const id = await hold(in_)
    const both = await Promise.all([in_.claim(id, 'accept'), other.claim(id, 'reject')])
    expect(both.filter(isClaim)).toHaveLength(1)
    expect(both.filter(result => !isClaim(result))).toEqual([{ kind: 'busy' }])
    for (const claim of both) if (isClaim(claim)) await claim.finish()
    expect(await files()).toEqual([])
  })

  test.each([1, 2, 3, 4, 5])('of a claim and a discard at once one is done (%i)', async () => {
    const in_ = queue()
    const id = await hold(in_)
    const [claim, discarded] = await Promise.all([in_.claim(id, 'accept'), in_.discard(id)])
    expect(isClaim(claim)).toBe(discarded !== 'discarded')
    if (isClaim(claim)) await claim.finish()
    expect(await files()).toEqual([])
  })

  test('that are released let the message wait again', async () => {
    const in_ = queue()
    const id = await hold(in_)
    const claim = await claimed(in_, id)
    expect(await in_.find(id)).toMatchObject({ state: 'accept' })
    expect([await in_.claim(id, 'accept'), await in_.discard(id)]).toEqual([{ kind: 'busy' }, 'busy'])
    await claim.release()
    expect(await in_.find(id)).toMatchObject({ state: 'waiting' })
    expect(await heldIn(path)).toHaveLength(1)
  })

  test('of another process are taken over when it is gone, and when nobody touches them elsewhere', async () => {
    const in_ = queue()
    const here = (await import('../../src/delivery/held-owner.ts')).OWNER.split('-')[2] ?? ''
    const as = async (owner: string, minutes: number): Promise<boolean> => {
      const id = await hold(in_)
      const [file = ''] = (await files()).filter(name => name.includes(id))
      const mine = `${file},accept=${owner}`
      const at = new Date(Date.now() - minutes * 60_000)
      await utimes(file, at, at)
      await rename(file, mine)
      const claim = await in_.claim(id, 'accept')
      if (isClaim(claim)) await claim.finish()
      return isClaim(claim)
    }
    // Number 1 is always there; a later start is another process.
    expect(await as(`1-0-${here}`, 60)).toBe(false)
    expect(await as(`1-99999999999-${here}`, 0)).toBe(true)
    expect(await as(`4194304-1-${here}`, 0)).toBe(true)
    expect(await as('4194304-1-00000000', 9)).toBe(false)
    expect(await as('4194304-1-00000000', 11)).toBe(true)
  })

  test('carry a note over to whoever takes over', async () => {
    const in_ = queue()
    const id = await hold(in_)
    const claim = await claimed(in_, id)
    await claim.note('maildir', 'whatever')
    expect(claim.isNoted).toBe(true)
    await claim.release()
    const again = await in_.claim(id, 'reject')
    expect(again).toMatchObject({ purpose: 'accept', noted: { delivery: 'maildir', text: 'whatever' } })
    if (isClaim(again)) await again.finish()
    expect(await files()).toEqual([])
  })
})

describe('damage', () => {
  test.each([
    [
      'cut',
      async (file: string) => truncate(file, 400),
      /^it has -?\d+ octets of a message of \d+$|cannot be read/,
    ],
    [
      'longer than it was',
      async (file: string) => appendFile(file, 'x'),
      /^it has \d+ octets of a message of \d+$/,
    ],
    ['empty', async (file: string) => truncate(file, 0), /does not begin/],
    ['something else', async (file: string) => writeFile(file, 'hello'), /does not begin/],
  ])('a file that is %s is told of, stays, and harms no other', async (_what, damage, problem) => {
    const in_ = queue()
    const id = await hold(in_)
    const [file = ''] = await files()
    await damage(file)
    const other = await hold(in_)
    const found: unknown[] = []
    for await (const entry of in_.entries()) found.push(entry)
    expect(found).toContainEqual({ kind: 'damaged', id, path: file, problem: expect.stringMatching(problem) })
    expect(found).toContainEqual(expect.objectContaining({ kind: 'held', id: other }))
    expect(await in_.claim(id, 'accept')).toMatchObject({ kind: 'damaged', path: file })
    await in_.clean()
    expect(await files()).toContain(file)
  })

  test('names that are nobody’s are passed over, and stay', async () => {
    const in_ = queue()
    await hold(in_)
    const stranger = join(path, 'lists/lists.example.org/team/README')
    await writeFile(stranger, 'x')
    expect(await ids(in_)).toHaveLength(1)
    await in_.clean()
    expect(await files()).toContain(stranger)
  })
})

describe('a disk', () => {
  test('that fails while a message is read leaves nothing behind', async () => {
    const broken = {
      size: 100,
      async *read() {
        yield Buffer.from('Subject: x\r\n')
        throw Object.assign(new Error('no room'), { code: 'ENOSPC' })
      },
    }
    await expect(hold(queue(), TEAM, broken)).rejects.toMatchObject({ code: 'ENOSPC' })
    expect(await files()).toEqual([])
  })

  test.skipIf(process.getuid?.() === 0)('that may not be written is an error', async () => {
    await chmod(path, 0o500)
    await expect(hold(queue())).rejects.toMatchObject({ code: 'EACCES' })
  })

  test('is cleared of what was never whole, and of directories that are empty', async () => {
    const in_ = queue()
    const id = await hold(in_)
    const [leftBehind, fresh] = [join(path, 'tmp/a'), join(path, 'tmp/b')]
    for (const file of [leftBehind, fresh]) await writeFile(file, 'x')
    const old = new Date(Date.now() - 90_000_000)
    await utimes(leftBehind, old, old)
    await in_.discard(id)
    await in_.clean()
    expect(await files()).toEqual([fresh])
    expect(await readdir(join(path, 'lists'))).toEqual([])
    await hold(in_)
    expect(await heldIn(path)).toHaveLength(1)
  })
})
