/** docs/socketmap.md says what the code says. */
import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { FAULTS, MAX_REQUEST } from '../../src/socketmap/codec.ts'
import { MAPS } from '../../src/socketmap/maps.ts'
import { SOCKETMAP_LIMITS } from '../../src/socketmap/server.ts'

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const page = read('docs/socketmap.md')

/** The lines between a pair of marks. */
function marked(mark: string): string[] {
  const inside = page.split(`<!-- ${mark} -->\n`)[1]?.split(`<!-- /${mark} -->`)[0] ?? ''
  return inside.split('\n').filter(line => line !== '')
}

describe('docs/socketmap.md', () => {
  test('the maps', () => {
    const names = marked('maps').flatMap(line => /^\| `([a-z]+)`/.exec(line)?.slice(1) ?? [])
    expect(names).toEqual(Object.keys(MAPS))
  })

  test('the faults', () => {
    expect(marked('faults')).toEqual(Object.values(FAULTS).map(sentence => `* ${sentence}`))
  })

  test.each([
    ['a request', `${MAX_REQUEST} bytes`],
    ["from a request's first byte to its last", `${SOCKETMAP_LIMITS.requestTime / 1000} s`],
    ['for a client to take its answers', `${SOCKETMAP_LIMITS.answerTime / 1000} s`],
    ['idle between requests', `${SOCKETMAP_LIMITS.idleTime / 1000} s `],
  ])('the limit: %s', (name, value) => {
    expect(page).toContain(`| ${name} | ${value}`)
  })
})

describe('the recipes', () => {
  test.each(['main.cf.socketmap', 'main.cf.socketmap-recipients'])('%s names maps that there are', name => {
    const settings = read(`postfix/${name}`).replace(/^#.*$/gm, '')
    const asked = [...settings.matchAll(/socketmap:inet:127\.0\.0\.1:10043:([a-z]+)/g)].map(match => match[1])
    expect(asked.length).toBeGreaterThan(0)
    expect(asked.filter(map => !Object.keys(MAPS).includes(map ?? ''))).toEqual([])
  })

  test('the one with everything asks the policy server as the usual one does, but for whom', () => {
    const settings = (name: string): string[] =>
      read(`postfix/${name}`)
        .split('\n')
        .filter(line => line !== '' && !line.startsWith('#'))
    const whom = (line: string): string =>
      line.replace(/check_recipient_access .*,$/, 'check_recipient_access WHOM,')
    const usual = settings('main.cf.policy-rcpt').map(whom)
    expect(settings('main.cf.socketmap').map(whom).slice(-usual.length)).toEqual(usual)
  })
})
