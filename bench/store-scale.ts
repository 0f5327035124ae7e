/**
 * What a decision's look-up costs as a list grows: ten members, and a million. For each store, the time of one `load` for
 * RCPT (median and 99th of 2,000, one after another), and, for Redis, the commands that it ran and the bytes both ways; and
 * how long an import of a million people takes, with the memory of this process at its height.
 *
 *     node --import tsx bench/store-scale.ts [MEMBERS]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import type { Store } from '../src/app/ports.ts'
import { parseAddress } from '../src/core/address.ts'
import { factsNeeded, INITIAL_SITE } from '../src/core/facts.ts'
import { INITIAL_SETTINGS } from '../src/core/list.ts'
import { parseIpAddress } from '../src/core/network.ts'
import { makePerson } from '../src/core/person.ts'
import { parseWho } from '../src/core/who.ts'
import { openEmbeddedStore } from '../src/store/embedded.ts'
import { openRedisStore } from '../src/store/redis.ts'
import { startRedis } from '../test/support/redis-server.ts'
import { must } from '../test/support/vectors.ts'

const MANY = Number(process.argv[2] ?? 1_000_000)
const LOADS = 2000
const BATCH = 5000

const recipient = must(parseAddress('team@lists.example.org'))
const sender = must(parseAddress('p5@members.example'))
const person = must(makePerson(['member']))
const query = factsNeeded(
  {
    phase: 'RCPT',
    front: 'policy',
    client: { ip: must(parseIpAddress('192.0.2.7')), name: 'mx.members.example', helo: 'mx.members.example' },
    sender,
    recipient,
    recipientsBefore: 0,
    message: 'm1',
  },
  INITIAL_SITE,
)

/** Imports `count` people; gives milliseconds, and the resident memory at its height, in MiB. */
async function fill(store: Store, count: number): Promise<{ readonly ms: number; readonly mib: number }> {
  const started = performance.now()
  let highest = 0
  const staged = await store.stagePeople(recipient.key)
  for (let from = 0; from < count; from += BATCH) {
    const size = Math.min(BATCH, count - from)
    const names = Array.from({ length: size }, (_, i) => `p${from + i}@members.example`)
    await staged.add(names.map(name => ({ who: must(parseWho(name)), person })))
    highest = Math.max(highest, process.memoryUsage.rss())
  }
  await staged.commit({ address: recipient.key, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false })
  if ((await store.countPeople(recipient.key)) !== count) throw new Error('not everybody is there')
  return { ms: performance.now() - started, mib: highest / 2 ** 20 }
}

/** Times `load`; gives microseconds. */
async function time(store: Store): Promise<{ readonly median: number; readonly p99: number }> {
  const times: number[] = []
  for (let i = 0; i < LOADS + 200; i++) {
    const started = performance.now()
    const facts = store.load(query)
    const found = facts instanceof Promise ? await facts : facts
    times.push((performance.now() - started) * 1000)
    if (found.lists.get(recipient.key)?.people.size !== 1) throw new Error('the sender is not found')
  }
  const sorted = times.slice(200).sort((a, b) => a - b)
  return { median: sorted[LOADS / 2] ?? 0, p99: sorted[Math.floor(LOADS * 0.99)] ?? 0 }
}

/** The commands that Redis ran for one `load`, and the bytes that it read and wrote. */
async function work(store: Store, admin: Redis): Promise<string> {
  const bytes = async (): Promise<number> => {
    const stats = await admin.info('stats')
    const total = (name: string): number => Number(new RegExp(`${name}:(\\d+)`).exec(stats)?.[1])
    return total('total_net_input_bytes') + total('total_net_output_bytes')
  }
  const before = await bytes()
  const ownBytes = (await bytes()) - before
  await admin.config('RESETSTAT')
  const start = await bytes()
  await store.load(query)
  const moved = (await bytes()) - start - ownBytes
  const lines = (await admin.info('commandstats')).matchAll(/cmdstat_([a-z]+):calls=(\d+)/g)
  const calls = [...lines].filter(([, name]) => !['info', 'config'].includes(name ?? ''))
  return `${calls.map(([, name, count]) => `${count} ${name}`).join(', ')}; about ${moved} bytes`
}

async function measure(name: string, store: Store, admin?: Redis): Promise<void> {
  for (const count of [10, MANY]) {
    const filled = await fill(store, count)
    const { median, p99 } = await time(store)
    const extra = admin === undefined ? '' : `; ${await work(store, admin)}`
    console.log(
      `${name}, ${count} members: load ${median.toFixed(0)} µs median, ${p99.toFixed(0)} µs p99${extra}; ` +
        `imported in ${(filled.ms / 1000).toFixed(1)} s, at most ${filled.mib.toFixed(0)} MiB resident`,
    )
  }
}

const directory = mkdtempSync(join(tmpdir(), 'postern-bench-'))
const embedded = await openEmbeddedStore({ path: join(directory, 'store') })
await measure('embedded', embedded)
await embedded.close()
rmSync(directory, { recursive: true })

const server = await startRedis()
const admin = new Redis({ path: server.socket })
const redis = openRedisStore({ endpoint: { kind: 'unix', path: server.socket } })
await measure('redis', redis, admin)
await redis.close()
admin.disconnect()
await server.remove()
