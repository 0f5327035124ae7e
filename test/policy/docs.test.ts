/** docs/policy.md says what the code says. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { PHASES } from '../../src/core/transaction.ts'
import { FAULTS } from '../../src/policy/codec.ts'
import { POLICY_LIMITS } from '../../src/policy/server.ts'
import { FIDELITY, PHASE_OF_STATE } from '../../src/policy/translate.ts'

/** The page, whatever the formatter makes of bullets and columns. */
const page = readFileSync(new URL('../../docs/policy.md', import.meta.url), 'utf8')
  .replace(/^[*-] /gm, '* ')
  .replace(/ +/g, ' ')

/** The lines between a pair of marks. */
function marked(mark: string): string[] {
  const inside = page.split(`<!-- ${mark} -->\n`)[1]?.split(`<!-- /${mark} -->`)[0] ?? ''
  return inside.split('\n').filter(line => line !== '')
}

describe('docs/policy.md', () => {
  test('the table of verdicts', () => {
    const rows = marked('fidelity').map(line => line.split('|').map(cell => cell.trim().replaceAll('`', '')))
    const want = Object.entries(FIDELITY).map(([kind, phases]) => {
      const [same, ...others] = new Set(PHASES.map(phase => phases[phase]))
      expect(others).toEqual([])
      return [kind, same]
    })
    expect(rows.map(([, kind, , fidelity]) => [kind, fidelity])).toEqual(want)
  })

  test('the faults', () => {
    expect(marked('faults')).toEqual(Object.values(FAULTS).map(sentence => `* ${sentence}`))
  })

  test('the states', () => {
    for (const state of Object.keys(PHASE_OF_STATE))
      expect(page).toMatch(new RegExp(`^\\| .*\`${state}\``, 'm'))
  })

  test.each([
    ['a line', `${POLICY_LIMITS.request.lineLength} bytes`],
    ['attributes of a request', String(POLICY_LIMITS.request.attributes)],
    ['a request', `${POLICY_LIMITS.request.requestLength} bytes`],
    ["from a request's first byte to its last", `${POLICY_LIMITS.requestTime / 1000} s`],
    ['for a client to take its answers', `${POLICY_LIMITS.answerTime / 1000} s`],
    ['idle between requests', `${POLICY_LIMITS.idleTime / 1000} s `],
  ])('the limit: %s', (name, value) => {
    expect(page).toContain(`| ${name} | ${value}`)
  })

  test('the limits on messages', () => {
    const { messages, recipients, age } = POLICY_LIMITS.messages
    expect(page.replace(/\s+/g, ' ')).toContain(`at most ${messages} messages and ${recipients} recipients`)
    expect(age).toBe(3_600_000)
  })
})
