/** IP addresses, networks, and the keys under which an MTA is found. */
import { BlockList, isIP } from 'node:net'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mtaKeysOfAddress, mtaKeysOfHost, parseMtaKey } from '../../src/core/mta.ts'
import { contains, networksOf, parseIpAddress, parseNetwork } from '../../src/core/network.ts'
import { must } from '../support/vectors.ts'

describe('addresses', () => {
  test.each([
    ['192.0.2.1', '192.0.2.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['::FFFF:c000:201', '192.0.2.1'],
    ['IPv6:2001:DB8::1', '2001:db8::1'],
    ['2001:0db8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['1:0:0:2:0:0:0:3', '1:0:0:2::3'],
    ['1:0:2:3:4:5:6:7', '1:0:2:3:4:5:6:7'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ])('%s is %s', (text, canonical) => {
    expect(must(parseIpAddress(text)).text).toBe(canonical)
  })

  test.each([
    '',
    '1',
    '1.2.3',
    '127.1',
    '0x7f.0.0.1',
    '010.0.0.1',
    '256.0.0.1',
    '1.2.3.4.5',
    ' 1.2.3.4',
    ':',
    ':::',
    '1::2::3',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4:5:6:7:8::',
    '12345::',
    'fe80::1%eth0',
    '::1.2.3',
    '1.2.3.4::',
  ])('%j is none', text => {
    expect(parseIpAddress(text).ok).toBe(false)
  })

  test('every address that the platform takes is read, and the same bytes come out', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), text => {
        expect(isIP(text)).not.toBe(0)
        const address = must(parseIpAddress(text))
        const list = new BlockList()
        list.addAddress(text, isIP(text) === 4 ? 'ipv4' : 'ipv6')
        expect(list.check(address.text, address.version === 4 ? 'ipv4' : 'ipv6')).toBe(true)
        expect(must(parseIpAddress(address.text))).toEqual(address)
      }),
    )
  })
})

describe('networks', () => {
  test.each([
    ['192.0.2.0/24', '192.0.2.0/24'],
    ['192.0.2.1', '192.0.2.1'],
    ['192.0.2.1/32', '192.0.2.1'],
    ['0.0.0.0/0', '0.0.0.0/0'],
    ['2001:DB8::/32', '2001:db8::/32'],
    ['::1/128', '::1'],
  ])('%s is %s', (text, canonical) => {
    expect(must(parseNetwork(text)).text).toBe(canonical)
  })

  test.each([
    '192.0.2.1/24',
    '192.0.2.0/33',
    '192.0.2.0/',
    '192.0.2.0/-1',
    '192.0.2.0/8/8',
    '2001:db8::1/32',
    'x/8',
    '/8',
  ])('%s is none', text => {
    expect(parseNetwork(text).ok).toBe(false)
  })

  test('says what was meant when host bits are set', () => {
    expect(parseNetwork('192.0.2.1/24')).toEqual({
      ok: false,
      problem: 'the host part must be zero: did you mean 192.0.2.0/24 or 192.0.2.1',
    })
  })

  test('containment agrees with the platform', () => {
    fc.assert(
      fc.property(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }), (base, other, prefix) => {
        const list = new BlockList()
        list.addSubnet(base, prefix)
        const network = networksOf(must(parseIpAddress(base)))[32 - prefix] ?? ''
        expect(contains(must(parseNetwork(network)), must(parseIpAddress(other)))).toBe(list.check(other))
      }),
    )
  })

  test('an address is found by exactly the networks that hold it', () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), text => {
        const address = must(parseIpAddress(text))
        const networks = networksOf(address)
        expect(networks).toHaveLength(address.version === 4 ? 33 : 129)
        expect(new Set(networks).size).toBe(networks.length)
        for (const network of networks) expect(contains(must(parseNetwork(network)), address)).toBe(true)
      }),
      { numRuns: 30 },
    )
  })
})

describe('MTA entries', () => {
  test.each([
    ['192.0.2.0/24', '192.0.2.0/24'],
    ['MX.Example.NET', 'mx.example.net'],
    ['.Example.NET', '.example.net'],
    ['mx.example.net.', 'mx.example.net'],
    ['2001:DB8::', '2001:db8::'],
  ])('%s is %s', (text, key) => {
    expect(must(parseMtaKey(text))).toBe(key)
  })

  test.each(['', '.', '192.0.2', '192.0.2.1/24', '300.1.1.1', '[192.0.2.1]', 'a b', '*.example.net', 'x/24'])(
    '%j is none',
    text => {
      expect(parseMtaKey(text).ok).toBe(false)
    },
  )

  test('a host has its own key and those of its domains', () => {
    expect(mtaKeysOfHost('MX.Example.net')).toEqual([
      'mx.example.net',
      '.mx.example.net',
      '.example.net',
      '.net',
    ])
    expect(mtaKeysOfHost('[192.0.2.1]')).toEqual([])
    expect(mtaKeysOfHost(undefined)).toEqual([])
    expect(mtaKeysOfHost('not a name')).toEqual([])
    expect(mtaKeysOfAddress(undefined)).toEqual([])
  })
})
