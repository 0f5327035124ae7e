/**
 * Golden transcripts of the command line (`test/transcripts/cli/*.txt`): `$` is what was typed, `<` its standard input,
 * `>` its standard output, `!` its standard error, `=` its exit status. `vitest -u` writes them anew.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, test } from 'vitest'
import { Console, type Finished } from './console.ts'
import { heldConsole, removeHeld } from './held-console.ts'
import { words } from './words.ts'

const FOLDER = new URL('../transcripts/cli/', import.meta.url)

function marked(mark: string, text: string): readonly string[] {
  if (text === '') return []
  return text
    .replace(/\n$/, '')
    .split('\n')
    .map(line => `${mark} ${line}`.trimEnd())
}

function shown({ status, stdout, stderr }: Finished): readonly string[] {
  return [...marked('>', stdout), ...marked('!', stderr), `= ${status}`]
}

/** The transcript as it is now: the same commands, with what they say today. */
async function replay(transcript: string, console: Console): Promise<string> {
  const lines = transcript.split('\n').filter(line => !/^[>!=](?: |$)/.test(line))
  const result: string[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? ''
    result.push(line)
    if (!line.startsWith('$ postern')) continue
    const input: string[] = []
    while (lines[at + 1]?.startsWith('<')) {
      const next = lines[++at] ?? ''
      result.push(next)
      input.push(next.slice(2))
    }
    const [, ...args] = words(line.slice(2))
    result.push(...shown(await console.run(args, input.map(text => `${text}\n`).join(''))))
  }
  return result.join('\n')
}

afterAll(removeHeld)

describe('transcripts', () => {
  const files = readdirSync(FOLDER)

  test('there are some', () => {
    expect(files.length).toBeGreaterThan(5)
  })

  test.each(files)('%s', async file => {
    const path = fileURLToPath(new URL(file, FOLDER))
    const console = file === 'held.txt' ? await heldConsole() : new Console()
    await expect(await replay(readFileSync(path, 'utf8'), console)).toMatchFileSnapshot(path)
  })
})
