/** docs/redis-schema.md against the code: its keys are those of keys.ts, its settings those of the table, its examples run. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LATENCY_BOUNDS, LIST_COUNTERS, type LongPeriod, TOP_KINDS, tally } from '../../src/app/counters.ts'
import { MAX_TOP } from '../../src/app/journal.ts'
import { EVENT_FIELDS } from '../../src/app/journal-event.ts'
import { parseDomain } from '../../src/core/domain.ts'
import { formatSettings, INITIAL_SETTINGS, SETTINGS } from '../../src/core/list.ts'
import { DOMAIN_SETTINGS, formatDomainSettings, INITIAL_DOMAIN } from '../../src/core/list-domain.ts'
import { VERDICT_KINDS } from '../../src/core/verdict.ts'
import { parseWho } from '../../src/core/who.ts'
import { Keys } from '../../src/store/keys.ts'
import { openRedisStore } from '../../src/store/redis.ts'
import { openRedisJournal } from '../../src/store/redis-journal.ts'
import { SCHEMA_VERSION } from '../../src/store/store-errors.ts'
import { describeJournal, event } from '../conformance/journal-conformance.ts'
import { describeStore } from '../conformance/store-conformance.ts'
import { requirePart } from '../support/parts.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { address, must } from '../support/vectors.ts'

const REDIS_CLI = '/usr/bin/redis-cli'
const page = readFileSync(fileURLToPath(new URL('../../docs/redis-schema.md', import.meta.url)), 'utf8')

/** What stands between two marks of the page. */
function section(name: string): string {
  const text = new RegExp(`<!-- ${name} -->\n([\\s\\S]*?)\n<!-- /${name} -->`).exec(page)?.[1]
  if (text === undefined) throw new Error(`the page has no part ${name}`)
  return text
}

function firstColumn(name: string): string[] {
  return [...section(name).matchAll(/^\| `([^`]+)` +\|/gm)].map(match => match[1]!)
}

const TEAM = address('team@lists.example.org').key
const ALICE = must(parseWho('alice@example.net'))

test('the keys are those that the code has', () => {
  const { site, list } = ((keys: Keys) => ({ site: keys.site, list: keys.list(TEAM) }))(new Keys())
  const ofSite = [
    site.schema,
    site.domains,
    site.lists,
    site.bans,
    site.forbidden,
    site.mtas.known,
    site.mtas.refused,
  ]
  const ofList = [
    list.list,
    list.people,
    list.bans,
    list.posts,
    list.postsOf(ALICE),
    list.admitted,
    list.stagedPeople('ID'),
    list.stagedBans('ID'),
  ]
  expect(firstColumn('keys')).toEqual([...ofSite, ...ofList])
  // Every property that names a key is among them, so that a new one cannot be forgotten here.
  expect(Object.keys(site)).toHaveLength(7 - 1 + 1)
  expect(Object.keys(list)).toHaveLength(8 + 1)
})

test('the keys of the journal are those that the code has', () => {
  const { journal } = new Keys()
  const [minute, hour, day] = ['2026-11-22T14:25', '2026-11-22T14', '2026-11-22'] as const
  const long = (period: LongPeriod, start: string): string[] => [
    journal.counters(period, start),
    journal.listCounters(period, start),
    journal.senders(period, start),
    ...TOP_KINDS.map(kind => journal.top(kind, period, start)),
  ]
  expect(firstColumn('journal-keys')).toEqual([
    journal.events,
    journal.counters('minute', minute),
    journal.listCounters('minute', minute),
    ...long('hour', hour),
    ...long('day', day),
    journal.nodes,
    journal.node('mx1'),
    journal.batch('WRITER'),
  ])
  expect(Object.keys(journal)).toHaveLength(9)
  expect(section('journal-keys').match(/at most 2000/)?.[0]).toBe(`at most ${MAX_TOP}`)
})

test('the fields of an event are those that the code writes', () => {
  expect(firstColumn('event-fields')).toEqual(EVENT_FIELDS)
})

test('the counters are those that events add to', () => {
  const shape = (counter: string): string =>
    counter
      .replace(/^at:[^:]+:[^:]+:[^:]+$/, 'at:FRONT:PHASE:VERDICT')
      .replace(/^would:[^:]+:.*$/, 'would:VERDICT:REASON')
      .replace(/^(would|verdict):[^:]+$/, '$1:VERDICT')
      .replace(/^reason:.*$/, 'reason:REASON')
      .replace(/^front:.*$/, 'front:FRONT')
      .replace(/^latency:.*$/, 'latency:MS')
      .replace(new RegExp(`^(?:${VERDICT_KINDS.join('|')}):.*$`), 'VERDICT:REASON')
  const some = event({ verdict: 'accept', reason: 'shadow', would: 'reject', wouldReason: 'sender-banned' })
  const unwritten = { time: 0, repeated: 1, lost: 1 }
  const tallies = tally([some, event({ reason: 'existence-only' })], unwritten)
  const counters = tallies.flatMap(({ site }) => [...site.keys()].map(shape))
  expect(new Set(counters)).toEqual(new Set(firstColumn('counters')))
  const classes = section('counters').match(/class below: (.*) and `more`/)?.[1]
  expect(classes?.split(', ').map(Number)).toEqual([...LATENCY_BOUNDS])
  const ofLists = LIST_COUNTERS.map(shape)
  expect(new Set(ofLists)).toEqual(new Set(['probes', 'verdict:VERDICT', 'would:VERDICT', 'reason:REASON']))
})

test.each([
  ['settings', SETTINGS, formatSettings(INITIAL_SETTINGS)],
  ['domain-settings', DOMAIN_SETTINGS, formatDomainSettings(INITIAL_DOMAIN)],
] as const)('the %s are those of the table, with their values', (name, table, initial) => {
  const rows = Object.entries(initial).map(([setting, text]) => {
    const { values } = table[setting as keyof typeof table]
    return `| \`${setting}\` | ${values.replaceAll('|', '\\|')} | ${text} |`
  })
  const shown = section(name).split('\n').slice(2)
  expect(shown.map(row => row.replace(/ +/g, ' '))).toEqual(rows.map(row => row.replace(/ +/g, ' ')))
})

