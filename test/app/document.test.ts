/** The import document as it is read: what is in order, what is not and where, in chunks of any size. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { quoted } from '../../src/app/document-json.ts'
import { SETTING_NAMES } from '../../src/core/list.ts'
import { parseWho } from '../../src/core/who.ts'
import { anyDocument, bytesOf, read } from './documents.ts'

const HEAD = '{"postern": 1, "lists": [{"address": "a@b.example", '
const PERSON = `${HEAD}"people": [`

/** A document, and the place and the sentence of what is wrong with it. */
const DAMAGED: readonly (readonly [document: string, place: string, sentence: string])[] = [
  ['', '1:1 $', 'the document is empty'],
  ['   \n ', '2:2 $', 'the document ends in the middle'],
  ['{', '1:2 $', 'the document ends in the middle'],
  ['{"postern": 1', '1:14 $.postern', 'the document ends in the middle'],
  ['{"postern": 1, "bans": ["@x.exam', '1:33 $.bans', 'the document ends in the middle'],
  ['[]', '1:1 $', 'expected an object, not an array'],
  ['17', '1:1 $', 'expected an object, not a number'],
  ['{}', '1:2 $', 'not an import document: its first key must be "postern": 1'],
  ['{"name": "x"}', '1:2 $', 'not an import document: its first key must be "postern": 1'],
  ['{"postern": 2}', '1:13 $.postern', 'expected version 1 of the format, not 2'],
  ['{"postern": "1"}', '1:13 $.postern', 'expected version 1 of the format, not "1"'],
  ['{"postern": 1,}', '1:15 $', 'expected a key, not }'],
  ['{"postern" 1}', '1:12 $.postern', 'expected a colon after the key, not a number'],
  ['{"postern": 1 "lists": []}', '1:15 $.postern', 'expected a comma or }, not a string'],
  ['{"postern": 1} {}', '1:16 $', 'expected the end of the document, not an object'],
  ['{"postern": 1, "lists": [], "lists": []}', '1:29 $', 'the key "lists" stands twice'],
  [
    '{"postern": 1, "list": []}',
    '1:16 $',
    'unknown key "list"; expected postern, domains, lists, bans, forbidden, mtas',
  ],
  [
    '{"postern": 1, "__proto__": []}',
    '1:16 $',
    'unknown key "__proto__"; expected postern, domains, lists, bans, forbidden, mtas',
  ],
  ['{"postern": 1, "lists": [], "domains": []}', '1:29 $', '"domains" must come before "lists"'],
  ['{"postern": 1, "lists": {}}', '1:25 $.lists', 'expected an array, not an object'],
  ['{"postern": 1, "lists": [null]}', '1:26 $.lists[0]', 'expected an object, not null'],
  ['{"postern": 1, "lists": [,]}', '1:26 $.lists[0]', 'expected an object, not a comma'],
  ['{"postern": 1, "bans": ["@a.example",]}', '1:38 $.bans[1]', 'expected a string, not ]'],
  [
    '{"postern": 1, "bans": ["@a.example" "@b.example"]}',
    '1:38 $.bans[0]',
    'expected a comma or ], not a string',
  ],
  [
    '{"postern": 1, "bans": ["alice"]}',
    '1:25 $.bans[0]',
    '"alice": expected an address, @domain or @.domain: an address needs an @',
  ],
  ['{"postern": 1, "bans": [7]}', '1:25 $.bans[0]', 'expected a string, not 7'],
  ['{"postern": 1, "forbidden": [{}]}', '1:30 $.forbidden[0]', 'expected a string, not an object'],
  [
    '{"postern": 1, "mtas": {"known": ["x y"]}}',
    '1:35 $.mtas.known[0]',
    '"x y": expected a network like 192.0.2.0/24, a host name, or .domain for every host of a domain',
  ],
  [
    '{"postern": 1, "mtas": {"unknown": []}}',
    '1:25 $.mtas',
    'unknown key "unknown"; expected known, refused',
  ],
  ['{"postern": 1, "domains": ["a.example"]}', '1:28 $.domains[0]', 'expected an object, not a string'],
  ['{"postern": 1, "domains": [{}]}', '1:29 $.domains[0]', 'the key "domain" is missing'],
  [
    '{"postern": 1, "domains": [{"domain": "a..b"}]}',
    '1:39 $.domains[0].domain',
    '"a..b": the domain has a label that is not a name',
  ],
  [
    '{"postern": 1, "domains": [{"domain": "a.b", "flavour": "x"}]}',
    '1:57 $.domains[0].flavour',
    '"x": expected one of mailman, mlmmj, sympa',
  ],
  [
    '{"postern": 1, "domains": [{"domain": "a.b", "delivery": "X"}]}',
    '1:58 $.domains[0].delivery',
    '"X": expected the name of a delivery: small letters, digits, - and _',
  ],
  [
    '{"postern": 1, "domains": [{"wings": "2"}]}',
    '1:29 $.domains[0]',
    'unknown key "wings"; expected domain, flavour, delivery',
  ],
  [
    '{"postern": 1, "lists": [{}]}',
    '1:27 $.lists[0]',
    'the key "address" is missing, or comes after "people"',
  ],
  [
    '{"postern": 1, "lists": [{"people": []}]}',
    '1:27 $.lists[0]',
    'the key "address" is missing, or comes after "people"',
  ],
  [
    '{"postern": 1, "lists": [{"address": "team"}]}',
    '1:38 $.lists[0].address',
    '"team": expected a list\'s address: an address needs an @',
  ],
  [`${HEAD}"people": [], "settings": {}}]}`, '1:67 $.lists[0]', '"settings" must come before "people"'],
  [`${HEAD}"address": "c@b.example"}]}`, '1:53 $.lists[0]', 'the key "address" stands twice'],
  [
    `${HEAD}"owner": 1}]}`,
    '1:53 $.lists[0]',
    'unknown key "owner"; expected address, settings, bans, people',
  ],
  [`${HEAD}"settings": []}]}`, '1:65 $.lists[0].settings', 'expected an object, not an array'],
  [
    `${HEAD}"settings": {"max_size": -1}}]}`,
    '1:78 $.lists[0].settings.max_size',
    '"-1": expected a whole number, 0 for no limit',
  ],
  [
    `${HEAD}"settings": {"max_size": 1e300}}]}`,
    '1:78 $.lists[0].settings.max_size',
    '"1e+300": expected a whole number, 0 for no limit',
  ],
  [`${HEAD}"settings": {"state": true}}]}`, '1:75 $.lists[0].settings.state', 'expected a string, not true'],
  [`${HEAD}"settings": {"state": null}}]}`, '1:75 $.lists[0].settings.state', 'expected a string, not null'],
  [
    `${HEAD}"settings": {"colour": ""}}]}`,
    '1:66 $.lists[0].settings',
    `unknown key "colour"; expected ${SETTING_NAMES.join(', ')}`,
  ],
  [`${PERSON}"x@y.example"]}]}`, '1:64 $.lists[0].people[0]', 'expected an object, not a string'],
  [`${PERSON}{"who": "x@y.example"}]}]}`, '1:85 $.lists[0].people[0]', 'the key "roles" is missing'],
  [`${PERSON}{"roles": ["member"]}]}]}`, '1:84 $.lists[0].people[0]', 'the key "who" is missing'],
  [
    `${PERSON}{"who": "x", "roles": ["member"]}]}]}`,
    '1:72 $.lists[0].people[0].who',
    '"x": expected an address, @domain or @.domain: an address needs an @',
  ],
  [
    `${PERSON}{"who": "x@y.example", "roles": []}]}]}`,
    '1:98 $.lists[0].people[0]',
    '"roles": expected a role: owner, moderator, member, nonmember',
  ],
  [
    `${PERSON}{"who": "x@y.example", "roles": "member"}]}]}`,
    '1:96 $.lists[0].people[0].roles',
    'expected an array, not a string',
  ],
  [
    `${PERSON}{"who": "x@y.example", "roles": ["member", "x"]}]}]}`,
    '1:107 $.lists[0].people[0].roles[1]',
    'expected one of owner, moderator, member, nonmember, not "x"',
  ],
  [
    `${PERSON}{"who": "x@y.example", "roles": ["member"], "action": null}]}]}`,
    '1:118 $.lists[0].people[0].action',
    'expected one of accept, hold, reject, discard, defer, not null',
  ],
  [
    `${PERSON}{"who": "x@y.example", "roles": ["member"], "linked": "@y.example"}]}]}`,
    '1:118 $.lists[0].people[0].linked',
    '"@y.example": the local part is empty',
  ],
  [
    `${PERSON}{"who": "@y.example", "roles": ["member"], "linked": "x@y.example"}]}]}`,
    '1:130 $.lists[0].people[0]',
    '"linked": a domain is nobody\'s address',
  ],
  [
    `${PERSON}{"who": "x@y.example", "who": "z@y.example"}]}]}`,
    '1:87 $.lists[0].people[0]',
    'the key "who" stands twice',
  ],
  [
    '{"postern": 1,\n "lists": [\n  {"address": "a@b.example"},\n  {"address": "A@B.Example"}]}',
    '4:15 $.lists[1].address',
    'the list a@b.example stands twice',
  ],
  ['{"postern": 1,\n\t"bans": [\r\n"@a.example", oops]}', '3:15 $.bans[0]', 'not JSON: unexpected o'],
  ['{"postern": 01}', '1:13 $.postern', 'expected version 1 of the format, not 0'],
  ["{'postern': 1}", '1:2 $', "not JSON: unexpected '"],
  ['{"postern": 1, "bans": ["a\nb"]}', '1:27 $.bans', 'not JSON: unexpected byte 0x0a'],
  ['{"postern": 1, "bans": ["\\x"]}', '1:27 $.bans', 'not JSON: unexpected x'],
  [
    '\ufeff{"postern": 1, "x": 1}',
    '1:19 $',
    'unknown key "x"; expected postern, domains, lists, bans, forbidden, mtas',
  ],
]

