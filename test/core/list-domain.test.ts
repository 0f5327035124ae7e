/** A list domain's settings: as texts, and as the one text that is stored. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FLAVOURS } from '../../src/core/list.ts'
import {
  DOMAIN_SETTING_NAMES,
  DOMAIN_SETTINGS,
  formatDomainRecord,
  formatDomainSettings,
  INITIAL_DOMAIN,
  type ListDomain,
  parseDomainForDecision,
  parseDomainRecord,
  parseDomainSettings,
} from '../../src/core/list-domain.ts'
import { must } from '../support/vectors.ts'

const domain: fc.Arbitrary<ListDomain> = fc
  .record({
    flavour: fc.constantFrom(...FLAVOURS),
    delivery: fc.option(fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}$/), { nil: undefined }),
  })
  .map(({ flavour, delivery }) => (delivery === undefined ? { flavour } : { flavour, delivery }))

test('what is written is read back, in every form', () => {
  fc.assert(
    fc.property(domain, value => {
      expect(must(parseDomainSettings(formatDomainSettings(value)))).toStrictEqual(value)
      expect(must(parseDomainRecord(formatDomainRecord(value)))).toStrictEqual(value)
      expect(must(parseDomainForDecision(formatDomainRecord(value)))).toStrictEqual(value)
    }),
  )
})

test('each has a value to begin with, and a word about it', () => {
  expect(must(parseDomainSettings(formatDomainSettings(INITIAL_DOMAIN)))).toStrictEqual(INITIAL_DOMAIN)
  for (const name of DOMAIN_SETTING_NAMES) expect(DOMAIN_SETTINGS[name].help).not.toBe('')
})

test('a domain with nothing but a flavour is stored as the flavour alone', () => {
  expect(FLAVOURS.map(flavour => formatDomainRecord({ flavour }))).toEqual([...FLAVOURS])
  expect(formatDomainRecord({ flavour: 'mlmmj', delivery: 'archive' })).toBe('mlmmj delivery=archive')
})

test('an empty text takes a delivery away, and the rest stays', () => {
  expect(must(parseDomainSettings({ delivery: '' }, { flavour: 'sympa', delivery: 'x' }))).toStrictEqual({
    flavour: 'sympa',
  })
})

describe('what is stored, as administration and as a decision read it', () => {
  const flavours = 'expected one of mailman, mlmmj, sympa'
  const name = 'expected the name of a delivery: small letters, digits, - and _'
  test.each<[string, ListDomain | string, ListDomain | string]>([
    ['mlmmj', { flavour: 'mlmmj' }, { flavour: 'mlmmj' }],
    [' sympa   delivery=a-1 ', { flavour: 'sympa', delivery: 'a-1' }, { flavour: 'sympa', delivery: 'a-1' }],
    ['sympa delivery=', { flavour: 'sympa' }, { flavour: 'sympa' }],
    ['', `${flavours}, not ""`, { flavour: 'mailman' }],
    ['1', `${flavours}, not "1"`, { flavour: 'mailman' }],
    ['Sympa delivery=x', `${flavours}, not "Sympa"`, { flavour: 'mailman', delivery: 'x' }],
    ['delivery=x', `${flavours}, not "delivery=x"`, { flavour: 'mailman', delivery: 'x' }],
    ...[
      ['sympa delivery=X', `delivery: ${name}, not "X"`],
      ['sympa delivery=a=b', `delivery: ${name}, not "a=b"`],
      ['sympa delivery', 'expected NAME=VALUE after the flavour, not "delivery"'],
      ['sympa flavour=sympa', 'expected NAME=VALUE after the flavour, not "flavour=sympa"'],
      ['sympa delivery=a delivery=a', 'delivery is given twice'],
      ['sympa wings=2', 'there is no setting wings; the settings are flavour, delivery'],
      ['sympa __proto__=2', 'there is no setting __proto__; the settings are flavour, delivery'],
    ].map(([text = '', problem = '']): [string, string, string] => [text, problem, problem]),
  ])('%j', (text, forAdministration, forDecision) => {
    const result = (expected: ListDomain | string): object =>
      typeof expected === 'string' ? { ok: false, problem: expected } : { ok: true, value: expected }
    expect(parseDomainRecord(text)).toStrictEqual(result(forAdministration))
    expect(parseDomainForDecision(text)).toStrictEqual(result(forDecision))
  })

  test('anything at all gives a value or a problem, and never a name that is none', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        for (const read of [parseDomainRecord, parseDomainForDecision]) {
          const result = read(text)
          if (result.ok)
            expect(must(parseDomainRecord(formatDomainRecord(result.value)))).toEqual(result.value)
          else expect(result.problem).not.toBe('')
        }
      }),
    )
  })
})
