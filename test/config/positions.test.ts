import fc from 'fast-check'
import { parse, stringify } from 'smol-toml'
import { describe, expect, test } from 'vitest'
import {
  type EntrySpans,
  findEntries,
  type KeyPath,
  Positions,
  positionAt,
} from '../../src/config/positions.ts'

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
}

/** Every path of a parsed document: of keys, and of elements of arrays. */
function pathsOf(value: unknown, at: KeyPath = []): KeyPath[] {
  const inner = Array.isArray(value)
    ? value.map((each, index) => [index, each] as const)
    : isTable(value)
      ? Object.entries(value)
      : []
  return inner.flatMap(([part, each]) => [[...at, part], ...pathsOf(each, [...at, part])])
}

function valueAt(document: unknown, path: KeyPath): unknown {
  return path.reduce<unknown>((value, part) => (value as Record<string | number, unknown>)[part], document)
}

/** The document must be found whole: each path that the parser knows, each with the right text. */
function expectFound(text: string): void {
  const document: unknown = parse(text)
  const entries = findEntries(text)
  const byPath = new Map<string, EntrySpans[]>()
  for (const entry of entries) {
    const id = JSON.stringify(entry.path)
    byPath.set(id, [...(byPath.get(id) ?? []), entry])
  }
  expect(new Set(byPath.keys())).toEqual(new Set(pathsOf(document).map(path => JSON.stringify(path))))
  for (const { path, key, value } of entries) {
    const name = path[path.length - 1]
    if (key !== undefined && typeof name === 'string') {
      expect(parse(`${text.slice(key.start, key.end)} = 0`)).toEqual({ [name]: 0 })
    }
    if (value !== undefined) {
      expect(parse(`v = ${text.slice(value.start, value.end)}`)['v']).toEqual(valueAt(document, path))
    }
    expect(key ?? value).toBeDefined()
  }
}

const name = fc.oneof(
  fc.constantFrom('a', 'b', 'c', 'listen', 'x-y', '1', ''),
  fc.string({ maxLength: 5 }),
  fc.string({ unit: 'grapheme', maxLength: 5 }).filter(key => !/\p{Surrogate}/u.test(key)),
)
const text = fc.oneof(
  fc.string({ maxLength: 12 }),
  fc.constantFrom('"""', "'''", ']', '}', '#', ' = ', '\\', '\\"', 'a\nb', '[[x]]', '"'),
)
const scalar = fc.oneof(text, fc.boolean(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }))

/** A key that is quoted one way or another. */
const keyText = fc.tuple(name, fc.constantFrom('bare', 'basic', 'literal')).map(([key, style]) => {
  if (style === 'bare' && /^[A-Za-z0-9_-]+$/.test(key)) return key
  if (style === 'literal' && !/['\x00-\x1f\x7f]/.test(key)) return `'${key}'`
  return JSON.stringify(key).replaceAll('\x7f', '\\u007f')
})
const space = fc.constantFrom('', ' ', '\t', '  ')
const dottedKey = fc
  .array(fc.tuple(space, keyText, space), { minLength: 1, maxLength: 3 })
  .map(parts => parts.map(part => part.join('')).join('.'))
const gap = fc.constantFrom('', ' ', '\n', ' # ] } " \' \n', '\r\n')

const stringText = fc
  .tuple(text, fc.constantFrom('basic', 'literal', 'long', 'long-literal'))
  .map(([value, style]) => {
    const basic = JSON.stringify(value).replaceAll('\x7f', '\\u007f')
    if (style === 'literal' && !/['\x00-\x08\x0a-\x1f\x7f]/.test(value)) return `'${value}'`
    if (style === 'long-literal' && !/''|[\x00-\x08\x0b-\x1f\x7f]/.test(value)) return `'''\n${value}'''`
    if (style === 'long') return `""${basic.replaceAll('\\n', '\n')}""`
    return basic
  })

const { value: valueText } = fc.letrec<{ value: string; array: string; table: string }>(tie => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.oneof(
      stringText,
      fc.integer().map(String),
      fc.constantFrom('""""a"" # """""', "'''''a'' ]'''''", '"""\\""""', '""""""', "''''''"),
      fc.constantFrom(
        'true',
        '0x1F',
        '1_000',
        '+1e-3',
        'inf',
        '1979-05-27',
        '1979-05-27 07:32:00Z',
        '07:32:00.5',
      ),
    ),
    tie('array'),
    tie('table'),
  ),
  array: fc
    .tuple(fc.array(fc.tuple(gap, tie('value'), gap), { maxLength: 3 }), fc.boolean(), gap)
    .map(([items, comma, end]) => {
      const inner = items.map(parts => parts.join('')).join(',')
      return `[${inner}${comma && items.length > 0 ? ',' : ''}${end}]`
    }),
  table: fc
    .array(fc.tuple(gap, dottedKey, tie('value'), gap), { maxLength: 3 })
    .map(
      items =>
        `{${items.map(([before, key, value, after]) => `${before}${key}= ${value}${after}`).join(',')}}`,
    ),
}))

const line = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .tuple(space, dottedKey, valueText)
      .map(([indent, key, value]) => `${indent}${key}=${value}`),
  },
  { weight: 2, arbitrary: dottedKey.map(key => `[${key}]`) },
  { weight: 2, arbitrary: dottedKey.map(key => ` [[${key}]] # [x]`) },
  { weight: 1, arbitrary: fc.constantFrom('', '# a = 1', '\t') },
)

