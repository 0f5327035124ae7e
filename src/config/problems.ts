/**
 * Problems of a configuration, as one line each that an operator can act on:
 * `postern.toml:12:9: policy.listen[0]: what is wrong`. Never repeats a value: it may be a secret.
 */
import { z } from 'zod'
import type { KeyPath, Position, Positions } from './positions.ts'

/** Something wrong with a configuration, or worth a warning. */
export interface ConfigProblem {
  /** The file as the operator calls it, or the environment variable. */
  readonly source: string
  readonly position: Position | undefined
  /** The key's path, such as `policy.listen[0]`; empty for the file as a whole. */
  readonly key: string
  /** One sentence without a full stop. */
  readonly message: string
}

/** The problem as one line: `file:line:column: key.path: what is wrong`. */
export function formatProblem({ source, position, key, message }: ConfigProblem): string {
  const place = position === undefined ? source : `${source}:${position.line}:${position.column}`
  return key === '' ? `${place}: ${message}` : `${place}: ${key}: ${message}`
}

/** A key's path as it is written in TOML, with `[n]` for the elements of arrays. */
export function formatKey(path: KeyPath): string {
  return path.reduce<string>((before, part) => {
    if (typeof part === 'number') return `${before}[${part}]`
    const name = /^[A-Za-z0-9_-]+$/.test(part) ? part : JSON.stringify(part)
    return before === '' ? name : `${before}.${name}`
  }, '')
}

const KINDS: Record<string, string> = {
  string: 'a string',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'a table',
}

function kindOf(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (value instanceof Date) return 'a date'
  if (typeof value === 'boolean') return `${value}`
  if (typeof value === 'number') return Number.isInteger(value) ? 'a whole number' : 'a fraction'
  return KINDS[typeof value] ?? 'something else'
}

/** Says what is wrong with a value, for each way in which the schema can say no. */
export function sentenceFor(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `expected ${KINDS[issue.expected] ?? issue.expected}, not ${kindOf(issue.input)}`
    case 'invalid_value':
      return `expected ${oneOf(issue.values.map(value => JSON.stringify(value)))}`
    case 'too_small':
      if (issue.origin === 'string') return 'must not be empty'
      return `must be at least ${issue.minimum}`
    case 'too_big':
      if (issue.origin === 'string') return `must have at most ${issue.maximum} characters`
      if (issue.origin === 'array') return `must have at most ${issue.maximum} elements`
      return `must be at most ${issue.maximum}`
    default:
      return undefined
  }
}

function oneOf(choices: readonly string[]): string {
  const last = choices[choices.length - 1] ?? ''
  return choices.length < 2 ? last : `${choices.slice(0, -1).join(', ')} or ${last}`
}

/** The schemas of a table's keys, by name; nothing if the path does not lead to a table. */
function keysAt(schema: z.core.$ZodType, path: KeyPath): Readonly<Record<string, z.core.$ZodType>> {
  let inner: z.core.$ZodType = schema
  while (inner instanceof z.ZodOptional || inner instanceof z.ZodPrefault || inner instanceof z.ZodPipe) {
    inner = inner instanceof z.ZodPipe ? inner.out : inner.unwrap()
  }
  if (inner instanceof z.ZodRecord) return path.length === 0 ? {} : keysAt(inner.valueType, path.slice(1))
  if (!(inner instanceof z.ZodObject)) return {}
  const shape: Readonly<Record<string, z.core.$ZodType>> = inner.shape
  const [first, ...rest] = path
  if (first === undefined) return shape
  const next = shape[first]
  return next === undefined ? {} : keysAt(next, rest)
}

/** Edits (insertions, deletions, replacements, swaps of neighbours) from one word to the other. */
function distance(from: string, to: string): number {
  let before: number[] = []
  let row = Array.from({ length: to.length + 1 }, (_, j) => j)
  for (let i = 1; i <= from.length; i++) {
    const next = [i]
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1]
      const swapped = i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]
      const edits = [(row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (same ? 0 : 1)]
      if (swapped) edits.push((before[j - 2] ?? 0) + 1)
      next.push(Math.min(...edits))
    }
    before = row
    row = next
  }
  return row[to.length] ?? 0
}

/** The known word that was most likely meant, if one is near enough. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  if (word.length > 50) return undefined
  const plain = (text: string): string => text.toLowerCase().replaceAll('-', '_')
  const ranked = known
    .map(candidate => ({ candidate, edits: distance(plain(word), plain(candidate)) }))
    .sort((a, b) => a.edits - b.edits)
  const best = ranked[0]
  return best !== undefined && best.edits <= Math.max(1, Math.floor(word.length / 3))
    ? best.candidate
    : undefined
}

/** Every table that has a key of this name. */
function tablesWith(schema: z.core.$ZodType, name: string, at: KeyPath = []): readonly KeyPath[] {
  return Object.entries(keysAt(schema, at)).flatMap(([key]) => {
    const path = [...at, key]
    return Object.hasOwn(keysAt(schema, path), name)
      ? [path, ...tablesWith(schema, name, path)]
      : tablesWith(schema, name, path)
  })
}

function unknownKey(schema: z.core.$ZodType, path: KeyPath, name: string): string {
  const known = Object.keys(keysAt(schema, path))
  const meant = nearest(name, known)
  if (meant !== undefined) return `unknown key; did you mean ${meant}?`
  const homes = tablesWith(schema, name)
  if (homes.length > 0)
    return `unknown key here; it belongs in ${oneOf(homes.map(home => `[${formatKey(home)}]`))}`
  return `unknown key; known here: ${[...known].sort().join(', ')}`
}

/** The problems that the schema found, each with its place, in the order of the text. */
export function schemaProblems(
  source: string,
  schema: z.core.$ZodType,
  issues: readonly z.core.$ZodIssue[],
  positions: Positions,
): readonly ConfigProblem[] {
  const problems = issues.flatMap((issue): ConfigProblem[] => {
    const path = issue.path.map(part => (typeof part === 'number' ? part : String(part)))
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map(name => ({
        source,
        position: positions.ofKey([...path, name]),
        key: formatKey([...path, name]),
        message: unknownKey(schema, path, name),
      }))
    }
    return [{ source, position: positions.ofValue(path), key: formatKey(path), message: issue.message }]
  })
  return problems.sort(byPosition)
}

function byPosition(a: ConfigProblem, b: ConfigProblem): number {
  const [first, second] = [a.position, b.position]
  if (first === undefined || second === undefined) return 0
  return first.line - second.line || first.column - second.column
}
