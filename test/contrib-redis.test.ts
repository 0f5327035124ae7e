/** The dashboard on Redis against the keys that Postern writes: a key, a counter or a field that nobody writes shows nothing. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { siteCounters, TOP_KINDS } from '../src/app/counters.ts'
import type { JournalEvent } from '../src/app/journal-event.ts'
import { EVENT_FIELDS } from '../src/app/journal-event.ts'
import { Keys } from '../src/store/keys.ts'

interface Target {
  readonly type: 'command' | 'cli'
  readonly command?: string
  readonly keyName?: string
  readonly query: string
  readonly field?: string
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly targets?: readonly Target[]
  readonly options?: { readonly reduceOptions?: { readonly fields: string } }
  readonly transformations?: readonly {
    readonly id: string
    readonly options: { readonly include?: { readonly names: readonly string[] } }
  }[]
}

const text = readFileSync(new URL('../contrib/grafana/postern-redis.json', import.meta.url), 'utf8')
const dashboard = JSON.parse(text) as {
  readonly panels: readonly Panel[]
  readonly __inputs: readonly { readonly name: string }[]
  readonly templating: { readonly list: readonly { readonly query: string }[] }
}
const DAY = ['$', '{__to:date:YYYY-MM-DD}'].join('')
const PREFIX = ['$', '{prefix}'].join('')

const { journal } = new Keys(PREFIX.replace(/[{}]/g, ''))
const plain = (key: string): string => key.replaceAll(PREFIX, '$prefix')

/** The keys that are read, by the command that may read each. */
const KEYS = new Map<string, readonly string[]>([
  [journal.events, ['xrevrange']],
  [journal.counters('day', DAY), ['hget', 'hgetall']],
  [journal.senders('day', DAY), ['PFCOUNT']],
  ...TOP_KINDS.map(kind => [journal.top(kind, 'day', DAY), ['zrange']] as const),
  [journal.nodes, ['zrange', 'ZRANGE']],
  [journal.node('$node'), ['hgetall']],
])

const EVENT: JournalEvent = {
  time: 0,
  node: 'mx1',
  front: 'policy',
  phase: 'RCPT',
  verdict: 'reject',
  reason: 'sender-not-permitted',
  rule: 'sender-permitted',
  latency: 1,
} as JournalEvent
const counters = [...siteCounters(EVENT), 'lost']

describe('contrib/grafana/postern-redis.json', () => {
  const targets = dashboard.panels.flatMap(panel => (panel.targets ?? []).map(target => ({ panel, target })))

  test('every panel reads a key that there is, by a command for its type', () => {
    expect(targets.length).toBeGreaterThan(8)
    const read = targets.map(({ target: { type, command = '', keyName = '', query } }) =>
      type === 'cli' ? (query.split(' ') as [string, string]) : ([command, keyName] as const),
    )
    const variables = dashboard.templating.list
      .map(({ query }) => query.split(' ') as [string, string])
      .filter(words => words.length > 1)
    const wrong = [...read, ...variables].filter(([command, key]) => !KEYS.get(plain(key))?.includes(command))
    expect(wrong).toEqual([])
    expect(new Set([...read, ...variables].map(([, key]) => plain(key)))).toEqual(new Set(KEYS.keys()))
  })

  test('every counter is one that is counted', () => {
    const fields = targets.flatMap(({ target: { field } }) => (field === undefined ? [] : [field]))
    expect(fields.filter(field => !counters.includes(field))).toEqual([])
    const patterns = targets
      .filter(({ target }) => target.command === 'hgetall' && target.keyName?.includes(':day:') === true)
      .map(({ panel }) => panel.options?.reduceOptions?.fields ?? '')
    for (const pattern of patterns) {
      const expression = new RegExp(pattern.replace(/^\/|\/$/g, ''))
      expect([pattern, counters.some(counter => expression.test(counter))]).toEqual([pattern, true])
    }
    expect(patterns.length).toBe(3)
  })

  test('every column is a field of events', () => {
    const columns = dashboard.panels
      .flatMap(({ transformations = [] }) => transformations)
      .flatMap(({ options }) => options.include?.names ?? [])
    expect(columns.length).toBeGreaterThan(5)
    expect(columns.filter(column => !EVENT_FIELDS.includes(column))).toEqual([])
  })

  test('the data source is asked for, and panels have numbers of their own', () => {
    expect(dashboard.__inputs.map(({ name }) => name)).toEqual(['DS_REDIS'])
    const uids = text.matchAll(/"type": "redis-datasource",\s+"uid": "([^"]*)"/g)
    expect([...new Set([...uids].map(([, uid]) => uid))]).toEqual([['$', '{DS_REDIS}'].join('')])
    const ids = dashboard.panels.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
  })
})
