/** docs/cli.md, docs/import-format.md and the program itself name the same things, and every example works. */
import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { beforeEach, describe, expect, test } from 'vitest'
import { Output } from '../../src/cli/output.ts'
import { makeProgram } from '../../src/cli/program.ts'
import { Session } from '../../src/cli/session.ts'
import type { World } from '../../src/cli/world.ts'
import { PRESET_NAMES } from '../../src/core/list.ts'
import { Console, KeptStream } from './console.ts'
import { words } from './words.ts'

function doc(name: string): string {
  return readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8')
}

const world = {
  stdout: new Output(new KeptStream()),
  stderr: new Output(new KeptStream()),
  version: '0.0.0',
} as World

interface Leaf {
  /** Without `postern`: `list add`. */
  readonly name: string
  readonly command: Command
}

function leavesOf(command: Command, path: readonly string[] = []): readonly Leaf[] {
  if (command.commands.length === 0) return [{ name: path.join(' '), command }]
  return command.commands.flatMap(child => leavesOf(child, [...path, child.name()]))
}

const program = makeProgram(new Session(world))
const leaves = leavesOf(program)

/** The sections of docs/cli.md by heading. */
const sections = new Map(
  doc('cli.md')
    .split(/^#{2,3} /m)
    .slice(1)
    .map(text => [text.slice(0, text.indexOf('\n')), text] as const),
)

function optionsInDoc(section: string): readonly string[] {
  return [...section.matchAll(/^\| `(-[^`]+)` \|/gm)].map(([, flags]) => flags ?? '')
}

describe('docs/cli.md', () => {
  test('there is something to check', () => {
    expect(leaves.length).toBeGreaterThan(20)
  })

  test.each(leaves)('$name has a section with an example', ({ name }) => {
    expect(sections.get(name)).toMatch(new RegExp(`^postern ${name}\\b`, 'm'))
  })

  test.each(leaves)('$name has the options that the doc says', ({ name, command }) => {
    const real = command.options.map(option => option.flags)
    expect(optionsInDoc(sections.get(name) ?? '')).toEqual(real)
  })

  test('the options of every command', () => {
    const table = doc('cli.md').slice(0, doc('cli.md').indexOf('\n## '))
    const help = program.createHelp().visibleOptions(program)
    expect(new Set(optionsInDoc(table))).toEqual(new Set(help.map(option => option.flags)))
  })

  test('no section is about a command that there is not', () => {
    const names = new Set(leaves.flatMap(({ name }) => [name, name.split(' ')[0] ?? '']))
    const others = [...sections.keys()].filter(heading => !names.has(heading))
    expect(others).toEqual(['Words for people, domains and MTAs', 'Exit statuses'])
  })

  test('every preset is named', () => {
    for (const preset of PRESET_NAMES) expect(sections.get('list add')).toContain(`\`${preset}\``)
  })
})

describe('--help', () => {
  test.each(leaves)('$name: usage, options and examples', async ({ name, command }) => {
    const { status, stdout, stderr } = await new Console().run([...name.split(' '), '--help'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    expect(stdout).toContain(`Usage: postern ${name}`)
    expect(stdout).toContain('\nExamples:\n')
    for (const option of command.options) expect(stdout).toContain(`  ${option.flags}`)
    for (const argument of command.registeredArguments) expect(argument.description).not.toBe('')
  })

  test.each(leaves)('$name: no line of prose is too long for a terminal', async ({ name }) => {
    const { stdout } = await new Console().run([...name.split(' '), '--help'])
    const long = stdout.split('\n').filter(line => line.length > 80 && !/^ {2}(?:\$|#)|^ {6}/.test(line))
    expect(long).toEqual([])
  })
})

/** The command lines of a text, each up to what a shell makes of the rest of it. */
function examplesIn(text: string): readonly string[] {
  return [...text.matchAll(/^ *(?:\$ )?postern (.*)$/gm)].map(
    ([, line]) => (line ?? '').split(/ (?:[|&<>]|&&)(?: |$)/)[0] ?? '',
  )
}

describe('examples', () => {
  let console: Console

  beforeEach(async () => {
    console = new Console()
    await console.must('domain', 'add', 'lists.example.org')
    await console.must('list', 'add', 'team@lists.example.org')
    await console.must('member', 'add', 'team@lists.example.org', 'alice@example.net')
  })

  /** Whether the command line was understood; what it comes to depends on what is there. */
  async function understood(line: string): Promise<void> {
    const input = line.startsWith('import') ? '{"postern": 1}' : 'zoe@example.net\n'
    // What goes on until it is interrupted is interrupted.
    const { store } = console
    const endless = / -f\b/.test(line)
    const asked = endless ? new Console({ store, signal: AbortSignal.abort() }) : console
    const { status, stderr } = await asked.run(words(line), input)
    expect([0, 1, 66, 75], `${line}: ${status}\n${stderr}`).toContain(status)
  }

  test('of docs/cli.md', async () => {
    const blocks = [...doc('cli.md').matchAll(/^```\n(postern [^:][\s\S]*?)^```/gm)].map(
      ([, block]) => block ?? '',
    )
    const lines = blocks.flatMap(examplesIn)
    expect(lines.length).toBeGreaterThan(40)
    for (const line of lines) await understood(line)
  })

  test.each(leaves)('of postern $name --help', async ({ name }) => {
    const { stdout } = await console.run([...name.split(' '), '--help'])
    const lines = examplesIn(stdout.slice(stdout.indexOf('\nExamples:\n')))
    expect(lines.length).toBeGreaterThan(0)
    for (const line of lines) await understood(line)
  })

  test('the first steps of postern --help, in their order', async () => {
    const { stdout } = await new Console().run(['--help'])
    const fresh = new Console()
    const lines = examplesIn(stdout.slice(stdout.indexOf('First steps:')))
    expect(lines.length).toBe(5)
    for (const line of lines) expect(await fresh.run(words(line))).toMatchObject({ status: 0 })
  })

  test('of docs/import-format.md', async () => {
    const document = /^```json\n([\s\S]*?)^```/m.exec(doc('import-format.md'))?.[1] ?? ''
    const fresh = new Console()
    expect(await fresh.run(['import', '-'], document)).toMatchObject({ status: 0, stderr: '' })
    const example = JSON.parse(document) as Record<string, unknown>
    expect(JSON.parse(await fresh.must('export'))).toMatchObject({
      bans: example['bans'],
      forbidden: example['forbidden'],
      domains: example['domains'],
    })
    expect(
      await fresh.must(
        'ask',
        '--client',
        '192.0.2.9',
        '--sender',
        'x@example.com',
        '--list',
        'team@lists.example.org',
      ),
    ).toContain('accept')
  })

  test('docs/import-format.md has a row for every key', () => {
    const rows = [...doc('import-format.md').matchAll(/^\| `([^`]+)`/gm)].map(([, key]) => key)
    expect(rows).toEqual([
      'postern',
      'domains',
      'domains[].domain',
      'domains[].flavour',
      'domains[].delivery',
      'lists',
      'lists[].address',
      'lists[].settings',
      'lists[].bans',
      'lists[].people',
      'lists[].people[].who',
      'lists[].people[].roles',
      'lists[].people[].action',
      'lists[].people[].linked',
      'lists[].people[].seen',
      'bans',
      'forbidden',
      'mtas.known',
      'mtas.refused',
    ])
  })
})
