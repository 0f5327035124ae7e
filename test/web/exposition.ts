/**
 * Reads Prometheus's text format 0.0.4 as strictly as a collector does: every sample belongs to the family above it, has
 * its labels quoted, and comes once.
 */

export interface Sample {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

export interface Family {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly samples: readonly Sample[]
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*$/
const SUFFIXES: Readonly<Record<string, readonly string[]>> = {
  counter: [''],
  gauge: [''],
  histogram: ['_bucket', '_sum', '_count'],
  summary: ['', '_sum', '_count'],
}
const VALUE = /^(?:[+-]?Inf|NaN|[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)$/

function labelsOf(text: string): Record<string, string> {
  const labels: Record<string, string> = {}
  let rest = text
  while (rest !== '') {
    const match = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/.exec(rest)
    if (match === null) throw new Error(`no label: ${rest}`)
    const [all, name = '', value = ''] = match
    if (name in labels) throw new Error(`twice: ${name}`)
    labels[name] = value.replace(/\\(.)/g, (_, sign: string) => (sign === 'n' ? '\n' : sign))
    rest = rest.slice(all.length)
  }
  return labels
}

function sampleOf(line: string): Sample {
  const match = /^([^\s{]+)(?:\{(.*)\})? (\S+)$/.exec(line)
  if (match === null) throw new Error(`no sample: ${line}`)
  const [, name = '', labels = '', value = ''] = match
  if (!VALUE.test(value)) throw new Error(`no value: ${line}`)
  return { name, labels: labelsOf(labels), value: Number(value.replace('Inf', 'Infinity')) }
}

/** @throws Error at the first line that a collector would not take */
export function parseExposition(text: string): ReadonlyMap<string, Family> {
  if (!text.endsWith('\n')) throw new Error('the last line has no end')
  const families = new Map<string, Family & { samples: Sample[] }>()
  let help: { readonly name: string; readonly text: string } | undefined
  let family: (Family & { samples: Sample[] }) | undefined
  const seen = new Set<string>()
  for (const line of text.split('\n')) {
    if (line === '') continue
    const [, kind, name = '', rest = ''] = /^# (HELP|TYPE) (\S+) (.*)$/.exec(line) ?? []
    if (kind === 'HELP') {
      if (!NAME.test(name)) throw new Error(`no name: ${name}`)
      help = { name, text: rest }
    } else if (kind === 'TYPE') {
      if (families.has(name)) throw new Error(`a second family ${name}`)
      if (help?.name !== name) throw new Error(`no HELP before the TYPE of ${name}`)
      if (SUFFIXES[rest] === undefined) throw new Error(`no type: ${rest}`)
      family = { name, type: rest, help: help.text, samples: [] }
      families.set(name, family)
    } else {
      const sample = sampleOf(line)
      if (family === undefined) throw new Error(`a sample before all families: ${line}`)
      const { name: base, type } = family
      const names = (SUFFIXES[type] ?? []).map(suffix => `${base}${suffix}`)
      if (!names.includes(sample.name)) throw new Error(`${sample.name} stands under ${base}`)
      const identity = JSON.stringify([sample.name, Object.entries(sample.labels).sort()])
      if (seen.has(identity)) throw new Error(`twice: ${line}`)
      seen.add(identity)
      family.samples.push(sample)
    }
  }
  return families
}

/** The value of a sample; `undefined` if there is none of these labels. */
export function sampleValue(
  families: ReadonlyMap<string, Family>,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number | undefined {
  const wanted = JSON.stringify(Object.entries(labels).sort())
  for (const { samples } of families.values()) {
    for (const sample of samples) {
      if (sample.name !== name) continue
      if (JSON.stringify(Object.entries(sample.labels).sort()) === wanted) return sample.value
    }
  }
  return undefined
}