test('the schema version is ours', () => {
  expect(page).toContain(`**schema version ${SCHEMA_VERSION}**`)
})

const skip =
  redisMissing('the examples of docs/redis-schema.md') !== undefined ||
  requirePart('the examples of docs/redis-schema.md', REDIS_CLI) !== undefined

describe.skipIf(skip)('with a server', () => {
  let server: RedisServer
  let admin: Redis
  beforeAll(async () => {
    server = await startRedis()
    admin = new Redis({ path: server.socket })
  })
  afterAll(async () => {
    admin.disconnect()
    await server.remove()
  })

  test('the examples do what they say, and a store sees it', async () => {
    await admin.flushall()
    const lines = section('examples').split('\n').slice(1, -1)
    const commands = lines.filter(line => line.startsWith('$ '))
    expect(commands.length).toBeGreaterThan(10)
    const cli = `${REDIS_CLI} --no-raw -s '${server.socket}'`
    const seen = commands.flatMap(command => {
      const line = command.replace(/^\$ redis-cli/, cli)
      const printed = execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8' })
      return [command, ...printed.trimEnd().split('\n')]
    })
    expect(seen).toEqual(lines)

    const store = openRedisStore({ endpoint: { kind: 'unix', path: server.socket } })
    expect((await store.getList(TEAM))?.settings).toMatchObject({
      ok: true,
      value: { state: 'paused', nonmember_action: 'hold', mode: 'enforce' },
    })
    expect(await store.getDomain(must(parseDomain('lists.example.org')))).toEqual({
      flavour: 'mailman',
      delivery: 'archive',
    })
    const bans = []
    for await (const ban of store.bans(TEAM)) bans.push(ban)
    expect(bans).toEqual(['@spam.example'])
    await store.close()
  })

  describeJournal('the journal in redis as the user of the page', async () => {
    await admin.flushall()
    const acl = section('acl').split('\n')[1]!.replace('>SECRET', '>open').split(' ')
    await admin.call(acl[0]!, acl.slice(1))
    const options = {
      endpoint: { kind: 'unix', path: server.socket },
      username: 'postern',
      password: 'open',
    } as const
    const [journal, other] = [openRedisJournal(options), openRedisJournal(options)]
    return {
      journal,
      other,
      close: async () => {
        await journal.close()
        await other.close()
      },
    }
  })

  // The whole suite as a user who has the rights that the page gives, and no others.
  describeStore('redis as the user of the page', async () => {
    await admin.flushall()
    const acl = section('acl').split('\n')[1]!.replace('>SECRET', '>open').split(' ')
    await admin.call(acl[0]!, acl.slice(1))
    const options = {
      endpoint: { kind: 'unix', path: server.socket },
      username: 'postern',
      password: 'open',
      db: 2,
    } as const
    const store = openRedisStore(options)
    const other = openRedisStore(options)
    return {
      store,
      other,
      advance: () => {},
      close: async () => {
        await store.close()
        await other.close()
      },
    }
  })
})
