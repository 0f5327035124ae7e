/** A disk that is really full: what is held stays whole, what does not fit waits in the MTA, and nothing is left behind. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { withHeldQueue } from '../../src/delivery/holding.ts'
import { createMaildirDelivery } from '../../src/delivery/maildir.ts'
import { heldIn } from '../support/held-queue.ts'
import { leaveOut } from '../support/parts.ts'
import { heldSite } from './held-site.ts'
import { ENVELOPE, message, to } from './mail.ts'

const directory = mkdtempSync(join(tmpdir(), 'postern-full-'))
const small = join(directory, 'held')

/** Mounts a disk of 256 kilobytes; says why it cannot. */
function mount(): string | undefined {
  try {
    mkdirSync(small)
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=256k', 'none', small], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'a file system cannot be mounted here'
  }
}

const whyNot = leaveOut('a disk that is full', mount())

afterAll(() => {
  if (whyNot === undefined) execFileSync('umount', [small])
  rmSync(directory, { recursive: true, force: true })
})

test.skipIf(whyNot !== undefined)('holds what fits, and the rest when there is room', async () => {
  const site = await heldSite(directory)
  const delivery = withHeldQueue(createMaildirDelivery({ root: directory, hostname: 'h' }), site.queue)
  const copy = [to('team@lists.example.org', site.hold)]
  const content = `Subject: x\r\n\r\n${'x'.repeat(30_000)}\r\n`
  const kinds: string[] = []
  for (let count = 0; count < 10; count++) {
    const [outcome] = await delivery.deliver(ENVELOPE, message(content), copy)
    kinds.push(
      outcome?.kind === 'failed' ? String((outcome.cause as { code?: unknown }).code) : outcome!.kind,
    )
  }
  const kept = kinds.indexOf('ENOSPC')
  expect(kept).toBeGreaterThan(3)
  expect(kinds.slice(kept)).toEqual(Array.from({ length: 10 - kept }, () => 'ENOSPC'))
  const held = await heldIn(small)
  expect(held.map(({ octets }) => octets.toString())).toEqual(Array.from({ length: kept }, () => content))
  expect(readdirSync(join(small, 'tmp'))).toEqual([])

  // To accept one takes a few octets for a note: what cannot be noted is not handed on, and waits.
  for (const { id } of held) {
    const outcome = await site.moderation.decide(id, 'accept')
    expect(['accepted', 'failed']).toContain(outcome.kind)
    if (outcome.kind === 'failed') await site.moderation.decide(id, 'discard')
  }
  expect(await heldIn(small)).toEqual([])
  const accepted = site.delivered().length
  expect(await delivery.deliver(ENVELOPE, message(content), copy)).toMatchObject([{ kind: 'delivered' }])
  expect([(await heldIn(small)).length, site.delivered().length]).toEqual([1, accepted])
})