function placed(error: NonNullable<Awaited<ReturnType<typeof read>>['error']>): string {
  return `${error.place.line}:${error.place.column} ${error.place.path}`
}

describe('documents that are not in order', () => {
  test.each(DAMAGED)('%s', async (document, place, sentence) => {
    const { error } = await read(bytesOf(document))
    expect(error && [placed(error), error.sentence]).toEqual([place, sentence])
  })

  test('bytes that are no UTF-8', async () => {
    async function* bytes(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('{"postern": 1, "bans": ["\xff@a.example"]}', 'latin1')
    }
    const { error } = await read(bytes())
    expect(error?.sentence).toBe('not UTF-8')
    expect(error?.place.line).toBe(1)
  })

  test('nesting without end, and values without end', async () => {
    const deep = `{"postern": 1, "bans": ${'['.repeat(100_000)}`
    expect((await read(bytesOf(deep))).error?.sentence).toBe('expected a string, not an array')
    const long = `{"postern": 1, "bans": ["${'x'.repeat(3 << 20)}"]}`
    const blank = `{"postern": 1,${' '.repeat(3 << 20)}"bans": []}`
    for (const document of [long, blank]) {
      expect((await read(bytesOf(document))).error?.sentence).toBe(
        'a single value, or a stretch of white space, is longer than 1 MiB',
      )
    }
  })

  test('a message never repeats much of the document', async () => {
    const { error } = await read(bytesOf({ postern: 1, ['x'.repeat(9_999)]: 1 }))
    expect(error?.message.length).toBeLessThan(300)
    expect(quoted('\u001b[31m')).toBe('"\\u001b[31m"')
  })
})

