/** The pages against the code: what they list is what there is. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { REASONS, replyFor } from '../src/core/reason.ts'
import { formatReply } from '../src/core/reply.ts'
import {
  CONNECT_RULES,
  DATA_RULES,
  EHLO_RULES,
  END_OF_MESSAGE_RULES,
  MAIL_RULES,
  RCPT_RULES,
} from '../src/core/rules/index.ts'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const read = (path: string): string => readFileSync(join(ROOT, path), 'utf8')
const law = read('docs/law.md')

/** The backquoted words of the first column of the table under a heading. */
function firstColumn(heading: string): string[] {
  const section = law.split(`### ${heading}\n`)[1]?.split(/\n##/)[0] ?? ''
  const rows = section.split('\n').filter(line => line.startsWith('| `'))
  return rows.flatMap(row =>
    [...(row.split(' | ')[0] ?? '').matchAll(/`([a-z-]+)`/g)].map(match => match[1] ?? ''),
  )
}

describe('docs/law.md', () => {
  test.each([
    ['CONNECT', CONNECT_RULES],
    ['EHLO', EHLO_RULES],
    ['MAIL', MAIL_RULES],
    ['RCPT', RCPT_RULES],
    ['DATA', DATA_RULES],
    ['END-OF-MESSAGE', END_OF_MESSAGE_RULES],
  ])('the rules of %s, in their order', (phase, rules) => {
    expect(firstColumn(phase)).toEqual(rules.map(rule => rule.name))
  })

  test('every reason, with its reply', () => {
    const table = /<!-- reasons -->\n([\s\S]*?)\n<!-- \/reasons -->/.exec(law)?.[1] ?? ''
    const none = ['recipient-elsewhere', 'postmaster']
    const rows = REASONS.map(reason => {
      const reply = formatReply(replyFor(reason, { list: '{list}', detail: '{detail}' }))
      return `| \`${reason}\` | ${none.includes(reason) ? 'none' : reply} |`
    })
    expect(table.split('\n')).toEqual(rows)
  })
})

describe('links', () => {
  const pages = ['.', 'docs', 'postfix', 'exim', 'bench']
    .filter(folder => existsSync(join(ROOT, folder)))
    .flatMap(folder => readdirSync(join(ROOT, folder)).map(name => join(folder, name)))
    .filter(name => name.endsWith('.md'))

  test.each(pages)('%s leads to pages that exist', page => {
    const targets = [...read(page).matchAll(/\]\((?!https?:|#)([^)#]+)[^)]*\)/g)].map(match => match[1] ?? '')
    expect(targets.filter(target => !existsSync(join(ROOT, dirname(page), target)))).toEqual([])
  })
})
