/** docs/lmtp.md against the code: its tables are what there is. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { formatReply } from '../../src/core/reply.ts'
import { VERDICT_KINDS } from '../../src/core/verdict.ts'
import { REPLIES } from '../../src/lmtp/replies.ts'
import { ASKED_PHASES, TREATMENTS } from '../../src/lmtp/translate.ts'

const page = readFileSync(new URL('../../docs/lmtp.md', import.meta.url), 'utf8')

function table(name: string): readonly string[] {
  const section = new RegExp(`<!-- ${name} -->\\n([\\s\\S]*?)<!-- /${name} -->`).exec(page)?.[1] ?? ''
  return section.trimEnd().split('\n')
}

test('what becomes of a verdict', () => {
  const rows = VERDICT_KINDS.map(
    kind => `| \`${kind}\` | ${ASKED_PHASES.map(phase => TREATMENTS[kind][phase]).join(' | ')} |`,
  )
  expect(table('treatments')).toEqual([
    `| verdict | ${ASKED_PHASES.join(' | ')} |`,
    '|---|---|---|---|',
    ...rows,
  ])
})

test('the sink’s own replies', () => {
  const lines = Object.values(REPLIES).map(reply => `    ${formatReply(reply)}`)
  expect(table('replies')).toEqual(lines)
})
