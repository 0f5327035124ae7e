/** The forms of senders' addresses: samples from real mail, and properties against small encoders of the schemes. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Address, addressOf, MAX_LOCAL_PART_LENGTH } from '../../src/core/address.ts'
import { INITIAL_SENDERS, MAX_ALIASES, type SenderSettings } from '../../src/core/sender-forms/settings.ts'
import { formAt, formsOf } from '../../src/core/sender-forms.ts'
import { whoIs, whoKeysOf } from '../../src/core/who.ts'
import { address, must } from '../support/vectors.ts'

const TRUSTING: SenderSettings = { ...INITIAL_SENDERS, srs: ['*'], verp: ['*'], detail: { '*': '+' } }

/** Every form with its steps: `+` before those that count fully, `-` before those that count against only. */
function formsInWords(text: string, settings: SenderSettings, from: 'envelope' | 'author' = 'envelope') {
  return formsOf(address(text), settings, from).forms.map(({ form, steps, counts }) =>
    [`${counts === 'fully' ? '+' : '-'}${form.text}`, ...steps.map(step => step.text)].join(' | '),
  )
}

interface Sample {
  readonly sender: string
  readonly settings?: Partial<SenderSettings>
  /** The forms beside the address itself. */
  readonly forms: readonly string[]
}

const SAMPLES: readonly Sample[] = [
  { sender: 'alice@example.net', forms: [] },
  { sender: 'alice=bob@example.net', settings: TRUSTING, forms: [] },
  {
    sender: 'prvs=4068eb2540=ann@example.org',
    forms: ['+ann@example.org | BATV of ann@example.org'],
  },
  {
    sender: 'PRVS=374A1453B=Ann.Lee@example.org',
    forms: ['+Ann.Lee@example.org | BATV of Ann.Lee@example.org'],
  },
  { sender: 'prvs=ann/4068eb2540@example.org', forms: ['+ann@example.org | BATV of ann@example.org'] },
  { sender: 'btv1==760cdc7c545==ann@example.org', forms: ['+ann@example.org | BATV of ann@example.org'] },
  { sender: 'msprvs1=1202020UU5ulBw=ann@example.org', forms: ['+ann@example.org | BATV of ann@example.org'] },
  {
    sender: 'prvs=4068eb2540=ann@example.org',
    settings: { batv: false },
    forms: ['-ann@example.org | BATV of ann@example.org'],
  },
  { sender: 'prvs=4068eb254=@example.org', forms: [] },
  { sender: 'prvs=4068xb2540=ann@example.org', forms: [] },
  {
    sender: '"prvs=4068eb2540=john doe"@example.org',
    forms: ['+"john doe"@example.org | BATV of "john doe"@example.org'],
  },
  {
    sender: 'SRS0=Kjsf=5O=example.com=prvs=374a1453b=Ann.Lee@srs.example.net',
    forms: [
      '-prvs=374a1453b=Ann.Lee@example.com | SRS0 of prvs=374a1453b=Ann.Lee@example.com',
      '-Ann.Lee@example.com | SRS0 of prvs=374a1453b=Ann.Lee@example.com | BATV of Ann.Lee@example.com',
    ],
  },
  {
    sender: 'SRS1=GGG=first.example==HHH=TT=example.com=ann@second.example',
    settings: { srs: ['second.example'] },
    forms: [
      '+SRS0=HHH=TT=example.com=ann@first.example | SRS1 of SRS0=HHH=TT=example.com=ann@first.example',
      '-ann@example.com | SRS1 of SRS0=HHH=TT=example.com=ann@first.example | SRS0 of ann@example.com',
    ],
  },
  {
    sender: 'SRS0-HHH=TT=example.com=a=b@first.example',
    settings: { srs: ['*'] },
    forms: ['+a=b@example.com | SRS0 of a=b@example.com'],
  },
  {
    sender: 'SRS1+GGG=first.example=+HHH=TT=example.com=ann@second.example',
    forms: [
      '-SRS0+HHH=TT=example.com=ann@first.example | SRS1 of SRS0+HHH=TT=example.com=ann@first.example',
      '-ann@example.com | SRS1 of SRS0+HHH=TT=example.com=ann@first.example | SRS0 of ann@example.com',
    ],
  },
  { sender: 'SRS0=opaque+string@first.example', settings: { srs: ['*'] }, forms: [] },
  { sender: 'SRS0=HHH=TT=not..a..domain=ann@first.example', settings: { srs: ['*'] }, forms: [] },
  { sender: 'bounces+SRS=44ldt=IX@example.com', settings: { srs: ['*'] }, forms: [] },
  { sender: 'list-bounces+ann=example.org@list.example', forms: [] },
  {
    sender: 'list-bounces+ann=example.org@list.example',
    settings: { verp: ['.list.example'] },
    forms: ['+ann@example.org | VERP of ann@example.org'],
  },
  {
    sender: 'list-return-123-mary-jane=example.org@list.example',
    settings: { verp: ['*'] },
    forms: ['+mary-jane@example.org | VERP of mary-jane@example.org'],
  },
  {
    sender: 'bounce-mary-jane=example.org@list.example',
    settings: { verp: ['*'] },
    forms: ['+mary-jane@example.org | VERP of mary-jane@example.org'],
  },
  { sender: 'anything-ann=example.org@list.example', settings: { verp: ['*'] }, forms: [] },
  {
    sender: 'ann+lists@example.org',
    settings: { detail: { 'example.org': '+' } },
    forms: ['+ann@example.org | detail +lists dropped'],
  },
  {
    sender: 'ann-lee+x@example.org',
    settings: { detail: { 'example.org': '+-' } },
    forms: ['+ann@example.org | detail -lee+x dropped'],
  },
  { sender: '+ann@example.org', settings: { detail: { '*': '+' } }, forms: [] },
  { sender: 'ann+lists@example.org', settings: { detail: { '*': '+', 'example.org': '' } }, forms: [] },
  {
    sender: 'ann+caf_=team=example.net@example.org',
    settings: { detail: { '*': '+' } },
    forms: ['-ann@example.org | detail +caf_=team=example.net dropped'],
  },
  {
    sender: 'ann+x@b.example',
    settings: {
      detail: { 'a.example': '+' },
      aliasDomains: { 'b.example': 'a.example', 'c.example': 'a.example' },
    },
    forms: [
      '+ann@b.example | detail +x dropped',
      '+ann+x@a.example | b.example is a.example',
      '+ann@a.example | detail +x dropped | b.example is a.example',
      '+ann+x@c.example | b.example is c.example',
      '+ann@c.example | detail +x dropped | b.example is c.example',
    ],
  },
]

