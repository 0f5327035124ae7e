/** The figures as a collector reads them: in its format, with closed sets of labels, and as docs/metrics.md lists them. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  COPY_OUTCOMES,
  LATENCY_LIMITS,
  LOOKUP_RESULTS,
  METERED_FRONTS,
  Meters,
} from '../../src/app/meters.ts'
import { REASONS } from '../../src/core/reason.ts'
import { PHASES } from '../../src/core/transaction.ts'
import { VERDICT_KINDS } from '../../src/core/verdict.ts'
import { type Family, parseExposition, sampleValue } from './exposition.ts'
import { busyMeters, decided, metricsOf } from './figures.ts'

let families: ReadonlyMap<string, Family>
beforeAll(async () => {
  families = parseExposition(await metricsOf(busyMeters()).text())
})
const own = (): Family[] => [...families.values()].filter(({ name }) => name.startsWith('postern_'))

describe('closed sets', () => {
  const SETS: Readonly<Record<string, readonly string[]>> = {
    front: METERED_FRONTS,
    phase: PHASES,
    verdict: VERDICT_KINDS,
    reason: REASONS,
    delivery: ['', 'maildir', 'discard'],
    outcome: COPY_OUTCOMES,
    map: ['recipient', 'domain', 'unknown'],
    result: LOOKUP_RESULTS,
    version: ['1.2.3'],
    node: [process.versions.node],
    le: [...LATENCY_LIMITS.map(limit => String(limit / 1000)), '+Inf'],
  }

  test('of every label', () => {
    const strange = own()
      .flatMap(({ samples }) => samples)
      .flatMap(({ name, labels }) => Object.entries(labels).map(([label, value]) => ({ name, label, value })))
      .filter(({ label, value }) => SETS[label]?.includes(value) !== true)
    expect(strange).toEqual([])
  })

  test('and families with their counters by their names', () => {
    for (const { name, type } of own()) {
      expect(name).toMatch(/^postern_[a-z_]+$/)
      expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter'])
    }
  })
})

describe('values', () => {
  test.each<[string, Record<string, string>, number]>([
    ['postern_build_info', { version: '1.2.3', node: process.versions.node }, 1],
    ['postern_ready', {}, 0],
    ['postern_store_up', {}, 0],
    ['postern_store_errors_total', {}, 2],
    ['postern_store_outages_total', {}, 1],
    ['postern_connections', { front: 'web' }, 1],
    ['postern_connections_total', { front: 'milter' }, 2],
    ['postern_connections_refused_total', { front: 'socketmap' }, 3],
    ['postern_milter_messages_total', {}, 2],
    ['postern_milter_other_messages_total', {}, 3],
    ['postern_milter_recipients_refused_by_mta_total', {}, 4],
    ['postern_sink_messages_total', {}, 5],
    ['postern_sink_copies_total', { delivery: 'maildir', outcome: 'failed' }, 1],
    ['postern_sink_copies_total', { delivery: 'discard', outcome: 'failed' }, 0],
    ['postern_sink_copies_total', { delivery: '', outcome: 'refused' }, 0],
    ['postern_held_messages', {}, 2],
    ['postern_socketmap_lookups_total', { map: 'recipient', result: 'not-found' }, 1],
    ['postern_socketmap_lookups_total', { map: 'unknown', result: 'permanent' }, 0],
    ['postern_config_last_reload_successful', {}, 0],
    ['postern_config_last_reload_success_timestamp_seconds', {}, 1_700_000_000.5],
    ['postern_decision_duration_seconds_bucket', { front: 'policy', le: '0.002' }, 0],
    ['postern_decision_duration_seconds_bucket', { front: 'policy', le: '0.005' }, REASONS.length],
    ['postern_decision_duration_seconds_bucket', { front: 'lmtp', le: '0.001' }, 1],
    ['postern_decision_duration_seconds_bucket', { front: 'lmtp', le: '10' }, 1],
    ['postern_decision_duration_seconds_bucket', { front: 'lmtp', le: '+Inf' }, 2],
    ['postern_decision_duration_seconds_count', { front: 'lmtp' }, 2],
    ['postern_decision_duration_seconds_sum', { front: 'lmtp' }, 10.002],
    ['postern_decision_duration_seconds_count', { front: 'milter' }, 0],
  ])('%s %j is %d', (name, labels, value) => {
    expect(sampleValue(families, name, labels)).toBe(value)
  })

  test('our own failures are there before there are any', () => {
    const labels = { front: 'milter', phase: 'RCPT', verdict: 'defer', reason: 'store-unavailable' }
    expect(sampleValue(families, 'postern_decisions_total', labels)).toBe(0)
  })

  const brokenQueue = {
    waitingSince: (): AsyncIterable<string> => {
      throw new Error('EIO')
    },
  }

  test('held messages that cannot be counted are no number, and spoil nothing', async () => {
    const broken = metricsOf(new Meters(() => 0), brokenQueue)
    const seen = parseExposition(await broken.text())
    expect(sampleValue(seen, 'postern_held_messages')).toBeNaN()
    expect(sampleValue(seen, 'postern_sink_messages_total')).toBe(0)
  })

  test('they are those of the moment when they are asked for, and nothing is counted twice', async () => {
    const meters = new Meters(() => 0)
    const metrics = metricsOf(meters)
    const labels = { front: 'policy', phase: 'CONNECT', verdict: 'reject', reason: 'mta-refused' }
    const count = async (): Promise<number | undefined> =>
      sampleValue(parseExposition(await metrics.text()), 'postern_decisions_total', labels)
    expect(await count()).toBeUndefined()
    meters.decided(decided('policy', { kind: 'reject', reason: 'mta-refused' }, 0))
    expect(await count()).toBe(1)
    meters.decided(decided('policy', { kind: 'reject', reason: 'mta-refused' }, 0))
    expect(await Promise.all([count(), count()])).toEqual([2, 2])
  })
})

describe('docs/metrics.md', () => {
  const page = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8')
  const rows = page
    .split('\n')
    .filter(line => line.startsWith('| `'))
    .map(line => line.split(' | ').map(cell => cell.replace(/^\| | ?\|$/g, '')))

  /** A family as the page has it; what a histogram adds to the labels is not said. */
  const rowOf = ({ name, type, samples }: Family): readonly string[] => {
    const labels = new Set(samples.flatMap(sample => Object.keys(sample.labels)))
    const said = [...labels].filter(label => label !== 'le').map(label => `\`${label}\``)
    return [`\`${name}\``, type, said.join(', ') || 'none']
  }

  test('every metric of ours with its type and labels, and no other', () => {
    const ours = rows.filter(([name = '']) => name.startsWith('`postern_')).map(row => row.slice(0, 3))
    expect(ours.sort()).toEqual(own().map(rowOf).sort())
  })

  test('every metric of the process with its type, and no other', () => {
    const others = rows
      .filter(([name = '']) => /^`(?:process|nodejs)_/.test(name))
      .map(row => row.slice(0, 2))
    const theirs = [...families.values()].filter(({ name }) => !name.startsWith('postern_'))
    expect(others.sort()).toEqual(theirs.map(family => rowOf(family).slice(0, 2)).sort())
  })

  test('ours with the words that a collector is given', () => {
    const meanings = new Map(rows.map(([name = '', , , meaning = '']) => [name.replaceAll('`', ''), meaning]))
    for (const { name, help } of own()) expect([name, meanings.get(name)]).toEqual([name, help])
  })

  test('the values of each label', () => {
    const sets = [METERED_FRONTS, PHASES, VERDICT_KINDS, COPY_OUTCOMES, LOOKUP_RESULTS]
    for (const value of sets.flat()) expect(page).toContain(`\`${value}\``)
  })
})
