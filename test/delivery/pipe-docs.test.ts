/** docs/delivery.md against what programs are given and what their exit status becomes. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { PLACEHOLDERS } from '../../src/app/argument.ts'
import { EXIT_MEANINGS } from '../../src/delivery/pipe-exit.ts'
import { environmentOf, placeholderValues } from '../../src/delivery/pipe-values.ts'
import { entryFields } from '../../src/delivery/stream-entry.ts'
import { ENVELOPE, to } from './mail.ts'

const page = readFileSync(new URL('../../docs/delivery.md', import.meta.url), 'utf8')

/** The rows of a table, without its head. */
function rows(name: string): readonly string[] {
  const text = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- /${name} -->`).exec(page)?.[1] ?? ''
  return text.trimEnd().split('\n').slice(2)
}

/** The backquoted words of each row's first cell. */
function names(name: string): readonly string[] {
  return rows(name).flatMap(row =>
    [...(row.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map(match => match[1] ?? ''),
  )
}

const COPY = to('team@lists.example.org')

test('the placeholders', () => {
  expect(names('placeholders')).toEqual(PLACEHOLDERS.map(name => `{${name}}`))
  expect(Object.keys(placeholderValues(ENVELOPE, COPY))).toEqual([...PLACEHOLDERS])
})

test('the environment', () => {
  expect(names('environment')).toEqual(Object.keys(environmentOf(ENVELOPE, COPY, {})))
})

test('what an exit status means', () => {
  const meanings = Object.entries(EXIT_MEANINGS).map(
    ([status, { name, code, enhanced, text }]) => `| ${status} \`${name}\` | ${code} ${enhanced} | ${text} |`,
  )
  expect(rows('exit-status')).toEqual(['| 0 | 250 2.0.0 | |', ...meanings])
})

test('the fields of a stream’s entry', () => {
  const fields = entryFields(ENVELOPE, Buffer.from('x'), COPY)
  expect(names('fields')).toEqual(fields.filter((_, index) => index % 2 === 0))
})
