/** Addresses: the fixtures, the three notations of one mailbox, and properties. */
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  internalReversePath,
  MAX_LOCAL_PART_LENGTH,
  NULL_SENDER,
  parseAddress,
  parseForwardPath,
  parseInternalAddress,
  parseReversePath,
} from '../../src/core/address.ts'
import { parseWho, whoKeysOf } from '../../src/core/who.ts'
import { must } from '../support/vectors.ts'

function lines(name: string): string[] {
  return readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8')
    .split('\n')
    .filter(line => line !== '' && !line.startsWith('# '))
}

describe('paths', () => {
  test.each(lines('address-valid.txt').map(line => line.split('\t')))('valid: %s', (path, local, domain) => {
    const address = must(parseForwardPath(path ?? ''))
    expect(address.localPart).toBe(JSON.parse(local ?? ''))
    expect(address.domain).toBe(domain)
  })

  test.each(lines('address-invalid.txt').map(line => [line, JSON.parse(line) as string]))(
    'invalid: %s',
    (_, path) => {
      expect(parseForwardPath(path)).toMatchObject({ ok: false })
    },
  )

  test('limits', () => {
    const local = 'a'.repeat(MAX_LOCAL_PART_LENGTH)
    expect(parseAddress(`${local}@example.net`).ok).toBe(true)
    expect(parseAddress(`${local}a@example.net`).ok).toBe(false)
    const domain = `${'d'.repeat(63)}.`.repeat(4).slice(0, 255)
    expect(domain).toHaveLength(255)
    expect(parseAddress(`a@${domain}`).ok).toBe(true)
    expect(parseAddress(`a@x${domain}`).ok).toBe(false)
    expect(parseAddress(`a@${'d'.repeat(64)}.example`).ok).toBe(false)
    expect(parseAddress(`${'a'.repeat(1e6)}@example.net`).ok).toBe(false)
  })

  test('reverse-paths', () => {
    expect(parseReversePath('<>')).toEqual({ ok: true, value: NULL_SENDER })
    expect(must(parseReversePath('<alice@example.net>'))).toMatchObject({ key: 'alice@example.net' })
    expect(parseReversePath('').ok).toBe(false)
  })
})

describe('one mailbox in each notation', () => {
  const rows = [
    { name: 'plain', path: '<Alice@Example.NET>', internal: 'Alice@Example.NET', exim: 'Alice@Example.NET' },
    {
      name: 'a space',
      path: '<"john doe"@example.net>',
      internal: 'john doe@example.net',
      exim: '"john doe"@example.net',
    },
    { name: 'an @', path: '<"a@b"@example.net>', internal: 'a@b@example.net', exim: '"a@b"@example.net' },
    {
      name: 'a quote',
      path: '<"a\\"b\\\\c"@example.net>',
      internal: 'a"b\\c@example.net',
      exim: '"a\\"b\\\\c"@example.net',
    },
    { name: 'a route', path: '<@r.example:u@example.net>', internal: 'u@example.net', exim: 'u@example.net' },
    { name: 'a final dot', path: '<a@example.net.>', internal: 'a@example.net.', exim: 'a@example.net.' },
  ]
  test.each(rows)('$name', ({ path, internal, exim }) => {
    const { key } = must(parseForwardPath(path))
    expect(must(parseInternalAddress(internal)).key).toBe(key)
    expect(must(parseInternalAddress(exim)).key).toBe(key)
  })

  test('an MTA may hand over what is no address: it is nobody', () => {
    expect(internalReversePath('')).toBe(NULL_SENDER)
    expect(internalReversePath('nodomain')).toEqual({ kind: 'malformed-sender', text: 'nodomain' })
    expect(internalReversePath('@x')).toEqual({ kind: 'malformed-sender', text: '@x' })
    expect(internalReversePath('a\ufffd@example.net')).toMatchObject({ kind: 'malformed-sender' })
  })
})

