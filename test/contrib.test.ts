/** What is offered for Prometheus and Grafana against the figures that there are: a name that nobody counts shows nothing. */
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { configSchema } from '../src/config/schema.ts'
import { type Family, parseExposition } from './web/exposition.ts'
import { busyMeters, metricsOf } from './web/figures.ts'

const read = (path: string): string => readFileSync(new URL(`../contrib/${path}`, import.meta.url), 'utf8')

let families: ReadonlyMap<string, Family>
beforeAll(async () => {
  families = parseExposition(await metricsOf(busyMeters()).text())
})

/** Labels that the collector adds. */
const COLLECTORS = ['job', 'instance', 'le']
/** Series that it makes itself. */
const ITS_OWN = ['up']

/** What an expression of Prometheus names: each metric with the labels that it is told apart by. */
function selectorsIn(expression: string): { name: string; labels: Record<string, string> }[] {
  const found = expression.matchAll(/\b((?:postern|process|nodejs)_[a-z0-9_]+|up)\b(?:\{([^}]*)\})?/g)
  return [...found].map(([, name = '', inside = '']) => ({
    name,
    labels: Object.fromEntries(
      [...inside.matchAll(/([a-z_]+)(?:=~|!=|!~|=)"([^"]*)"/g)].map(([, label, value]) => [label, value]),
    ),
  }))
}

/** What is wrong with an expression, a line each. */
function problemsOf(expression: string): string[] {
  const names = selectorsIn(expression)
  if (names.length === 0) return [`names nothing: ${expression}`]
  return names.flatMap(({ name, labels }) => {
    if (ITS_OWN.includes(name)) return []
    const family = families.get(name.replace(/_(?:bucket|sum|count)$/, '')) ?? families.get(name)
    if (family === undefined) return [`no metric ${name}`]
    const samples = family.samples.filter(sample => sample.name === name)
    const own = Object.entries(labels).filter(([label]) => !COLLECTORS.includes(label))
    return own.flatMap(([label, wanted]) => {
      const values = new Set(samples.map(sample => sample.labels[label]))
      const missing = wanted.split('|').filter(value => !values.has(value) && !KNOWN[label]?.includes(value))
      return missing.map(value => `${name} has no ${label}="${value}"`)
    })
  })
}

/** Values that no figure of the test has, and that there are. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  verdict: ['accept', 'reject', 'defer'],
  phase: ['RCPT', 'END-OF-MESSAGE'],
}

/** The labels that an expression groups by, or a legend shows. */
function problemsOfLabels(labels: readonly string[], expression: string): string[] {
  const known = new Set(COLLECTORS)
  for (const { name } of selectorsIn(expression)) {
    const family = families.get(name.replace(/_(?:bucket|sum|count)$/, '')) ?? families.get(name)
    for (const { labels: own } of family?.samples ?? [])
      for (const label of Object.keys(own)) known.add(label)
  }
  return labels.filter(label => !known.has(label)).map(label => `no label ${label} in ${expression}`)
}

function groupedBy(expression: string): string[] {
  return [...expression.matchAll(/by \(([^)]*)\)/g)].flatMap(([, inside = '']) => inside.split(/,\s*/))
}

/**
 * Lines of the little of YAML that the files are written in: lists and maps of plain one-line values. A plain value has
 * no `: ` and no ` #` in it, and does not begin with a sign that means something.
 */
