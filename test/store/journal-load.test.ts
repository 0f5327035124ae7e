/**
 * Two nodes write one journal: its counters agree to the unit with its events and with what the nodes counted themselves, also
 * when Redis is killed under them. POSTERN_JOURNAL_DECISIONS sets another number of decisions than 20,000.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as wait } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { PERIOD_MS, PERIODS, type Period, periodStart } from '../../src/app/counters.ts'
import { type JournalStore, MAX_TOP } from '../../src/app/journal.ts'
import { parseAddress } from '../../src/core/address.ts'
import { openRedisJournal } from '../../src/store/redis-journal.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { must } from '../support/vectors.ts'
import type { Counted, Order } from './journal-writer-child.ts'

const skip = redisMissing('two nodes that write one journal') !== undefined
const DECISIONS = Number(process.env['POSTERN_JOURNAL_DECISIONS'] ?? 20_000)

let server: RedisServer | undefined
let children: ChildProcess[] = []
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  children = []
  await server?.remove()
})

function node(order: Order): Promise<Counted> {
  const path = fileURLToPath(new URL('./journal-writer-child.ts', import.meta.url))
  const child = fork(path, [], { execArgv: ['--import', 'tsx'] })
  children.push(child)
  child.send(order)
  return once(child, 'message').then(([counted]) => counted as Counted)
}

function add(to: Map<string, number>, name: string, count: number): void {
  to.set(name, (to.get(name) ?? 0) + count)
}

/** All starts of periods that the test can have touched. */
function starts(period: Period, since: number): string[] {
  const found: string[] = []
  for (let time = since; time < Date.now() + PERIOD_MS[period]; time += PERIOD_MS[period])
    found.push(periodStart(period, time))
  return [...new Set(found)]
}

async function agrees(journal: JournalStore, counted: readonly Counted[], since: number): Promise<void> {
  const expected = new Map<string, number>()
  for (const { noted } of counted)
    for (const [name, count] of Object.entries(noted)) add(expected, name, count)
  const inStream = new Map<string, number>()
  const nodes = new Map<string, number>()
  for (let id: string | undefined; ; ) {
    const page = await journal.after(id, 2000)
    for (const { list, verdict, reason, node } of page) {
      add(inStream, `${list} ${verdict}:${reason}`, 1)
      add(nodes, node, 1)
    }
    if (page.length === 0) break
    id = page.at(-1)?.id
  }
  expect(inStream).toEqual(expected)
  const total = [...expected.values()].reduce((sum, count) => sum + count, 0)
  expect([...nodes.values()].reduce((sum, count) => sum + count, 0)).toBe(total)
  for (const period of PERIODS) {
    const all = starts(period, since)
    const site = new Map<string, number>()
    for (const figures of await journal.figures(period, all))
      for (const [name, count] of figures) add(site, name, count)
    const sums = new Map<string, number>()
    for (const [name, count] of expected) {
      const [, pair = ''] = name.split(' ')
      add(sums, pair === 'accept:existence-only' ? 'probes' : pair, count)
    }
    for (const [name, count] of sums) expect([period, name, site.get(name)]).toEqual([period, name, count])
    expect(site.get('decisions')! + site.get('probes')!).toBe(total)
    expect(site.get('lost')).toBeUndefined()
    expect(site.get('repeated')).toBe(counted.reduce((sum, { repeated }) => sum + repeated, 0))
    for (const list of new Set([...expected.keys()].map(name => name.split(' ')[0]!))) {
      let rejected = 0
      for (const figures of await journal.listFigures(must(parseAddress(list)).key, period, all)) {
        rejected += figures.get('verdict:reject') ?? 0
      }
      const own = [...expected].filter(([name]) => name.startsWith(`${list} reject:`))
      expect([list, rejected]).toEqual([list, own.reduce((sum, [, count]) => sum + count, 0)])
    }
    if (period === 'minute') continue
    const rejects = [...expected]
      .filter(([name]) => name.includes(' reject:'))
      .reduce((sum, [, count]) => sum + count, 0)
    for (const kind of ['senders', 'domains', 'lists'] as const) {
      const top = await journal.top(kind, period, all, MAX_TOP)
      expect([kind, top.reduce((sum, { count }) => sum + count, 0)]).toEqual([kind, rejects])
    }
    const unique = await journal.uniqueSenders(period, all)
    expect(Math.abs(unique - 500)).toBeLessThan(25)
  }
}

describe.skipIf(skip)('two nodes', () => {
  test(`${DECISIONS} decisions`, { timeout: 60_000 + DECISIONS }, async () => {
    server = await startRedis()
    const since = Date.now()
    const { socket } = server
    const decisions = DECISIONS / 2
    const counted = await Promise.all(
      ['mx1', 'mx2'].map(name => node({ socket, node: name, decisions, pause: 0 })),
    )
    expect(counted.map(({ written, lost }) => [written, lost])).toEqual([
      [decisions, 0],
      [decisions, 0],
    ])
    const journal = openRedisJournal({ endpoint: { kind: 'unix', path: socket }, timeoutMs: 10_000 })
    await agrees(journal, counted, since)
    expect(await journal.nodes()).toMatchObject(
      ['mx1', 'mx2'].map(name => ({ node: name, written: decisions, lost: 0, state: 'stopped' })),
    )
    await journal.close()
  })

  test('Redis killed and started again under them: nothing lost, nothing twice', {
    timeout: 60_000,
  }, async () => {
    const running = await startRedis({ args: ['--appendonly', 'yes', '--appendfsync', 'always'] })
    server = running
    const since = Date.now()
    const { socket } = running
    const both = Promise.all(
      ['mx1', 'mx2'].map(name => node({ socket, node: name, decisions: 5000, pause: 60 })),
    )
    for (let times = 0; times < 4; times++) {
      await wait(900)
      await running.restart()
    }
    const counted = await both
    for (const { longest, lost } of counted) {
      expect(lost).toBe(0)
      expect(longest).toBeLessThan(200)
    }
    const journal = openRedisJournal({ endpoint: { kind: 'unix', path: socket }, timeoutMs: 10_000 })
    await agrees(journal, counted, since)
    await journal.close()
  })
})
