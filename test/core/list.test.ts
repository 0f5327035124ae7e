/** Settings and people as texts: what is written is read back, and nonsense is named. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseAddress } from '../../src/core/address.ts'
import { CONTENT_ACTIONS } from '../../src/core/content.ts'
import {
  ACTIONS,
  formatSettings,
  INITIAL_SETTINGS,
  type ListSettings,
  PRESET_NAMES,
  PRESETS,
  parseSettings,
  SETTING_NAMES,
  SETTINGS,
} from '../../src/core/list.ts'
import { parsePartPatterns } from '../../src/core/part-patterns.ts'
import { parsePattern } from '../../src/core/pattern.ts'
import { formatPerson, makePerson, parsePerson, ROLES } from '../../src/core/person.ts'
import { must } from '../support/vectors.ts'

const contentAction = fc.constantFrom(...CONTENT_ACTIONS)
const parts = fc
  .array(fc.constantFrom('image/png', 'video/*', '.exe'), { maxLength: 3 })
  .map(words => must(parsePartPatterns(words.join(' '))))

const settings: fc.Arbitrary<ListSettings> = fc.record({
  flavour: fc.constantFrom('mailman', 'mlmmj', 'sympa'),
  state: fc.constantFrom('active', 'paused', 'closed'),
  owner_action: fc.constantFrom(...ACTIONS),
  moderator_action: fc.constantFrom(...ACTIONS),
  member_action: fc.constantFrom(...ACTIONS),
  nonmember_action: fc.constantFrom(...ACTIONS),
  identity: fc.constantFrom('envelope', 'author', 'any'),
  late_refusal: fc.constantFrom('hold', 'discard'),
  honour_admission: fc.constantFrom('yes', 'no'),
  emergency: fc.constantFrom('on', 'off'),
  first_post: fc.constantFrom('accept', 'hold'),
  reject_notice: fc.constantFrom('yes', 'no'),
  max_lists: fc.nat(),
  max_destinations: fc.nat(),
  destinations_action: contentAction,
  loops: contentAction,
  automatic_replies: contentAction,
  bulk_mail: contentAction,
  unclear_author: contentAction,
  unnamed: contentAction,
  acceptable_names: fc
    .uniqueArray(fc.constantFrom('a@example.net', 'b.c@example.org', 'x+y@a.example'))
    .map(names => names.map(name => must(parseAddress(name)).key)),
  header_rules: fc.array(
    fc.record({
      action: contentAction,
      field: fc.constantFrom('*', 'subject', 'x-spam-flag'),
      pattern: fc.constantFrom('^yes', '\\[urgent\\]', 'a: b', 'ü+').map(text => must(parsePattern(text))),
    }),
    { maxLength: 4 },
  ),
  refused_parts: parts,
  accepted_parts: parts,
  parts_action: contentAction,
  max_size: fc.nat(),
  max_recipients: fc.nat(),
  rate: fc.option(
    fc.record({ posts: fc.integer({ min: 1, max: 999999 }), seconds: fc.integer({ min: 1, max: 9999 }) }),
    { nil: undefined },
  ),
  reply_text: fc.option(
    fc.stringMatching(/^[!-~]([ -~]{0,50}[!-~])?$/).map(text => text.replace(/ +/g, ' ')),
    {
      nil: undefined,
    },
  ),
  reply_url: fc.option(
    fc.webUrl({ size: 'small' }).filter(url => /^[!-~]{1,120}$/.test(url)),
    { nil: undefined },
  ),
  delivery: fc.option(fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}$/), { nil: undefined }),
  mode: fc.constantFrom('enforce', 'shadow'),
})

describe('settings', () => {
  test('what is written is read back', () => {
    fc.assert(
      fc.property(settings, value => {
        expect(must(parseSettings(formatSettings(value)))).toEqual(value)
      }),
    )
  })

  test('each has a value to begin with, and that can be written and read', () => {
    expect(Object.keys(INITIAL_SETTINGS)).toEqual(SETTING_NAMES)
    expect(must(parseSettings(formatSettings(INITIAL_SETTINGS)))).toEqual(INITIAL_SETTINGS)
    for (const name of SETTING_NAMES) expect(SETTINGS[name].help).not.toBe('')
  })

  test('presets are made of settings', () => {
    for (const name of PRESET_NAMES) expect(parseSettings(PRESETS[name]).ok).toBe(true)
  })

  test.each([
    [
      'member_action',
      'maybe',
      'member_action: expected one of accept, hold, reject, discard, defer, not "maybe"',
    ],
    ['max_size', '-1', 'max_size: expected a whole number, 0 for no limit, not "-1"'],
    ['max_size', '1e9', 'max_size: expected a whole number, 0 for no limit, not "1e9"'],
    ['rate', '10', 'rate: expected posts per period, like 10/1h, 100/1d, or nothing, not "10"'],
    ['rate', '0/1h', 'rate: expected posts per period, like 10/1h, 100/1d, or nothing, not "0/1h"'],
    ['reply_text', 'a\nb', 'reply_text: expected printable ASCII in one line, not "a\\nb"'],
    ['reply_text', 'é', 'reply_text: expected printable ASCII in one line, not "é"'],
    ['reply_url', 'ftp://x', 'reply_url: expected an http or https URL, not "ftp://x"'],
    [
      'delivery',
      'Archive',
      'delivery: expected the name of a delivery: small letters, digits, - and _, not "Archive"',
    ],
  ])('%s=%s', (name, text, sentence) => {
    expect(parseSettings({ [name]: text })).toEqual({ ok: false, problem: sentence })
  })

  test.each(['unheard_of', '__proto__', 'constructor', 'toString'])('there is no setting %s', name => {
    const result = parseSettings(Object.fromEntries([[name, 'x']]))
    expect(result.ok).toBe(false)
    expect(!result.ok && result.problem).toContain(`there is no setting ${name}`)
  })

  test.each([
    ['10/1h', { posts: 10, seconds: 3600 }, '10/1h'],
    ['10/60m', { posts: 10, seconds: 3600 }, '10/1h'],
    ['5/90s', { posts: 5, seconds: 90 }, '5/90s'],
    ['100/2d', { posts: 100, seconds: 172800 }, '100/2d'],
  ])('rate %s', (text, rate, canonical) => {
    const parsed = must(parseSettings({ rate: text }))
    expect(parsed.rate).toEqual(rate)
    expect(formatSettings(parsed).rate).toBe(canonical)
  })
})

describe('people', () => {
  test('what is written is read back', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(...ROLES), { minLength: 1 }),
        fc.option(fc.constantFrom(...ACTIONS), { nil: undefined }),
        (roles, action) => {
          const person = must(makePerson(roles, action))
          expect(must(parsePerson(formatPerson(person)))).toEqual(person)
        },
      ),
    )
  })

  test.each([
    ['member', { roles: ['member'] }],
    ['member owner', { roles: ['owner', 'member'] }],
    [' nonmember   action=hold ', { roles: ['nonmember'], action: 'hold' }],
  ])('%j', (text, person) => {
    expect(must(parsePerson(text))).toEqual(person)
  })

  test.each(['', 'boss', 'action=hold', 'member action=maybe', 'member,owner', 'Member'])(
    '%j is nobody',
    text => {
      expect(parsePerson(text).ok).toBe(false)
    },
  )
})
