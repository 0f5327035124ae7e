import { expect, test } from 'vitest'
import { lately } from '../../src/web/lately.ts'

test('a value is found once for all who ask, and again when it is too old', async () => {
  let now = 0
  let found = 0
  const value = lately(
    async () => ++found,
    1000,
    () => now,
  )
  expect(await Promise.all([value(), value()])).toEqual([1, 1])
  now = 999
  expect(await value()).toBe(1)
  now = 1000
  expect(await value()).toBe(2)
})

test('what fails is not kept', async () => {
  let isBroken = true
  const value = lately(
    async () => {
      if (isBroken) throw new Error('broken')
      return 'found'
    },
    1000,
    () => 0,
  )
  await expect(value()).rejects.toThrow('broken')
  isBroken = false
  expect(await value()).toBe('found')
})
