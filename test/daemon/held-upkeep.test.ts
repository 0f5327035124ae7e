/** What the daemon does by itself about messages that wait, and what it says of it. */
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Log, LogFields } from '../../src/app/log.ts'
import type { DeliveryOutcome } from '../../src/app/message.ts'
import { HeldUpkeep } from '../../src/daemon/held-upkeep.ts'
import { type HeldSite, heldSite } from '../delivery/held-site.ts'
import { ENVELOPE, POST, to } from '../delivery/mail.ts'
import { heldIn } from '../support/held-queue.ts'

const DAY = 86_400_000

let root = ''
let site: HeldSite
let said: string[] = []
let outcome: DeliveryOutcome = { kind: 'delivered' }
let now = 0

function note(level: string) {
  return (message: string, fields: LogFields = {}): void => {
    said.push(`${level}: ${message} (${Object.keys(fields).join(' ')})`)
  }
}

const LOG: Log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error') }

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-upkeep-'))
  said = []
  outcome = { kind: 'delivered' }
  now = Date.now()
  site = await heldSite(root, {
    deliveryFor: () => ({
      name: 'hop',
      deliver: async (_e, _m, recipients) => recipients.map(() => outcome),
    }),
  })
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

function upkeep(
  expireAction: 'discard' | 'accept' | 'reject',
  expireAfterMs: number | undefined = DAY,
): HeldUpkeep {
  return new HeldUpkeep(site.moderation, () => ({ expireAfterMs, expireAction }), {
    log: LOG,
    clock: () => now,
  })
}

const hold = (): Promise<string> => site.queue.hold(ENVELOPE, POST, to('team@lists.example.org', site.hold))
const left = async (): Promise<number> => (await heldIn(join(root, 'held'))).length

test.each([
  ['discard', 'info: held message discarded, as it has waited for too long (id)'],
  ['accept', 'info: held message accepted, as it has waited for too long (id list sender delivery)'],
  ['reject', 'info: held message rejected, as it has waited for too long (id list sender)'],
] as const)(
  '%s: what has waited for too long, and nothing before, and each is said',
  async (action, line) => {
    await hold()
    const keeper = upkeep(action)
    await keeper.once()
    expect([said, await left()]).toEqual([[], 1])
    now += DAY + 2000
    await keeper.once()
    expect([said, await left()]).toEqual([[line], 0])
  },
)

test('without a limit everything waits for ever', async () => {
  await hold()
  const keeper = new HeldUpkeep(
    site.moderation,
    () => ({ expireAfterMs: undefined, expireAction: 'discard' }),
    { log: LOG, clock: () => now },
  )
  now += 10_000 * DAY
  await keeper.once()
  expect([said, await left()]).toEqual([[], 1])
})

test('what could not be handed on waits, and is tried again after an hour', async () => {
  await hold()
  outcome = { kind: 'failed', cause: new Error('away') }
  const keeper = upkeep('accept')
  now += DAY + 2000
  for (const minutes of [0, 1, 30]) {
    now += minutes * 60_000
    await keeper.once()
  }
  expect(said).toEqual(['error: held message not dealt with (id list sender cause)'])
  outcome = { kind: 'delivered' }
  now += 3_600_000
  await keeper.once()
  expect([said.length, await left()]).toEqual([2, 0])
})

test('what a failure of this very process has left is carried on', async () => {
  const id = await hold()
  const claim = await site.queue.claim(id, 'accept')
  if ('purpose' in claim) await claim.abandon()
  await upkeep('discard').once()
  expect(said).toEqual([
    'info: held message accepted, as was decided before a process died (id list sender delivery)',
  ])
  expect(await left()).toBe(0)
})

test('does not wait for ever for what is under way', async () => {
  await hold()
  const stuck = await heldSite(root, {
    deliveryFor: () => ({ name: 'hop', deliver: () => new Promise<never>(() => {}) }),
  })
  const keeper = new HeldUpkeep(stuck.moderation, () => ({ expireAfterMs: 0, expireAction: 'accept' }), {
    log: LOG,
    clock: () => now + DAY,
  })
  keeper.start()
  await vi.waitFor(async () =>
    expect((await readdir(join(root, 'held/lists/lists.example.org/team')))[0]).toMatch(/accept/),
  )
  await keeper.stop(10)
  expect(await left()).toBe(1)
})

test('ends at once when it is told to, and waits for what is under way', async () => {
  const keeper = upkeep('discard')
  keeper.start()
  await keeper.stop(60_000)
  expect(said).toEqual([])
})
