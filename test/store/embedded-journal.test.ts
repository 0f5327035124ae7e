/** The embedded journal: the promises of all, and that what is old goes. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { lastStarts, periodStart } from '../../src/app/counters.ts'
import { openEmbeddedJournal } from '../../src/store/embedded-journal.ts'
import { batch, describeJournal, event, KEEP } from '../conformance/journal-conformance.ts'

describeJournal('embedded', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'postern-journal-'))
  const options = { path: join(directory, 'store') }
  const journal = await openEmbeddedJournal(options)
  const other = await openEmbeddedJournal(options)
  return {
    journal,
    other,
    close: async () => {
      await journal.close()
      await other.close()
      rmSync(directory, { recursive: true })
    },
  }
})

test('counters whose time is over are taken away, the others stay', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'postern-journal-'))
  let now = Date.UTC(2026, 10, 22, 14, 25)
  const journal = await openEmbeddedJournal({ path: join(directory, 'store'), clock: () => now })
  try {
    await journal.append(batch('1', [event({ time: now })]), KEEP)
    const [minute, hour, day] = [
      periodStart('minute', now),
      periodStart('hour', now),
      periodStart('day', now),
    ]
    const kept = async (): Promise<number[]> => [
      (await journal.figures('minute', [minute]))[0]!.size,
      (await journal.figures('hour', [hour]))[0]!.size,
      (await journal.top('senders', 'hour', [hour], 5)).length,
      await journal.uniqueSenders('hour', [hour]),
      (await journal.figures('day', [day]))[0]!.size,
    ]
    expect(await kept()).toEqual([7, 7, 1, 1, 7])
    const later = async (ms: number, id: string): Promise<number[]> => {
      now += ms
      await journal.append(batch(id, [event({ time: now })]), KEEP)
      return kept()
    }
    expect(await later(60 * 60_000, '2')).toEqual([7, 7, 1, 1, 7])
    expect(await later(60_000, '3')).toEqual([0, 7, 1, 1, 7])
    expect(await later(48 * 3_600_000, '4')).toEqual([0, 0, 0, 0, 7])
    expect(await later(30 * 86_400_000, '5')).toEqual([0, 0, 0, 0, 0])
    expect(lastStarts('day', 2, now)).toEqual(['2026-12-23', '2026-12-24'])
  } finally {
    await journal.close()
    rmSync(directory, { recursive: true })
  }
})

test('nodes that were not heard of for a week are forgotten', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'postern-journal-'))
  const journal = await openEmbeddedJournal({ path: join(directory, 'store') })
  const beat = {
    pid: 1,
    version: '1',
    started: 0,
    state: 'serving',
    written: 0,
    lost: 0,
    waiting: 0,
  } as const
  await journal.beat({ ...beat, node: 'old', time: 0 })
  await journal.beat({ ...beat, node: 'new', time: 7 * 86_400_000 + 1 })
  expect((await journal.nodes()).map(({ node }) => node)).toEqual(['new'])
  await journal.close()
  rmSync(directory, { recursive: true })
})
