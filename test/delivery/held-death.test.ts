/**
 * Processes that are killed at every step: what is acknowledged is there, what is accepted arrives once, octet for
 * octet, and nothing is lost. The processes are real ones, and end by SIGKILL.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { heldIn } from '../support/held-queue.ts'
import { type HeldSite, heldSite } from './held-site.ts'
import { ENVELOPE, message, to } from './mail.ts'

const PROCESS = fileURLToPath(new URL('./held-process.ts', import.meta.url))
const TEAM = 'team@lists.example.org'
const CONTENT = 'Subject: x\r\n\r\nHello.\r\n'

let root = ''

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-held-'))
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

/** Runs a process up to a point. Gives how many points there were, or that it has died. */
async function run(...args: readonly string[]): Promise<number | 'killed'> {
  const child = spawn(process.execPath, ['--import', 'tsx', PROCESS, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  let wrong = ''
  child.stdout.on('data', chunk => (said += String(chunk)))
  child.stderr.on('data', chunk => (wrong += String(chunk)))
  const [status, signal] = (await once(child, 'close')) as [number | null, string | null]
  if (signal === 'SIGKILL') return 'killed'
  if (status !== 0) throw new Error(wrong)
  return Number(said)
}

async function heldSiteWithOne(directory: string): Promise<{ readonly site: HeldSite; readonly id: string }> {
  const site = await heldSite(directory)
  const id = await site.queue.hold(ENVELOPE, message(CONTENT), to(TEAM, site.hold))
  return { site, id }
}

/** Does something with a process killed at each point, before and after what happens there; two at a time. */
async function atEveryPoint(
  points: number,
  each: (directory: string, point: number, when: string) => Promise<void>,
): Promise<void> {
  const cases = Array.from({ length: points }, (_, index) =>
    ['before', 'after'].map(when => [index + 1, when] as const),
  )
  const left = cases.flat()
  const worker = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift()) {
      const [point, when] = next
      await each(join(root, `${point}-${when}`), point, when)
    }
  }
  await Promise.all([worker(), worker()])
}

describe('a process that is killed', () => {
  test('while it accepts: the message arrives once, and not before', async () => {
    const first = await heldSiteWithOne(join(root, 'whole'))
    const points = await run('accept', join(root, 'whole'), first.id)
    expect(points).toBeGreaterThan(10)
    expect(first.site.delivered()).toHaveLength(1)
    const seen = new Set<string>()
    await atEveryPoint(Number(points), async (directory, point, when) => {
      const { site, id } = await heldSiteWithOne(directory)
      expect(await run('accept', directory, id, String(point), when)).toBe('killed')
      const left = await heldIn(join(directory, 'held'))
      seen.add(`${left.length} held, ${site.delivered().length} delivered`)
      for (const { octets } of left) expect(octets.toString()).toBe(CONTENT)
      // What waits still is accepted once more; what was claimed is carried on, by two at a time.
      await Promise.all([
        site.moderation.decide(id, 'accept'),
        (async () => {
          for await (const _ of site.moderation.recover());
        })(),
      ])
      for await (const _ of site.moderation.recover());
      expect([point, when, await heldIn(join(directory, 'held')), site.delivered().length]).toEqual([
        point,
        when,
        [],
        1,
      ])
      expect(site.delivered()[0]?.toString().endsWith(`\r\n${CONTENT}`)).toBe(true)
    })
    expect([...seen].sort()).toEqual(['0 held, 1 delivered', '1 held, 0 delivered', '1 held, 1 delivered'])
  }, 300_000)

  test('while it holds: the message is there whole or not at all', async () => {
    const points = await run('hold', join(root, 'whole'))
    expect(await heldIn(join(root, 'whole/held'))).toHaveLength(1)
    const seen = new Set<number>()
    await atEveryPoint(Number(points), async (directory, point, when) => {
      expect(await run('hold', directory, '', String(point), when)).toBe('killed')
      const left = await heldIn(join(directory, 'held'))
      for (const { octets } of left) expect(octets.toString()).toBe(CONTENT)
      seen.add(left.length)
    })
    expect([...seen].sort()).toEqual([0, 1])
  }, 300_000)

  test.each(['reject', 'discard'])(
    'while it is to %s: what is left is dealt with, and nothing is delivered',
    async decision => {
      const first = await heldSiteWithOne(join(root, 'whole'))
      const points = await run(decision, join(root, 'whole'), first.id)
      await atEveryPoint(Number(points), async (directory, point, when) => {
        const { site, id } = await heldSiteWithOne(directory)
        expect(await run(decision, directory, id, String(point), when)).toBe('killed')
        for await (const _ of site.moderation.recover());
        await site.moderation.decide(id, 'discard')
        expect(await heldIn(join(directory, 'held'))).toEqual([])
        expect(site.delivered()).toEqual([])
      })
    },
    200_000,
  )

  test('twice, in different processes: it arrives once all the same', async () => {
    const { site, id } = await heldSiteWithOne(root)
    const all = await run('accept', join(root), id)
    expect(all).toBeGreaterThan(8)
    const second = await heldSiteWithOne(root)
    expect(await run('accept', root, second.id, '7', 'after')).toBe('killed')
    const points = await run('recover', root, '', '1', 'after')
    expect(points).toBe('killed')
    for await (const _ of site.moderation.recover());
    expect(await heldIn(join(root, 'held'))).toEqual([])
    expect(site.delivered()).toHaveLength(2)
  }, 60_000)
})
