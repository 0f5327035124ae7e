/** Listings in order: sorted, each key once, whatever the store's order and however little is held. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { inOrder, keysInOrder } from '../../src/app/administration/in-order.ts'

interface Entry {
  readonly key: string
  readonly rest: string
}

const CODEC = {
  key: (entry: Entry) => entry.key,
  write: (entry: Entry) => entry.rest,
  read: (key: string, rest: string): Entry => ({ key, rest }),
}

async function* listed<T>(entries: readonly T[]): AsyncGenerator<T> {
  yield* entries
}

async function all<T>(entries: AsyncIterable<T>): Promise<readonly T[]> {
  const found: T[] = []
  for await (const entry of entries) found.push(entry)
  return found
}

const key = fc.string({ minLength: 1, maxLength: 3 }).filter(text => !text.includes('\u0000'))

describe('in order', () => {
  test('any entries, in any order, any number held', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ key, rest: fc.string({ maxLength: 4 }) }), { maxLength: 60 }),
        fc.integer({ min: 1, max: 70 }),
        async (entries, held) => {
          const found = await all(inOrder(() => listed(entries), CODEC, held))
          const keys = [...new Set(entries.map(entry => entry.key))].sort()
          expect(found.map(entry => entry.key)).toEqual(keys)
          for (const entry of found) expect(entries).toContainEqual(entry)
        },
      ),
    )
  })

  test('what fits is read once, what does not is read again', async () => {
    const entries = Array.from({ length: 100 }, (_, i) => ({ key: String(i), rest: '' }))
    const reads = async (held: number): Promise<number> => {
      let count = 0
      const list = (): AsyncIterable<Entry> => {
        count++
        return listed(entries)
      }
      expect(await all(inOrder(list, CODEC, held))).toHaveLength(100)
      return count
    }
    expect(await reads(100)).toBe(1)
    expect(await reads(51)).toBe(1)
    expect(await reads(50)).toBe(2)
    expect(await reads(10)).toBe(10)
  })

  test('an entry that a store lists twice is given once', async () => {
    expect(await all(keysInOrder(() => listed(['b', 'a', 'b'])))).toEqual(['a', 'b'])
  })

  test('by code units, the same everywhere', async () => {
    expect(await all(keysInOrder(() => listed(['ä', 'b', 'B', '@z', 'a'])))).toEqual([
      '@z',
      'B',
      'a',
      'b',
      'ä',
    ])
  })
})
