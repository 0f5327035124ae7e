/** Endpoints as they stand in the configuration. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatEndpoint, parseEndpoint } from '../../src/app/endpoint.ts'

describe('endpoints', () => {
  test.each([
    ['127.0.0.1:10040', { kind: 'tcp', host: '127.0.0.1', port: 10040 }],
    ['localhost:0', { kind: 'tcp', host: 'localhost', port: 0 }],
    ['[::1]:25', { kind: 'tcp', host: '::1', port: 25 }],
    ['unix:/run/postern/policy', { kind: 'unix', path: '/run/postern/policy' }],
  ])('%s', (text, endpoint) => {
    expect(parseEndpoint(text)).toEqual({ ok: true, value: endpoint })
    expect(formatEndpoint(endpoint as never)).toBe(text)
  })

  test.each([
    '',
    '10040',
    ':10040',
    '127.0.0.1',
    '127.0.0.1:',
    '127.0.0.1:65536',
    '127.0.0.1:x',
    '::1:25',
    '[::1]',
    'unix:',
    `unix:/${'x'.repeat(107)}`,
    'a b:1',
  ])('%j is none', text => {
    expect(parseEndpoint(text).ok).toBe(false)
  })

  test('no text makes the parser throw, and what it takes is written back', () => {
    fc.assert(
      fc.property(fc.string(), text => {
        const endpoint = parseEndpoint(text)
        if (endpoint.ok) expect(parseEndpoint(formatEndpoint(endpoint.value))).toEqual(endpoint)
      }),
    )
  })
})
