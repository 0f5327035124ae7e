/**
 * What happens on the disk before a message counts as held, and before an accepted one can be seen; and a disk that
 * fails at each of these calls: nothing is lost, and nothing comes twice.
 */
import type { FileHandle } from 'node:fs/promises'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

const disk = vi.hoisted(() => ({
  calls: [] as string[],
  /** The call that fails, from 1; once, or from then on. */
  failAt: 0,
  isBroken: false,
}))

vi.mock('node:fs/promises', async original => {
  const real = await original<typeof import('node:fs/promises')>()
  const watched = (call: string): void => {
    const number = disk.calls.push(call)
    if (number === disk.failAt || (disk.isBroken && disk.failAt > 0 && number > disk.failAt)) {
      throw Object.assign(new Error('ENOSPC: no'), { code: 'ENOSPC' })
    }
  }
  return {
    ...real,
    open: async (path: string, flags?: string, mode?: number): Promise<FileHandle> => {
      const handle = await real.open(path, flags, mode)
      const append = handle.appendFile.bind(handle)
      const write = handle.writeFile.bind(handle)
      const sync = handle.sync.bind(handle)
      handle.appendFile = async data => {
        watched(`write ${path}`)
        return append(data)
      }
      handle.writeFile = async data => {
        watched(`write ${path}`)
        return write(data)
      }
      handle.sync = async () => {
        watched(`sync ${path}`)
        return sync()
      }
      return handle
    },
    rename: async (from: string, to: string) => {
      watched(`rename ${to}`)
      return real.rename(from, to)
    },
    unlink: async (path: string) => {
      watched(`unlink ${path}`)
      return real.unlink(path)
    },
  }
})

const { heldSite } = await import('./held-site.ts')
const { heldIn } = await import('../support/held-queue.ts')
const { ENVELOPE, POST, to } = await import('./mail.ts')

let root = ''

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-held-durability-'))
  Object.assign(disk, { calls: [], failAt: 0, isBroken: false })
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

/** The calls, with the parts of their paths that differ taken out. */
function calls(): readonly string[] {
  return disk.calls.map(call =>
    call
      .replace(root, '')
      .replace(/[0-9a-z]{11}(?=[,.])/, 'ID')
      .replace(/\d+-\d+-[0-9a-f]{8}/, 'OWNER')
      .replace(/\/\d+\.M[^/]*$/, '/FILE'),
  )
}

const TEAM = 'team@lists.example.org'

test('a message is on the disk, with every name above it, before it counts as held', async () => {
  const site = await heldSite(root)
  await site.queue.hold(ENVELOPE, POST, to(TEAM, site.hold))
  const list = '/held/lists/lists.example.org/team'
  expect(calls()).toEqual([
    'sync ',
    'sync /held',
    'sync /held/lists',
    'sync /held/lists/lists.example.org',
    'write /held/tmp/ID.OWNER',
    'sync /held/tmp/ID.OWNER',
    `rename ${list}/ID,S=${POST.size}`,
    `sync ${list}`,
  ])
})

test('an accepted message is whole in the maildir, and that is noted, before it can be seen', async () => {
  const site = await heldSite(root)
  const id = await site.queue.hold(ENVELOPE, POST, to(TEAM, site.hold))
  await site.moderation.decide(await hold2(site), 'accept')
  disk.calls = []
  expect(await site.moderation.decide(id, 'accept')).toMatchObject({ kind: 'accepted' })
  const list = '/held/lists/lists.example.org/team'
  const maildir = '/mail/lists.example.org/team'
  expect(calls()).toEqual([
    `rename ${list}/ID,S=${POST.size},accept=OWNER`,
    `write ${maildir}/tmp/FILE`,
    `sync ${maildir}/tmp/FILE`,
    `sync ${maildir}/tmp`,
    `write ${list}/ID,note=OWNER`,
    `sync ${list}/ID,note=OWNER`,
    `rename ${list}/ID,S=${POST.size},accept=OWNER,noted`,
    `sync ${list}`,
    `rename ${maildir}/new/FILE`,
    `sync ${maildir}/new`,
    `unlink ${list}/ID,S=${POST.size},accept=OWNER,noted`,
    `unlink ${list}/ID,note=OWNER`,
    `sync ${list}`,
  ])
})

function hold2(site: Awaited<ReturnType<typeof heldSite>>): Promise<string> {
  return site.queue.hold(ENVELOPE, POST, to(TEAM, site.hold))
}

describe.each([
  ['fails once', false],
  ['fails from then on', true],
])('a disk that %s', (_what, isBroken) => {
  test('while a message is held: it is not held, or the MTA sends it again', async () => {
    for (let failAt = 1; failAt <= 8; failAt++) {
      const site = await heldSite(join(root, String(failAt)))
      Object.assign(disk, { calls: [], failAt, isBroken })
      await expect(hold2(site)).rejects.toMatchObject({ code: 'ENOSPC' })
      Object.assign(disk, { failAt: 0 })
      const left = await heldIn(join(root, String(failAt), 'held'))
      expect(left.length).toBeLessThanOrEqual(isBroken && failAt === 8 ? 1 : 0)
      await hold2(site)
      for (const { octets } of await heldIn(join(root, String(failAt), 'held'))) {
        expect(octets.length).toBe(POST.size)
      }
    }
  })

  test('while a message is accepted: it arrives once, at the latest when the disk is well again', async () => {
    for (let failAt = 1; failAt <= 18; failAt++) {
      const directory = join(root, String(failAt))
      const site = await heldSite(directory)
      const id = await hold2(site)
      Object.assign(disk, { calls: [], failAt, isBroken })
      await site.moderation.decide(id, 'accept').catch(() => {})
      Object.assign(disk, { failAt: 0 })
      await site.moderation.decide(id, 'accept')
      for await (const _ of site.moderation.recover());
      expect([failAt, site.delivered().length, await heldIn(join(directory, 'held'))]).toEqual([
        failAt,
        1,
        [],
      ])
    }
  })
})