describe('forms', () => {
  test.each(SAMPLES)('$sender', ({ sender, settings, forms }) => {
    expect(formsInWords(sender, { ...INITIAL_SENDERS, ...settings })).toEqual([
      `+${address(sender).text}`,
      ...forms,
    ])
  })

  test('authors have no wrappings', () => {
    expect(formsInWords('prvs=4068eb2540=ann@example.org', TRUSTING, 'author')).toEqual([
      '+prvs=4068eb2540=ann@example.org',
    ])
    expect(formsInWords('ann+x@example.org', TRUSTING, 'author')).toHaveLength(2)
    expect(formsInWords('prvs=4068eb2540=ann+x@example.org', TRUSTING, 'author')).toEqual([
      '+prvs=4068eb2540=ann+x@example.org',
      '+prvs=4068eb2540=ann@example.org | detail +x dropped',
    ])
  })

  test('however many names a domain is given, few are looked up', () => {
    const names = Array.from({ length: 100 }, (_, i) => [`a${i}.example`, 'main.example'] as const)
    const settings = { ...INITIAL_SENDERS, aliasDomains: Object.fromEntries(names) }
    expect(formsInWords('ann@main.example', settings)).toHaveLength(1 + MAX_ALIASES)
  })

  test('the names of a domain that objects inherit are no settings', () => {
    expect(formsInWords('ann+x@constructor', { ...TRUSTING, detail: { 'a.example': '+' } })).toHaveLength(1)
  })

  test('posts are counted under one name, whatever the detail, tag or domain', () => {
    const settings: SenderSettings = {
      ...INITIAL_SENDERS,
      srs: ['forward.example'],
      detail: { 'a.example': '+' },
      aliasDomains: { 'b.example': 'a.example' },
    }
    const poster = (text: string) => formsOf(address(text), settings, 'envelope').poster
    for (const text of [
      'ann@a.example',
      'Ann+x@a.example',
      'ann+y@b.example',
      'ann+caf_=z=example.org@b.example',
      'prvs=4068eb2540=ann@b.example',
      'SRS0=H=T=a.example=ann+x@forward.example',
    ]) {
      expect(poster(text)).toBe('ann@a.example')
    }
    expect(poster('SRS0=H=T=a.example=ann@elsewhere.example')).toBe(
      'srs0=h=t=a.example=ann@elsewhere.example',
    )
  })
})