describe('properties', () => {
  const localPart = fc
    .oneof(fc.string({ unit: 'grapheme' }), fc.stringMatching(/^[a-zA-Z.+_"\\@ <>{}-]{1,40}$/))
    .filter(text => text !== '' && text.length <= 100 && !/[\x00-\x1f\x7f\ufffd]/.test(text))
  const domain = fc.stringMatching(/^[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){0,3}\.[a-z]{2,6}$/)

  test('what is written is read back', () => {
    fc.assert(
      fc.property(localPart, domain, (local, dom) => {
        const address = parseInternalAddress(`${local}@${dom}`)
        fc.pre(address.ok)
        if (!address.ok) return
        const again = must(parseForwardPath(`<${address.value.text}>`))
        expect(again).toEqual(address.value)
        expect(must(parseAddress(again.text)).key).toBe(again.key)
      }),
    )
  })

  test('what is read the short way is read the same the long way', () => {
    const usual = fc.stringMatching(/^[a-z0-9_+=.-]{1,20}$/)
    const text = fc.stringMatching(/^[a-z0-9_-]{1,70}(\.[a-z0-9_-]{0,10}){0,3}\.[a-z0-9-]{1,6}$/)
    fc.assert(
      fc.property(usual, fc.oneof(domain, text), (local, dom) => {
        const [short, long] = [
          parseAddress(`${local}@${dom}`),
          parseAddress(`${local.toUpperCase()}@${dom}.`),
        ]
        expect(short.ok).toBe(long.ok)
        if (!short.ok || !long.ok) return
        expect(short.value.domain).toBe(long.value.domain)
        expect(short.value.key).toBe(long.value.key)
        expect(short.value.text).toBe(long.value.text.toLowerCase())
      }),
    )
  })

  test('a key is canonical: its own address has it', () => {
    fc.assert(
      fc.property(localPart, domain, (local, dom) => {
        const address = parseInternalAddress(`${local}@${dom}`)
        fc.pre(address.ok && !address.value.key.startsWith('"'))
        if (address.ok) expect(must(parseInternalAddress(address.value.key)).key).toBe(address.value.key)
      }),
    )
  })

  test('case never matters to a key', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z.+-]{1,20}$/), domain, (local, dom) => {
        const lower = must(parseInternalAddress(`${local}@${dom}`))
        expect(must(parseInternalAddress(`${local}@${dom}`.toUpperCase())).key).toBe(lower.key)
      }),
    )
  })

  test('no text makes a parser throw', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string().map(s => `<${s}>`),
        ),
        text => {
          for (const parse of [
            parseAddress,
            parseForwardPath,
            parseInternalAddress,
            parseReversePath,
            parseWho,
          ]) {
            expect(typeof parse(text).ok).toBe('boolean')
          }
          internalReversePath(text)
        },
      ),
      { numRuns: 1000 },
    )
  })
})

describe('who', () => {
  test.each([
    ['Alice@Example.NET', 'alice@example.net'],
    ['@Example.NET', '@example.net'],
    ['@.Example.NET', '@.example.net'],
    ['@BÜCHER.example', '@xn--bcher-kva.example'],
    ['"a b"@example.net', 'a b@example.net'],
  ])('%s is %s', (text, who) => {
    expect(must(parseWho(text))).toBe(who)
  })

  test.each(['', '@', '@.', 'alice', '@a b', '@-x.example', '*@example.net', '@*.example.net'])(
    '%j is nobody',
    text => {
      if (text.startsWith('*')) expect(must(parseWho(text))).toBe(text)
      else expect(parseWho(text).ok).toBe(false)
    },
  )

  test('an address is looked up by itself, its domain and those above, nearest first', () => {
    expect(whoKeysOf(must(parseAddress('Bob@a.b.Example')))).toEqual([
      'bob@a.b.example',
      '@a.b.example',
      '@.a.b.example',
      '@.b.example',
      '@.example',
    ])
    expect(whoKeysOf(must(parseAddress('bob@[192.0.2.1]')))).toEqual([
      'bob@[192.0.2.1]',
      '@[192.0.2.1]',
      '@.[192.0.2.1]',
    ])
  })

  test('a name of absurd depth is looked up a bounded number of times', () => {
    const address = must(parseAddress(`x@${'a.'.repeat(100)}example`))
    expect(whoKeysOf(address).length).toBeLessThanOrEqual(12)
    expect(whoKeysOf(address)).toContain('@.example')
  })
})
