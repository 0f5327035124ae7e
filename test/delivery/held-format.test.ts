/** The file of a held message, and the names in the queue: what is written is what is read. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { CLAIM_PURPOSES, type HeldPost } from '../../src/app/held.ts'
import { internalReversePath, NULL_SENDER, parseAddress } from '../../src/core/address.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { REASONS } from '../../src/core/reason.ts'
import { formatHead, MAX_FIRST_LINE, parseFirstLine, parseMetadata } from '../../src/delivery/held-format.ts'
import { formatHeldName, idMaker, parseHeldName, readId, timeOf } from '../../src/delivery/held-names.ts'

const localParts = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 })
const addresses = localParts
  .map(local => parseAddress(`${JSON.stringify(local)}@example.net`))
  .filter(result => result.ok)
  .map(({ value }) => value)
const senders = fc.oneof(
  addresses,
  fc.constant(NULL_SENDER),
  fc.string({ unit: 'binary', minLength: 1 }).map(internalReversePath),
)
const texts = fc.string({ unit: 'binary', maxLength: 50 })
const numbers = fc.nat({ max: 2 ** 40 })
const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: undefined })

const posts: fc.Arbitrary<HeldPost> = fc
  .record({
    sender: senders,
    recipient: addresses,
    service: optional(fc.constantFrom('owner', 'bounces')),
    reason: fc.constantFrom(...REASONS),
    inPlaceOf: optional(fc.constantFrom(...REASONS)),
    returnPath: fc.constantFrom('authenticated', 'admitted', 'unproven'),
    ip: optional(fc.constantFrom('192.0.2.1', '2001:db8::1')),
    helo: optional(texts),
    user: optional(texts),
    mta: optional(fc.record({ name: texts })),
    text: texts,
    authors: fc.array(addresses, { maxLength: 3 }),
    number: numbers,
    truth: fc.boolean(),
  })
  .map(made => {
    const ip = made.ip === undefined ? undefined : parseIpAddress(made.ip)
    return {
      envelope: {
        sender: made.sender,
        client: {
          ...(ip?.ok === true && { ip: ip.value }),
          ...(made.helo !== undefined && { helo: made.helo }),
          ...(made.user !== undefined && { user: made.user }),
        },
        id: made.text,
        receivedAt: made.number,
        smtputf8: made.truth,
        ...(made.mta !== undefined && { mta: made.mta }),
      },
      to: { recipient: made.recipient, list: made.recipient.key, service: made.service },
      grounds: {
        reason: made.reason,
        rule: made.text,
        ...(made.inPlaceOf !== undefined && { inPlaceOf: made.inPlaceOf }),
        returnPath: made.returnPath,
      },
      heldAt: made.number,
      size: made.number,
      summary: {
        subject: made.text,
        author: made.text,
        authors: made.authors,
        messageId: '',
        automatic: made.truth,
      },
    } as const
  })

function readBack(file: Buffer): HeldPost | string {
  const first = parseFirstLine(file)
  if (!first.ok) return first.problem
  const { from, length } = first.value
  const post = parseMetadata(file.subarray(from, from + length))
  return post.ok ? post.value : post.problem
}

describe('the file', () => {
  test('says again what was said of a message', () => {
    fc.assert(
      fc.property(posts, post => {
        const head = formatHead(post)
        expect(readBack(head)).toEqual(post)
        // Lone surrogates have no UTF-8; nothing else may be lost.
        expect(head.subarray(0, MAX_FIRST_LINE).toString('latin1')).toMatch(/^postern-held 1 \d+\n/)
        expect(head.at(-1)).toBe(10)
      }),
    )
  })

  test('that is damaged anywhere is a problem, or another message, and never an exception', () => {
    fc.assert(
      fc.property(posts, fc.nat(), fc.nat({ max: 255 }), fc.boolean(), (post, at, octet, cut) => {
        const head = formatHead(post)
        const place = at % head.length
        const damaged = cut ? head.subarray(0, place) : Buffer.from(head)
        if (!cut) damaged[place] = octet
        expect(['string', 'object']).toContain(typeof readBack(damaged))
      }),
    )
  })

  test.each([
    ['', 'it does not begin as the file of a held message'],
    ['postern-held 2 5\n', 'it does not begin as the file of a held message'],
    ['postern-held 1 999999\n', 'what is said of it is too long'],
    ['postern-held 1 2\n[]\n', 'what is said of it is no object'],
    ['postern-held 1 2\n{}\n', /is missing or of the wrong kind$/],
    ['postern-held 1 2\n{"\n', 'what is said of it cannot be read'],
    ['postern-held 1 2\n\xff\xff\n', 'what is said of it cannot be read'],
  ])('%j is a problem', (text, want) => {
    const got = readBack(Buffer.from(text, 'latin1'))
    expect(got).toEqual(typeof want === 'string' ? want : expect.stringMatching(want))
  })
})

describe('names', () => {
  test('are read as they were written', () => {
    const newId = idMaker(() => 1_790_000_000_123)
    const owners = fc.constant('123-456-0123abcd')
    fc.assert(
      fc.property(
        numbers,
        fc.constantFrom(...CLAIM_PURPOSES),
        owners,
        fc.boolean(),
        (size, state, owner, noted) => {
          const id = newId()
          const claimed = { id, size, state, owner, noted }
          expect(parseHeldName(formatHeldName(claimed))).toEqual(claimed)
          const waiting = { id, size, state: 'waiting', owner: undefined, noted: false } as const
          expect(parseHeldName(formatHeldName(waiting))).toEqual(waiting)
        },
      ),
    )
  })

  test('tell the time, and sort by it', () => {
    let now = 1_790_000_000_000
    const newId = idMaker(() => now)
    const first = newId()
    expect(timeOf(first)).toBe(1_790_000_000_000)
    now += 1000
    expect(newId() > first).toBe(true)
  })

  test('a hundred thousand of one second are all different', () => {
    const newId = idMaker(() => 0)
    expect(new Set(Array.from({ length: 100_000 }, newId)).size).toBe(100_000)
  })

  test.each([
    ['1JY9K2M0000', '1jy9k2m0000'],
    ['ljy9k2moooo', '1jy9k2m0000'],
  ])('%s is typed for %s', (typed, id) => {
    expect(readId(typed)).toBe(id)
  })

  test.each([
    '',
    'x',
    '.hidden',
    '1jy9k2m0000',
    '1jy9k2m0000,S=',
    '1jy9k2m0000,S=1,accept=',
    '1jy9k2m0000,S=1,noted',
  ])('%j is no message', name => {
    expect(parseHeldName(name)).toBeUndefined()
  })
})
