/** The negotiation: what is asked for was offered, what is needed is granted, and what is missed is said. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { agree, encodeAgreement, SMFIF, SMFIP, type Wishes } from '../../src/milter/negotiate.ts'
import { FULL_OFFER, ResponseReader } from './mta-wire.ts'

const WISHES: Wishes = { needed: [['DELRCPT', 'drop a post']], bodies: true }

const wishes = fc.record({
  needed: fc.subarray([
    ['DELRCPT', 'drop'] as const,
    ['ADDHDRS', 'trace'] as const,
    ['QUARANTINE', 'hold'] as const,
  ]),
  bodies: fc.boolean(),
})
const offers = fc.record({
  version: fc.nat(9),
  actions: fc.oneof(fc.nat(0x1ff), fc.nat(0xffffffff)),
  protocol: fc.oneof(fc.nat(0x1fffff), fc.nat(0xffffffff)),
})

describe('agreeing', () => {
  test('nothing is asked for that was not offered, and everything needed is granted', () => {
    fc.assert(
      fc.property(offers, wishes, (offer, wanted) => {
        const result = agree(offer, wanted)
        const actions = offer.actions === 0 ? 0x0f : offer.actions
        const protocol = offer.protocol === 0 ? 0x3f : offer.protocol
        const possible = offer.version >= 2 && wanted.needed.every(([name]) => (actions & SMFIF[name]) !== 0)
        expect(result.ok).toBe(possible)
        if (!result.ok) return
        const agreed = result.value
        expect(agreed.version).toBe(Math.min(offer.version, 6))
        expect(agreed.actions & ~actions).toBe(0)
        expect(agreed.protocol & ~protocol).toBe(0)
        for (const [name] of wanted.needed) expect(agreed.actions & SMFIF[name]).toBe(SMFIF[name])
        // What is never wanted: to miss an event that is judged, or to leave one unanswered that is waited for.
        const never =
          SMFIP.NOCONNECT |
          SMFIP.NOHELO |
          SMFIP.NOMAIL |
          SMFIP.NORCPT |
          SMFIP.NODATA |
          SMFIP.NOHDRS |
          SMFIP.NOEOH |
          SMFIP.NR_CONN |
          SMFIP.NR_HELO |
          SMFIP.NR_MAIL |
          SMFIP.NR_RCPT |
          SMFIP.NR_DATA |
          SMFIP.NR_EOH
        expect(agreed.protocol & never).toBe(0)
        const written = new ResponseReader().push(encodeAgreement(agreed))
        expect(written).toHaveLength(1)
        expect(written[0]).toMatch(
          (agreed.actions & SMFIF.SETSYMLIST) === 0 ? /^[^|]*$/ : / \| 3 i \{rcpt_mailer\}/,
        )
      }),
    )
  })

  test.each<[string, Partial<typeof FULL_OFFER>, Wishes, object]>([
    [
      'all of it',
      {},
      WISHES,
      {
        version: 6,
        actions: 0x108,
        answers: { header: false, body: false, unknownCommand: false },
        missed: [],
      },
    ],
    [
      'no bodies wanted',
      {},
      { ...WISHES, bodies: false },
      {
        protocol: SMFIP.NOBODY | SMFIP.NR_HDR | SMFIP.NR_UNKN | SMFIP.NOUNKNOWN | SMFIP.RCPT_REJ,
        missed: [],
      },
    ],
    [
      'nothing offered, of version 2',
      { version: 2, actions: 0, protocol: 0 } as object,
      WISHES,
      {
        version: 2,
        actions: 8,
        protocol: 0,
        answers: { header: true, body: true, unknownCommand: true },
        missed: ['SMFIP_NR_HDR', 'SMFIP_NR_BODY', 'SMFIP_RCPT_REJ', 'SMFIF_SETSYMLIST'],
      },
    ],
  ])('%s', (_, offer, wanted, want) => {
    expect(agree({ ...FULL_OFFER, ...offer }, wanted)).toMatchObject({ ok: true, value: want })
  })
})
