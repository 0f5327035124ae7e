/** Key names: one hash tag for each list, and no two lists or senders that share a key. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { ListAddress } from '../../src/core/transaction.ts'
import type { Who } from '../../src/core/who.ts'
import { DEFAULT_KEY_PREFIX, Keys, type ListKeys, parseKeyPrefix } from '../../src/store/keys.ts'

/** What Redis Cluster hashes (Redis Cluster specification, «Hash tags»). */
function hashTag(key: string): string {
  const open = key.indexOf('{')
  const close = open === -1 ? -1 : key.indexOf('}', open + 1)
  return close > open + 1 ? key.slice(open + 1, close) : key
}

const keys = new Keys()
const listOf = (text: string): ListKeys => keys.list(text as ListAddress)
const sender = 'a{b}c@example.net' as Who

function all(list: ListKeys): readonly string[] {
  const { list: settings, people, bans, posts } = list
  return [settings, people, bans, posts, list.postsOf(sender), list.stagedPeople('1'), list.stagedBans('1')]
}

const braced = fc.string({
  unit: fc.constantFrom('{', '}', '%', '7', 'B', 'D', 'a', ':', '@', ' '),
  maxLength: 8,
})

describe('keys', () => {
  test('of a list', () => {
    expect(all(listOf('team@lists.example.org'))).toEqual([
      'postern:{team@lists.example.org}:list',
      'postern:{team@lists.example.org}:people',
      'postern:{team@lists.example.org}:bans',
      'postern:{team@lists.example.org}:posts',
      'postern:{team@lists.example.org}:posts:a{b}c@example.net',
      'postern:{team@lists.example.org}:people:staging:1',
      'postern:{team@lists.example.org}:bans:staging:1',
    ])
  })

  test('of the site', () => {
    expect(keys.site).toEqual({
      tag: 'site',
      schema: 'postern:{site}:schema',
      domains: 'postern:{site}:domains',
      lists: 'postern:{site}:lists',
      bans: 'postern:{site}:bans',
      forbidden: 'postern:{site}:forbidden',
      mtas: { known: 'postern:{site}:mtas:known', refused: 'postern:{site}:mtas:refused' },
    })
  })

  test.each([
    ['{', '%7B@x.example'],
    ['}', '%7D@x.example'],
    ['{}', '%7B%7D@x.example'],
    ['a}b{', 'a%7Db%7B@x.example'],
    ['100%', '100%25@x.example'],
    ['%7B', '%257B@x.example'],
  ])('of a list whose local part is %s', (local, tag) => {
    const list = listOf(`${local}@x.example`)
    expect(list.tag).toBe(tag)
    expect(list.list).toBe(`postern:{${tag}}:list`)
  })

  test('of one list share a hash tag, which is no other list’s and not the site’s', () => {
    fc.assert(
      fc.property(braced, braced, fc.constantFrom('', 'postern:', 'a:b:'), (one, other, prefix) => {
        const under = new Keys(prefix)
        const [first, second] = [one, other].map(local => under.list(`${local}@x.example` as ListAddress))
        for (const key of all(first!)) expect(hashTag(key)).toBe(first!.tag)
        expect(first!.tag === second!.tag).toBe(one === other)
        expect(first!.tag).not.toBe(hashTag(under.site.lists))
      }),
    )
  })

  test('no two kinds of key meet', () => {
    fc.assert(
      fc.property(braced, braced, (local, name) => {
        const list = listOf(`${local}@x.example`)
        const person = `${name}@x.example` as Who
        const names = [...all(list), list.postsOf(person), ...Object.values(keys.site).map(String)]
        expect(new Set(names).size).toBe(names.length - (person === sender ? 1 : 0))
      }),
    )
  })

  test('have a prefix without braces', () => {
    expect(new Keys('').site.schema).toBe('{site}:schema')
    expect(parseKeyPrefix(DEFAULT_KEY_PREFIX).ok).toBe(true)
    for (const prefix of ['{', 'a}', '{x}:']) {
      expect(parseKeyPrefix(prefix).ok).toBe(false)
      expect(() => new Keys(prefix)).toThrow(RangeError)
    }
  })
})