describe('documents in order', () => {
  test('the shortest', async () => {
    expect(await read(bytesOf({ postern: 1 }))).toEqual({ entries: [], error: undefined })
  })

  test('entries come in the order of the document', async () => {
    const { entries, error } = await read(
      bytesOf({
        postern: 1,
        mtas: { refused: ['192.0.2.1'] },
        domains: [{ domain: 'B.example' }],
        lists: [
          {
            bans: ['@x.example'],
            address: 'A@b.example',
            people: [{ roles: ['member'], who: 'M@c.example' }],
          },
          { address: 'c@b.example', settings: { max_size: 17, rate: '1/1d' } },
        ],
        bans: ['z@c.example'],
      }),
    )
    expect(error).toBeUndefined()
    expect(entries).toMatchObject([
      { kind: 'mta', list: 'refused', key: '192.0.2.1' },
      { kind: 'domain', domain: 'b.example', settings: {} },
      { kind: 'list', address: { key: 'a@b.example' }, settings: {} },
      { kind: 'person', entry: { who: 'm@c.example', person: { roles: ['member'] } } },
      { kind: 'list-end', bans: ['@x.example'] },
      {
        kind: 'list',
        address: { key: 'c@b.example' },
        settings: { max_size: 17, rate: { posts: 1, seconds: 86400 } },
      },
      { kind: 'list-end', bans: [] },
      { kind: 'ban', who: 'z@c.example' },
    ])
  })

  test('what stands before something wrong is given, whatever the chunks', async () => {
    const document = { postern: 1, bans: ['@a.example', '@b.example', 'wrong'] }
    for (const chunk of [1, 7, 1 << 16]) {
      const { entries, error } = await read(bytesOf(document, chunk))
      expect(entries).toHaveLength(2)
      expect(error?.place.path).toBe('$.bans[2]')
    }
  })
})

