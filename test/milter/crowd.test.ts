/** A crowd is a set of those who are there, whoever comes and goes. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Crowd } from '../../src/milter/crowd.ts'

test('those are there who have come and not gone', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20)), visits => {
      const crowd = new Crowd<{ place: number; name: number }>()
      const there = new Map<number, { place: number; name: number }>()
      for (const name of visits) {
        const one = there.get(name)
        if (one === undefined) {
          const newcomer = { place: -1, name }
          there.set(name, newcomer)
          crowd.add(newcomer)
        } else {
          there.delete(name)
          crowd.delete(one)
        }
        expect(crowd.size).toBe(there.size)
        expect(new Set(crowd)).toEqual(new Set(there.values()))
      }
    }),
  )
})