function yamlLines(text: string): { key: string; value: string }[] {
  return text.split('\n').flatMap(line => {
    if (/^\s*(?:#.*)?$/.test(line)) return []
    const match = /^(?: {2})*(?:- )?(?:([A-Za-z_]+):(?: (.+))?|([\w.-]+))$/.exec(line)
    if (match === null) throw new Error(`not the YAML that is expected: ${line}`)
    const [, key = '', value = ''] = match
    const isList = /^\["[^"\\]*"(?:, "[^"\\]*")*\]$/.test(value)
    if (!isList && (/: | #/.test(value) || /^[-?:,[\]{}#&*!|>'"%@`]/.test(value))) {
      throw new Error(`not a plain value: ${line}`)
    }
    return key === '' ? [] : [{ key, value }]
  })
}

describe('contrib/prometheus', () => {
  const rules = yamlLines(read('prometheus/postern-alerts.yml'))
  const of = (key: string): string[] => rules.filter(line => line.key === key).map(({ value }) => value)

  test('each alert has an expression, a severity and words', () => {
    expect(of('alert').length).toBeGreaterThan(5)
    for (const key of ['expr', 'severity', 'summary', 'description']) {
      expect([key, of(key).length]).toEqual([key, of('alert').length])
    }
    expect(new Set(of('alert')).size).toBe(of('alert').length)
  })

  test('the alerts go by figures that there are', () => {
    expect(of('expr').flatMap(problemsOf)).toEqual([])
    expect(of('expr').flatMap(expression => problemsOfLabels(groupedBy(expression), expression))).toEqual([])
  })

  test('figures are collected where they are by default, and the rules are found', () => {
    const lines = yamlLines(read('prometheus/prometheus.yml'))
    const { listen } = configSchema({ base: '/', hostname: 'x' }).parse({}).web
    const [endpoint] = listen
    const target = endpoint?.kind === 'tcp' ? `["${endpoint.host}:${endpoint.port}"]` : ''
    expect(lines).toContainEqual({ key: 'targets', value: target })
    expect(read('prometheus/prometheus.yml')).toContain('  - postern-alerts.yml\n')
  })
})

interface Panel {
  readonly id: number
  readonly title: string
  readonly type: string
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number }
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[]
}

describe('contrib/grafana', () => {
  const dashboard = JSON.parse(read('grafana/postern-prometheus.json')) as {
    readonly panels: readonly Panel[]
    readonly templating: { readonly list: readonly { readonly definition: string }[] }
    readonly __inputs: readonly { readonly name: string }[]
  }
  const targets = dashboard.panels.flatMap(panel => panel.targets ?? [])

  test('every panel shows figures that there are', () => {
    expect(targets.length).toBeGreaterThan(20)
    expect(targets.flatMap(({ expr }) => problemsOf(expr))).toEqual([])
    expect(targets.flatMap(({ expr }) => problemsOfLabels(groupedBy(expr), expr))).toEqual([])
    const shown = targets.flatMap(({ expr, legendFormat }) =>
      problemsOfLabels(
        [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label = '']) => label),
        expr,
      ),
    )
    expect(shown).toEqual([])
    expect(dashboard.templating.list.flatMap(({ definition }) => problemsOf(definition))).toEqual([])
  })

  test('and every figure of ours is on some panel', () => {
    const shown = new Set(
      targets.flatMap(({ expr }) => selectorsIn(expr)).map(({ name }) => name.replace(/_bucket$/, '')),
    )
    const ours = [...families.keys()].filter(name => name.startsWith('postern_'))
    expect(ours.filter(name => !shown.has(name))).toEqual([
      'postern_config_last_reload_success_timestamp_seconds',
    ])
  })

  test('panels have numbers and places of their own, and the data source is asked for', () => {
    const ids = dashboard.panels.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    const taken = new Set<string>()
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w).toBeLessThanOrEqual(24)
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect([title, taken.has(`${x} ${y}`)]).toEqual([title, false])
          taken.add(`${x} ${y}`)
        }
      }
    }
    expect(dashboard.__inputs.map(({ name }) => name)).toEqual(['DS_PROMETHEUS'])
    const uids = read('grafana/postern-prometheus.json').matchAll(/"type": "prometheus",\s+"uid": "([^"]*)"/g)
    expect([...new Set([...uids].map(([, uid]) => uid))]).toEqual([['$', '{DS_PROMETHEUS}'].join('')])
  })
})
