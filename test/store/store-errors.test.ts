/** What is said of an error that a driver threw, and what is not. */
import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { StoreUnavailable } from '../../src/app/ports.ts'
import { messageOf, StoredDataError, schemaError, unavailable } from '../../src/store/store-errors.ts'

describe('store errors', () => {
  test.each([
    ['an error', new Error('it broke'), 'it broke'],
    ['its first line', new Error('it broke\nat some length'), 'it broke'],
    ['a name with two addresses', new AggregateError([new Error('one'), new Error('two')], ''), 'one; two'],
    [
      'an aggregate with words of its own',
      new AggregateError([new Error('one')], 'all of them'),
      'all of them',
    ],
    ['something else', 'thrown', 'thrown'],
    ['nothing', new Error(''), 'unknown error'],
  ])('say of %s what it says', (_, error, message) => {
    expect(messageOf(error)).toBe(message)
    expect(unavailable('the store', error).message).toBe(`the store: ${message}`)
  })

  test('keep the cause, without what the driver hung on it', () => {
    const error = Object.assign(new Error('WRONGPASS'), {
      command: { name: 'auth', args: ['sesame'] },
      cause: new Error('sesame'),
    })
    const shown = inspect(unavailable('redis', error), { depth: 9, showHidden: true })
    expect(shown).toContain('WRONGPASS')
    expect(shown).not.toContain('sesame')
  })

  test('pass on what is ours', () => {
    const away = new StoreUnavailable('away')
    expect(unavailable('redis', away)).toBe(away)
    for (const ours of [new StoredDataError('nonsense'), schemaError('2')]) {
      expect(unavailable('redis', ours).cause).toBe(ours)
    }
  })

  test('quote a wrong version, and not at length', () => {
    expect(schemaError('x'.repeat(1000)).message.length).toBeLessThan(150)
    expect(schemaError('9').message).toMatch(/too old/)
    expect(schemaError('-1').message).toMatch(/is "-1"/)
  })
})
