/** A real Sendmail and decisions that take their time: it bears signs of life at the end of a message only. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Gate } from '../../src/app/gate.ts'
import type { Phase } from '../../src/core/transaction.ts'
import { leaveOut } from '../support/parts.ts'
import { whyNoSendmail } from '../support/sendmail.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { SendmailSite } from './sendmail-site.ts'
import { gateOf } from './world.ts'

const OK = expect.stringMatching(/^250 /)
const leftOut = leaveOut('slow decisions with Sendmail', whyNoSendmail()) !== undefined

describe.skipIf(leftOut)('Sendmail and slow decisions', () => {
  let site: SendmailSite
  let milter: RunningMilter
  /** How long the gate takes, in milliseconds. */
  let slowness: (phase: Phase) => number = () => 0

  beforeAll(async () => {
    // R: is the longest silence of the milter that Sendmail bears, in its coarse count of seconds.
    site = await SendmailSite.start('unix', { 'R:30s': 'R:2s' })
    if (site.milter.kind !== 'unix') throw new Error('not a unix socket')
    const inner = await gateOf('lists')
    const gate: Pick<Gate, 'ask'> = {
      ask: async (tx, asking) => {
        await new Promise(resolve => setTimeout(resolve, slowness(tx.phase)))
        return inner.ask(tx, asking)
      },
    }
    milter = await startMilter('unix', { path: site.milter.path, gate, limits: { progressInterval: 20 } })
  })

  afterAll(async () => {
    await site?.stop()
    await milter?.stop()
  })

  afterEach(async () => {
    expect(await site.settled()).toEqual([])
    expect(milter.lines).toEqual([])
  })

  test('every phase is waited for', async () => {
    slowness = () => 150
    const smtp = await site.client()
    expect(
      await smtp.dialogue(
        'MAIL FROM:<eve@example.com>',
        'RCPT TO:<team@lists.example.org>',
        'RSET',
        'MAIL FROM:<>',
        'RCPT TO:<team@lists.example.org>',
        'DATA',
      ),
    ).toEqual([
      OK,
      '550 5.7.2 <team@lists.example.org>... You are not permitted to post to team@lists.example.org',
      OK,
      OK,
      OK,
      '550 5.7.2 The null sender may not post to a list, and every recipient is one',
    ])
    for (const [from, reply] of [
      ['eve@example.com', '550 5.7.2 You are not permitted to post to author@lists.example.org'],
      ['alice@example.net', expect.stringMatching(/^250 2\.0\.0 /)],
    ]) {
      await smtp.dialogue('RSET', 'MAIL FROM:<bounce@esp.example>', 'RCPT TO:<author@lists.example.org>')
      expect(await smtp.data(`From: ${from}\r\n\r\nhi\r\n`)).toEqual(reply)
    }
    expect((await site.delivered()).map(([folder]) => folder)).toEqual(['author'])
  })

  test('at the end of a message signs of life count for longer than one silence', async () => {
    // The first question is asked at the end of the header, where Sendmail bears none; the second when the size is counted.
    let asked = 0
    slowness = phase => (phase === 'END-OF-MESSAGE' && ++asked > 1 ? 3_500 : 0)
    const smtp = await site.client()
    expect(await smtp.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')).toEqual([
      OK,
      OK,
    ])
    expect(await smtp.data('Subject: x\r\n\r\nhi\r\n')).toEqual(OK)
    expect(asked).toBe(2)
    expect((await site.delivered()).map(([folder]) => folder)).toEqual(['team'])
  })
})