function isToml(document: string): boolean {
  try {
    parse(document)
    return true
  } catch {
    return false
  }
}

describe('every key that the parser knows is found where it stands', () => {
  test('in documents that the parser writes', () => {
    const { tree } = fc.letrec(tie => ({
      tree: fc.dictionary(
        name.filter(key => key !== '__proto__'),
        fc.oneof(
          { maxDepth: 3 },
          scalar,
          fc.array(scalar, { maxLength: 3 }),
          tie('tree'),
          fc.array(tie('tree')),
        ),
        { maxKeys: 4 },
      ),
    }))
    fc.assert(
      fc.property(tree, document => {
        const written = stringify(document)
        fc.pre(isToml(written))
        expectFound(written)
      }),
      { numRuns: 300 },
    )
  })

  test('in documents in every notation', () => {
    let valid = 0
    fc.assert(
      fc.property(fc.array(line, { maxLength: 6 }), fc.constantFrom('\n', '\r\n'), (lines, end) => {
        const document = lines.join(end)
        if (!isToml(document)) return
        valid++
        expectFound(document)
      }),
      { numRuns: 3000 },
    )
    expect(valid).toBeGreaterThan(500)
  })

  test('and any text at all is survived', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.array(line).map(lines => lines.join(' ')),
        ),
        document => {
          expect(Array.isArray(findEntries(document))).toBe(true)
        },
      ),
    )
  })
})

const SAMPLE = `# a comment
title = "x"
[policy] # [not.this]
listen = [
  "127.0.0.1:1",   # "a", ]
  'unix:/run/"p"', ]
limits = { size = 1, "odd key".deep = [ { a = 1 } ] }

[[hosts]]
name = """one
name = 2"""
[hosts.inner]
x.y = 1979-05-27 07:32:00Z
[[hosts]]
"na\\u006de" = '''two'''
  [hosts.inner.more]
  z = 1
`

describe('places', () => {
  test.each<[string, KeyPath, string, string]>([
    ['a key', ['title'], '2:1', '2:9'],
    ['a table that has a header only', ['policy'], '3:2', '3:2'],
    ['an element of an array', ['policy', 'listen', 1], '6:3', '6:3'],
    ['a key of an inline table', ['policy', 'limits', 'size'], '7:12', '7:19'],
    ['a quoted and dotted key', ['policy', 'limits', 'odd key', 'deep'], '7:32', '7:39'],
    ['a key in a table in an array', ['policy', 'limits', 'odd key', 'deep', 0, 'a'], '7:43', '7:47'],
    ['a key before a value of many lines', ['hosts', 0, 'name'], '10:1', '10:8'],
    ['a dotted key below a table of an array', ['hosts', 0, 'inner', 'x', 'y'], '13:3', '13:7'],
    ['a key in escapes', ['hosts', 1, 'name'], '15:1', '15:15'],
    ['a table below the second of an array', ['hosts', 1, 'inner', 'more', 'z'], '17:3', '17:7'],
    ['what is not written: its nearest table', ['policy', 'nothing', 'here'], '3:2', '3:2'],
  ])('%s', (_, path, key, value) => {
    const positions = new Positions(SAMPLE)
    const shown = (place = { line: 0, column: 0 }): string => `${place.line}:${place.column}`
    expect([shown(positions.ofKey(path)), shown(positions.ofValue(path))]).toEqual([key, value])
  })

  test('lines and columns count from 1', () => {
    expect(positionAt('ab\r\ncd', 0)).toEqual({ line: 1, column: 1 })
    expect(positionAt('ab\r\ncd', 5)).toEqual({ line: 2, column: 2 })
  })

  test('a document of a million characters takes no time', () => {
    const long = `a = """${'x\\"\n'.repeat(250_000)}"""\nb = '${'y'.repeat(500_000)}'\nc = 1`
    expect(new Positions(long).ofValue(['c'])).toEqual({ line: 250_003, column: 5 })
  })
})
