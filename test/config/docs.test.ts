/** docs/configuration.md against the schema: every key with its type, limits, choices and default. */
import { readFileSync } from 'node:fs'
import { parse } from 'smol-toml'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { configSchema } from '../../src/config/schema.ts'

interface Key {
  readonly type: string
  readonly default: unknown
  readonly choices: readonly string[]
}

interface JsonSchema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, JsonSchema>>
  /** The tables of a table whose names the operator chooses. */
  readonly additionalProperties?: JsonSchema | false
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly enum?: readonly string[]
  readonly anyOf?: readonly JsonSchema[]
  readonly const?: string
}

function typeOf({ type, minimum, maximum, anyOf, const: word }: JsonSchema): string {
  if (anyOf !== undefined) return anyOf.map(typeOf).join(', or ')
  if (word !== undefined) return JSON.stringify(word)
  if (type === 'array') return 'array of strings'
  return type === 'integer' ? `number, ${minimum} to ${maximum}` : String(type)
}

function keysOf(schema: JsonSchema, path: readonly string[] = []): [string, Key][] {
  const { properties = {}, additionalProperties } = schema
  const named = typeof additionalProperties === 'object' ? { NAME: additionalProperties } : {}
  return Object.entries({ ...properties, ...named }).flatMap(([name, inner]) => {
    const here = [...path, name]
    if (inner.type === 'object') return keysOf(inner, here)
    return [[here.join('.'), { type: typeOf(inner), default: inner.default, choices: inner.enum ?? [] }]]
  })
}

const schema = z.toJSONSchema(configSchema({ base: '/', hostname: 'x' }), { io: 'input' }) as JsonSchema
const keys = new Map(keysOf(schema))
const page = readFileSync(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
const rows = page
  .split('\n')
  .filter(line => line.startsWith('| `'))
  .map(line => line.split(' | ').map(cell => cell.replace(/^\| | ?\|$/g, '')))

describe('docs/configuration.md', () => {
  test('has every key, once, and no other', () => {
    expect(rows.map(([key = '']) => key.replaceAll('`', '')).sort()).toEqual([...keys.keys()].sort())
  })

  test.each(rows)('%s', (name = '', type = '', initial = '', meaning = '') => {
    const key = keys.get(name.replaceAll('`', ''))
    expect(type).toBe(key?.type)
    const literal = /^`(.*)`$/.exec(initial)?.[1]
    expect(literal === undefined ? undefined : parse(`v = ${literal}`)['v']).toEqual(key?.default)
    for (const choice of key?.choices ?? []) expect(meaning).toContain(`\`${choice}\``)
  })

  test('its example is a configuration', () => {
    const example = /```toml\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
    expect(configSchema({ base: '/', hostname: 'x' }).safeParse(parse(example)).success).toBe(true)
  })
})