describe('properties', () => {
  test('a document reads the same in chunks of any size, compact or spread over lines', async () => {
    await fc.assert(
      fc.asyncProperty(anyDocument, fc.integer({ min: 1, max: 40 }), async (document, chunk) => {
        const whole = await read(bytesOf(document))
        expect(whole.error).toBeUndefined()
        const strip = (entries: typeof whole.entries) =>
          entries.map(entry => (entry.kind === 'list' ? { ...entry, place: undefined } : entry))
        const parts = await read(bytesOf(JSON.stringify(document, undefined, 2), chunk))
        expect(strip(parts.entries)).toEqual(strip(whole.entries))
      }),
      { numRuns: 60 },
    )
  })

  test('no JSON and no text makes the reader fail in another way than by saying what is wrong', async () => {
    const json = fc.oneof(
      fc.json(),
      fc.jsonValue().map(value => JSON.stringify({ postern: 1, lists: value })),
      fc.jsonValue().map(value => JSON.stringify({ postern: 1, lists: [value] })),
      fc.jsonValue().map(value => JSON.stringify({ postern: 1, domains: [value], mtas: value })),
      fc.jsonValue().map(value => `${PERSON}${JSON.stringify(value)}]}]}`),
      fc.string({ unit: 'binary' }),
    )
    await fc.assert(
      fc.asyncProperty(json, fc.integer({ min: 1, max: 30 }), async (text, chunk) => {
        const { error } = await read(bytesOf(text, chunk))
        if (error === undefined) return
        expect(error.place.line).toBeGreaterThan(0)
        expect(error.place.column).toBeGreaterThan(0)
        expect(error.place.path).toMatch(/^\$/)
      }),
      { numRuns: 400 },
    )
  })

  test('a document that is cut anywhere is never taken for whole', async () => {
    await fc.assert(
      fc.asyncProperty(anyDocument, fc.nat(), async (document, at) => {
        const text = JSON.stringify(document)
        const { error } = await read(bytesOf(text.slice(0, at % text.length)))
        expect(error).toBeDefined()
      }),
      { numRuns: 60 },
    )
  })

  test('the place of a wrong entry is its line, whatever stands before it', async () => {
    const name = fc
      .string({ unit: 'grapheme', maxLength: 8 })
      .map(local => `"${local.replace(/["\\]/g, '\\$&')}"@a.example`)
      .filter(text => parseWho(text).ok)
    await fc.assert(
      fc.asyncProperty(
        fc.array(name, { maxLength: 20 }),
        fc.integer({ min: 1, max: 50 }),
        async (names, chunk) => {
          const lines = [...names, 'wrong'].map(text => JSON.stringify(text))
          const document = `{"postern": 1, "bans": [\n${lines.join(',\n')}]}`
          const { error } = await read(bytesOf(document, chunk))
          expect(error && placed(error)).toBe(`${names.length + 2}:1 $.bans[${names.length}]`)
        },
      ),
      { numRuns: 100 },
    )
  })
})
