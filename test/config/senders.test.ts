/** The section `[senders]`: what it is read into, and what is wrong with it. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'
import { INITIAL_SENDERS, type SenderSettings } from '../../src/core/sender-forms/settings.ts'

const directory = mkdtempSync(join(tmpdir(), 'postern-senders-'))
afterAll(() => rmSync(directory, { recursive: true }))

function read(text: string): SenderSettings | readonly string[] {
  writeFileSync(join(directory, 'postern.toml'), text, { mode: 0o600 })
  const result = loadConfig({ cwd: directory, env: {} })
  return result.ok ? result.value.site.senders : result.problems.map(formatProblem)
}

describe('senders', () => {
  test('without a section, what stays in the sender’s own domain is on, and the rest off', () => {
    expect(read('')).toEqual(INITIAL_SENDERS)
    expect(INITIAL_SENDERS).toEqual({ batv: true, srs: [], verp: [], detail: {}, aliasDomains: {} })
  })

  test('domains are read in any spelling', () => {
    const text = `[senders]
batv = false
srs = ["Forward.Example", ".BÜCHER.example", "*"]
verp = ["bounces.example.com."]
[senders.detail]
"Example.ORG" = "+"
"*" = "+-"
"example.com" = ""
[senders.alias_domains]
"GoogleMail.com" = "Gmail.com"
`
    expect(read(text)).toEqual({
      batv: false,
      srs: ['forward.example', '.xn--bcher-kva.example', '*'],
      verp: ['bounces.example.com'],
      detail: { 'example.org': '+', '*': '+-', 'example.com': '' },
      aliasDomains: { 'googlemail.com': 'gmail.com' },
    })
  })

  const many = Array.from({ length: 8 }, (_, i) => `"a${i}.example" = "main.example"`).join('\n')
  test.each<[name: string, text: string, problems: readonly string[]]>([
    [
      'no domain',
      '[senders]\nsrs = ["a..b"]\n',
      [
        'postern.toml:2:8: senders.srs[0]: expected a domain, .domain or *: the domain has a label that is not a name',
      ],
    ],
    [
      'no separator',
      '[senders.detail]\n"a.example" = "x"\n',
      ['postern.toml:2:15: senders.detail."a.example": expected characters among + - _ and #, or none'],
    ],
    [
      'a name that an object has of itself',
      '[senders.detail]\n__proto__ = "+"\n',
      ['postern.toml:2:13: senders.detail.__proto__: no name for anything'],
    ],
    [
      'a domain twice',
      '[senders.detail]\n"a.example" = "+"\n"A.example" = "-"\n',
      ['postern.toml:3:15: senders.detail."A.example": a.example stands here twice'],
    ],
    [
      'a chain of names',
      '[senders.alias_domains]\n"a.example" = "b.example"\n"b.example" = "c.example"\n',
      ['postern.toml:2:15: senders.alias_domains."a.example": b.example is itself another name of c.example'],
    ],
    [
      'a name of itself',
      '[senders.alias_domains]\n"a.example" = "A.example"\n',
      ['postern.toml:2:15: senders.alias_domains."a.example": a domain is no other name of itself'],
    ],
    [
      'all domains as one name',
      '[senders.alias_domains]\n"*" = "a.example"\n',
      ['postern.toml:2:7: senders.alias_domains."*": the domain has a label that is not a name'],
    ],
    [
      'too many names',
      `[senders.alias_domains]\n${many}\n`,
      ['postern.toml:9:16: senders.alias_domains."a7.example": main.example has more than 7 other names'],
    ],
    [
      'a number for a domain',
      '[senders.alias_domains]\n"a.example" = 1\n',
      ['postern.toml:2:15: senders.alias_domains."a.example": expected a string, not a whole number'],
    ],
  ])('%s', (_, text, problems) => {
    expect(read(text)).toEqual(problems)
  })
})
