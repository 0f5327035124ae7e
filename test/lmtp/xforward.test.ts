/** XFORWARD's arguments, and the client that they tell of. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { clientOf, parseXforward } from '../../src/lmtp/xforward.ts'
import { must } from '../support/vectors.ts'

describe('attributes', () => {
  test.each<[string, Record<string, string>]>([
    ['NAME=mx.example.net ADDR=192.0.2.1', { NAME: 'mx.example.net', ADDR: '192.0.2.1' }],
    ['name=x', { NAME: 'x' }],
    ['NAME=[UNAVAILABLE] ADDR=[TEMPUNAVAIL]', {}],
    ['HELO=a+20b+2Bc', { HELO: 'a b+c' }],
    ['HELO=b+C3+BCcher', { HELO: 'bücher' }],
    ['HELO=100%', { HELO: '100%' }],
    [
      'PORT=1 PROTO=ESMTP IDENT=4ABC SOURCE=REMOTE',
      { PORT: '1', PROTO: 'ESMTP', IDENT: '4ABC', SOURCE: 'REMOTE' },
    ],
  ])('%s', (text, told) => {
    expect(parseXforward(text, {})).toEqual({ ok: true, value: told })
  })

  test('a later command adds to an earlier one, and takes back', () => {
    const first = must(parseXforward('NAME=a ADDR=192.0.2.1', {}))
    expect(must(parseXforward('NAME=[UNAVAILABLE] HELO=h', first))).toEqual({ ADDR: '192.0.2.1', HELO: 'h' })
  })

  test.each([
    '',
    'NAME',
    'NAME=',
    'LOGIN=x',
    'NAME=a+b',
    'NAME=+0D+0A',
    'NAME=+00',
    'NAME=+FF',
    `NAME=${'a'.repeat(256)}`,
  ])('%j is refused', text => {
    expect(parseXforward(text, {}).ok).toBe(false)
  })

  test('no text makes the parser throw', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }).map(octets => Buffer.from(octets).toString('latin1')),
        text => {
          expect(typeof parseXforward(`NAME=${text}`, {}).ok).toBe('boolean')
        },
      ),
    )
  })
})

describe('the client', () => {
  test.each<[string, { ip?: string; name?: string; helo?: string }]>([
    ['NAME=mx.example.net ADDR=192.0.2.1 HELO=h', { ip: '192.0.2.1', name: 'mx.example.net', helo: 'h' }],
    ['ADDR=IPv6:2001:db8::1', { ip: '2001:db8::1' }],
    ['ADDR=::ffff:192.0.2.1', { ip: '192.0.2.1' }],
    ['ADDR=not-an-address NAME=unknown', {}],
    ['NAME=localhost ADDR=127.0.0.1 SOURCE=LOCAL', {}],
    ['IDENT=4ABC', {}],
  ])('%s', (text, want) => {
    const { ip, ...names } = clientOf(must(parseXforward(text, {})))
    expect({ ...names, ...(ip !== undefined && { ip: ip.text }) }).toEqual(want)
  })
})
