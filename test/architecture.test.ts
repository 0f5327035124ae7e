/** The doors of the house (docs/architecture.md): who may import whom, read from the import lines themselves. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const SRC = fileURLToPath(new URL('../src', import.meta.url))
const FRONTS = ['policy', 'milter', 'lmtp', 'socketmap', 'web', 'trial']

interface Import {
  readonly file: string
  readonly room: string
  /** The room that is imported, `npm:NAME`, or `node:NAME`. */
  readonly target: string
  /** The imported file inside `src`, where it is one of ours. */
  readonly path: string | undefined
  readonly typeOnly: boolean
}

function roomOf(path: string): string {
  return path.split('/')[0] ?? ''
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), 'utf8')
  const pattern = /(?:^|\n)(?:import|export)(\s+type)?\s[^'"]*?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)/g
  return [...text.matchAll(pattern)].map(match => {
    const specifier = match[2] ?? match[3] ?? ''
    const base = { file, room: roomOf(file), typeOnly: match[1] !== undefined }
    if (specifier.startsWith('.')) {
      const path = relative(SRC, join(SRC, dirname(file), specifier))
      return { ...base, target: roomOf(path), path }
    }
    const target = specifier.startsWith('node:') ? specifier : `npm:${specifier}`
    return { ...base, target, path: undefined }
  })
}

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter(name => name.endsWith('.ts'))
const imports = files.flatMap(importsOf)

/** The imports that break a rule, one line each. */
function broken(rule: (line: Import) => boolean): string[] {
  return imports.filter(rule).map(line => `${line.file} imports ${line.path ?? line.target}`)
}

const isPackage = (line: Import): boolean => line.target.includes(':')

describe('doors', () => {
  test('there is something to check', () => {
    expect(imports.length).toBeGreaterThan(50)
  })

  test('core imports nothing outside core, but for the patterns’ engine', () => {
    const isEngine = (line: Import): boolean => line.file === 'core/pattern.ts' && line.target === 'npm:re2js'
    expect(broken(line => line.room === 'core' && line.target !== 'core' && !isEngine(line))).toEqual([])
  })

  test('app imports core and app, and of Node no sockets or files', () => {
    const allowed = ['core', 'app']
    const isAllowed = (line: Import): boolean =>
      allowed.includes(line.target) ||
      (isPackage(line) && (line.typeOnly || !/^node:(net|fs|tls|http)/.test(line.target)))
    expect(broken(line => line.room === 'app' && !isAllowed(line))).toEqual([])
  })

  test.each(FRONTS)('%s imports neither the store nor another front', front => {
    const allowed = ['core', 'app', front]
    expect(broken(line => line.room === front && !isPackage(line) && !allowed.includes(line.target))).toEqual(
      [],
    )
  })

  test.each(['store', 'delivery'])('%s implements ports: it imports core, app and itself', room => {
    const allowed = ['core', 'app', room]
    expect(broken(line => line.room === room && !isPackage(line) && !allowed.includes(line.target))).toEqual(
      [],
    )
  })

  test('config imports parsers only', () => {
    const allowed = ['core', 'app', 'config']
    expect(
      broken(line => line.room === 'config' && !isPackage(line) && !allowed.includes(line.target)),
    ).toEqual([])
  })

  test('commands get what they need: only the entry point imports the daemon', () => {
    const allowed = ['core', 'app', 'cli', 'config']
    const wrong = (line: Import): boolean =>
      line.room === 'cli' && line.file !== 'cli/main.ts' && !isPackage(line) && !allowed.includes(line.target)
    expect(broken(wrong)).toEqual([])
  })

  test('adapters are made in one place', () => {
    const adapters = ['store', 'delivery', ...FRONTS]
    const wrong = (line: Import): boolean =>
      adapters.includes(line.target) &&
      line.room !== line.target &&
      !line.typeOnly &&
      line.file !== 'daemon/compose.ts'
    expect(broken(wrong)).toEqual([])
  })

  test('codecs and sessions touch no socket, file or clock', () => {
    const pure = /(?:codec|session|wire|negotiate)\.ts$/
    expect(
      broken(line => pure.test(line.file) && /^node:(net|fs|tls|http|timers)/.test(line.target)),
    ).toEqual([])
  })

  test('only server files open sockets, and deliveries that hand mail on', () => {
    const mayOpen = /^(?:daemon|delivery|store|trial|cli)\/|\/server\.ts$/
    expect(broken(line => line.target === 'node:net' && !line.typeOnly && !mayOpen.test(line.file))).toEqual(
      [],
    )
  })

  test('no cycles', () => {
    const edges = new Map<string, string[]>()
    for (const { file, path } of imports)
      if (path !== undefined) edges.set(file, [...(edges.get(file) ?? []), path])
    const done = new Set<string>()
    const cycles: string[] = []
    const visit = (file: string, way: readonly string[]): void => {
      if (way.includes(file)) cycles.push([...way.slice(way.indexOf(file)), file].join(' → '))
      else if (!done.has(file)) {
        for (const next of edges.get(file) ?? []) visit(next, [...way, file])
        done.add(file)
      }
    }
    for (const file of files) visit(file, [])
    expect(cycles).toEqual([])
  })
})

describe('files', () => {
  test.each(files)('%s has a head comment and one idea', file => {
    const text = readFileSync(join(SRC, file), 'utf8')
    expect(text.replace(/^#!.*\n/, '')).toMatch(/^\/\*\*/)
    expect(text.split('\n').length).toBeLessThanOrEqual(350)
  })

  test('names say what they hold', () => {
    const vague = /(?:^|[/-])(?:utils?|helpers?|manager|common|misc|shared|lib|index)(?:[.-]|$)/
    expect(files.filter(file => vague.test(file) && file !== 'core/rules/index.ts')).toEqual([])
  })
})
