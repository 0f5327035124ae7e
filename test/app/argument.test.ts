/** Arguments with placeholders: what is taken, what comes of it, and what a sender cannot make of it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fillArgument, PLACEHOLDERS, parseArgument } from '../../src/app/argument.ts'
import { must } from '../support/vectors.ts'

const VALUES = {
  list: 'team@lists.example.org',
  list_local: 'team',
  list_domain: 'lists.example.org',
  service: 'owner',
  recipient: 'Team-Owner@lists.example.org',
  sender: 'alice@example.net',
  id: 'ID1',
}

describe('an argument', () => {
  test.each([
    ['', ''],
    ['-F', '-F'],
    ['/var/spool/mlmmj/{list_local}', '/var/spool/mlmmj/team'],
    ['/srv/{list_domain}/{list_local}/{service}/{id}', '/srv/lists.example.org/team/owner/ID1'],
    ['{list}', 'team@lists.example.org'],
    ['--from={sender}', '--from=alice@example.net'],
    ['{sender}>{recipient}', 'alice@example.net>Team-Owner@lists.example.org'],
    ['{{list}}', '{list}'],
    ['{{{list}}}', '{team@lists.example.org}'],
    ['a b $HOME `x` ; "', 'a b $HOME `x` ; "'],
  ])('%j is %j', (text, want) => {
    expect(fillArgument(must(parseArgument(text)), VALUES)).toEqual({ ok: true, value: want })
  })

  test.each([
    ['{lists}', /^there is no placeholder \{lists\}; there are \{list\}, /],
    ['{}', /^there is no placeholder \{\}/],
    ['{List}', /^there is no placeholder/],
    ['{list', /^a brace that belongs to no placeholder is written twice: \{\{$/],
    ['list}', /^a brace that belongs to no placeholder is written twice: \}\}$/],
    ['a\0b', /^an argument has no NUL$/],
    ['/var/mail/{sender}', /^\{sender\} cannot stand in a path/],
    ['{sender}/x', /^\{sender\} cannot stand in a path/],
    ['/spool/{recipient}', /^\{recipient\} cannot stand in a path/],
  ])('%j is none', (text, problem) => {
    const parsed = parseArgument(text)
    expect(parsed).toEqual({ ok: false, problem: expect.stringMatching(problem) })
  })
})

describe('a value', () => {
  test.each([
    [
      '{sender}',
      { sender: '-oQ/tmp@example.net' },
      '{sender} begins with - and would be taken for an option',
    ],
    ['{recipient}', { recipient: '-f@x' }, '{recipient} begins with - and would be taken for an option'],
    ['{list_local}', { list_local: '-x' }, '{list_local} begins with - and would be taken for an option'],
    [
      '{service}{sender}',
      { service: '', sender: '-x@y' },
      '{service} begins with - and would be taken for an option',
    ],
    ['a{sender}', { sender: 'x\0y' }, 'an argument has no NUL'],
  ])('in %j that makes it something else is a problem', (text, values, problem) => {
    expect(fillArgument(must(parseArgument(text)), { ...VALUES, ...values })).toEqual({ ok: false, problem })
  })

  test('that holds braces is no placeholder', () => {
    const filled = fillArgument(must(parseArgument('x{sender}')), { ...VALUES, sender: '{list}{{' })
    expect(filled).toEqual({ ok: true, value: 'x{list}{{' })
  })
})

test('any text can be written as an argument, and comes out as it was', () => {
  const text = fc.string({ unit: fc.constantFrom('{', '}', 'a', '/', '-', ' ', 'é', '\n') })
  fc.assert(
    fc.property(text, raw => {
      const written = raw.replaceAll('{', '{{').replaceAll('}', '}}')
      expect(fillArgument(must(parseArgument(written)), VALUES)).toEqual({ ok: true, value: raw })
    }),
  )
})

test('no value that a sender chooses leaves its argument or begins it with -', () => {
  const pieces = fc.array(
    fc.constantFrom('-', 'x', '=', '{sender}', '{recipient}', ...PLACEHOLDERS.map(name => `{${name}}`)),
  )
  fc.assert(
    fc.property(pieces, fc.string(), (template, sender) => {
      const argument = must(parseArgument(template.join('')))
      const filled = fillArgument(argument, { ...VALUES, sender })
      if (filled.ok && filled.value.startsWith('-')) expect(template[0]).toBe('-')
      if (filled.ok) expect(filled.value).not.toContain('\0')
    }),
  )
})
