import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hostOf, objectionTo, type RequestLine, SECURITY_HEADERS } from '../../src/web/guard.ts'

describe('the host of a Host field', () => {
  test.each<[string, string | undefined]>([
    ['localhost', 'localhost'],
    ['LocalHost:10045', 'localhost'],
    ['127.0.0.1:10045', '127.0.0.1'],
    ['[::1]:10045', '::1'],
    ['[::1]', '::1'],
    ['gate.example.org', 'gate.example.org'],
    ['', undefined],
    ['::1', undefined],
    ['[127.0.0.1]', undefined],
    ['[::1', undefined],
    ['localhost:', undefined],
    ['localhost:123456', undefined],
    ['localhost, evil.example', undefined],
    ['localhost/evil', undefined],
    ['user@localhost', undefined],
    ['localhost\t', undefined],
    ['lоcalhost', undefined],
  ])('%j is %j', (field, host) => {
    expect(hostOf(field)).toBe(host)
  })

  test('has no sign that means something in a URL', () => {
    fc.assert(
      fc.property(fc.string(), field => {
        const host = hostOf(field)
        return host === undefined || /^[0-9a-z._-]+$|^[0-9A-Fa-f:.]+$/.test(host)
      }),
    )
  })
})

describe('requests', () => {
  const good: RequestLine = {
    method: 'GET',
    target: '/metrics',
    httpVersion: '1.1',
    hosts: ['localhost'],
    hasBody: false,
  }
  test.each<[string, Partial<RequestLine>, number | undefined]>([
    ['as they should be', {}, undefined],
    ['HEAD', { method: 'HEAD' }, undefined],
    ['by an address', { hosts: ['192.0.2.1:80'] }, undefined],
    ['by an IPv6 address', { hosts: ['[2001:db8::1]:80'] }, undefined],
    ['by a name that it was given', { hosts: ['Gate.Example.Org:80'] }, undefined],
    ['by a health check of HTTP/1.0', { httpVersion: '1.0', hosts: [] }, undefined],
    ['by another name', { hosts: ['evil.example'] }, 421],
    ['by a name below its own', { hosts: ['x.gate.example.org'] }, 421],
    ['by a name that ends like localhost', { hosts: ['evil.localhost'] }, 421],
    ['by a name that only looks like an address', { hosts: ['127.0.0.1.example'] }, 421],
    ['by an address that only some take for one', { hosts: ['0x7f.1'] }, 421],
    ['without a host', { hosts: [] }, 400],
    ['with two hosts', { hosts: ['localhost', 'localhost'] }, 400],
    ['with a host that makes no sense', { hosts: ['a b'] }, 400],
    ['POST', { method: 'POST' }, 405],
    ['OPTIONS', { method: 'OPTIONS' }, 405],
    ['a method in small letters', { method: 'get' }, 405],
    ['of another version', { httpVersion: '2.0' }, 400],
    ['to a proxy', { target: 'http://localhost/metrics' }, 400],
    ['about the server', { target: '*' }, 400],
    ['with a body', { hasBody: true }, 400],
  ])('%s', (_, request, status) => {
    expect(objectionTo({ ...good, ...request }, ['gate.example.org'])?.status).toBe(status)
  })
})

test('nothing is allowed to a page that does not say so', () => {
  expect(SECURITY_HEADERS['Content-Security-Policy']).toMatch(/^default-src 'none';/)
  expect(SECURITY_HEADERS['X-Content-Type-Options']).toBe('nosniff')
})