const domain = fc.stringMatching(/^[a-z]{1,8}(\.[a-z]{1,8}){1,3}$/)
const localPart = fc.stringMatching(/^[a-z0-9.!#$%&'*+/?^_`{|}~=-]{1,40}$/)
const mailbox = fc.tuple(localPart, domain).map(([local, name]) => must(addressOf(local, name)))
const hash = fc.stringMatching(/^[A-Za-z0-9+/]{4}$/)
const stamp = fc.stringMatching(/^[A-Z2-7]{2}$/)
const tag = fc.stringMatching(/^\d{4}[0-9a-f]{6}$/)

/** The schemes' encoders, as their papers have them. */
const batvOf = (tagged: string, to: Address): Address =>
  must(addressOf(`prvs=${tagged}=${to.localPart}`, to.domain))
const srs0Of = (h: string, t: string, to: Address, forwarder: string): Address =>
  must(addressOf(`SRS0=${h}=${t}=${to.domain}=${to.localPart}`, forwarder))
const srs1Of = (h: string, before: Address, forwarder: string): Address =>
  must(addressOf(`SRS1=${h}=${before.domain}=${before.localPart.slice(4)}`, forwarder))

const formKeys = (from: Address, settings: SenderSettings): readonly string[] =>
  formsOf(from, settings, 'envelope').forms.map(({ form }) => form.key)

/** Addresses as hostile as they come, near the schemes. */
const piece = fc.constantFrom(
  'SRS0',
  'SRS1',
  'srs0=',
  '=',
  '==',
  '+',
  '-',
  '/',
  'prvs=',
  'btv1==',
  '0123456789',
  'a',
  '@',
  '"',
  '\\',
  ' ',
  'é',
  '.',
  'example.org',
  'bounce-',
  '-return-1-',
)
const hostile = fc
  .tuple(fc.array(piece, { minLength: 1, maxLength: 60 }), domain)
  .map(([pieces, name]) => addressOf(pieces.join(''), name))
  .filter(made => made.ok)
  .map(made => must(made))
const settings: fc.Arbitrary<SenderSettings> = fc.record({
  batv: fc.boolean(),
  srs: fc.constantFrom([], ['*'], ['.org']),
  verp: fc.constantFrom([], ['*']),
  detail: fc.constantFrom({}, { '*': '+' }, { '*': '+-_#' }),
  aliasDomains: fc.constantFrom({}, { 'a.example': 'example.org', 'b.example': 'example.org' }),
})

describe('properties of forms', () => {
  test('what BATV, SRS0 and SRS1 wrap is found again', () => {
    fc.assert(
      fc.property(mailbox, tag, hash, stamp, hash, domain, domain, (to, tagged, h, t, h2, first, second) => {
        const all = { ...TRUSTING, verp: [], detail: {} }
        const srs0 = srs0Of(h, t, to, first)
        expect(formKeys(batvOf(tagged, to), all)).toContain(to.key)
        expect(formKeys(srs0, all)).toContain(to.key)
        expect(formKeys(srs1Of(h2, srs0, second), all)).toEqual(expect.arrayContaining([srs0.key, to.key]))
        expect(formKeys(srs0Of(h, t, batvOf(tagged, to), first), all)).toContain(to.key)
      }),
    )
  })

  test('the address itself is first, forms and keys are few and once, and each key has its form', () => {
    fc.assert(
      fc.property(fc.oneof(hostile, mailbox), settings, (from, site) => {
        const found = formsOf(from, site, 'envelope')
        expect(found.forms[0]).toEqual({ form: from, steps: [], counts: 'fully' })
        expect(found.keys[0]).toBe(whoIs(from))
        expect(found.forms.length).toBeLessThanOrEqual(4 + 2 * (1 + MAX_ALIASES))
        expect(found.keys.length).toBeLessThanOrEqual(12 * found.forms.length)
        expect(new Set(found.keys).size).toBe(found.keys.length)
        expect(found.keys).toEqual(expect.arrayContaining([...found.standing, ...whoKeysOf(from)]))
        for (const key of found.keys) expect(formAt(found, key)).toBeDefined()
      }),
    )
  })

  test('each step begins where the last one ended, and what an untrusted one hides counts against only', () => {
    fc.assert(
      fc.property(hostile, settings, (from, site) => {
        for (const { form, steps, counts } of formsOf(from, site, 'envelope').forms) {
          expect([from, ...steps.map(({ to }) => to)].map(({ key }) => key)).toEqual([
            ...steps.map(step => step.from.key),
            form.key,
          ])
          if (counts === 'fully') {
            for (const { kind, from: outer } of steps) {
              if (kind === 'batv') expect(site.batv).toBe(true)
              if (kind === 'srs') expect(site.srs.includes('*') || outer.domain.endsWith('.org')).toBe(true)
              if (kind === 'verp') expect(site.verp).toEqual(['*'])
            }
          }
        }
      }),
    )
  })

  test('a form of the same mailbox has no more forms than the mailbox’s names', () => {
    fc.assert(
      fc.property(hostile, settings, (from, site) => {
        const { forms } = formsOf(from, site, 'author')
        const names = new Set(forms.map(({ form }) => form.key))
        for (const { form } of forms.filter(({ steps }) =>
          steps.some(({ kind }) => kind === 'alias-domain'),
        )) {
          const others = formsOf(form, site, 'author').forms.map(other => other.form.key)
          expect([...names]).toEqual(expect.arrayContaining(others))
        }
      }),
    )
  })

  test('an ordinary address has its own keys alone', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z0-9._]{1,30}$/), domain, settings, (local, name, site) => {
        fc.pre(!/_/.test(local) || !JSON.stringify(site.detail).includes('_'))
        fc.pre(!['a.example', 'b.example', 'example.org'].includes(name))
        const plain = must(addressOf(local, name))
        const found = formsOf(plain, site, 'envelope')
        expect([found.keys, found.standing, found.poster]).toEqual([
          whoKeysOf(plain),
          whoKeysOf(plain),
          whoIs(plain),
        ])
      }),
    )
  })

  test('takes time linear in the address', () => {
    const ofLength = (text: string, length: number): Address =>
      must(addressOf(text.repeat(length).slice(0, length), 'example.org'))
    /** The best of several rounds: what else the machine does counts for nothing. */
    const timeOf = (from: Address): number =>
      Math.min(
        ...Array.from({ length: 10 }, () => {
          const started = performance.now()
          for (let i = 0; i < 20; i++) formsOf(from, TRUSTING, 'envelope')
          return performance.now() - started
        }),
      )
    for (const text of ['=', 'SRS0=', '+', '-return-1-', 'prvs=', 'a=']) {
      const short = timeOf(ofLength(text, 15))
      // Seventeen times as long; a quadratic pattern would take three hundred times as long.
      expect(timeOf(ofLength(text, MAX_LOCAL_PART_LENGTH))).toBeLessThan(100 * short)
    }
  })
})
