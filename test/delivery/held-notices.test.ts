/** Notices on the wire: what a mail server gets, and what becomes of one that it does not take. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createNoticeSender } from '../../src/delivery/held-notices.ts'
import { freePort } from '../support/ports.ts'
import { startTrap, type Trap } from '../support/trap.ts'
import { address } from '../support/vectors.ts'

const NOTICE = {
  from: 'team-owner@lists.example.org',
  to: address('ann@example.net'),
  subject: 'Your message to team@lists.example.org was not accepted',
  text: 'A moderator has not accepted your message:\n\n    Subject: Grüße\n',
  inReplyTo: '<1@example.net>',
}

let trap: Trap

beforeAll(async () => {
  trap = await startTrap({
    onRcpt: recipient => (recipient.startsWith('no@') ? '550 5.1.1 Nobody' : undefined),
  })
})

afterAll(() => trap.stop())

test('a notice is short plain text from the owners, by the null sender, and marked as automatic', async () => {
  await createNoticeSender({ mta: trap.endpoint, hostname: 'sink.example.org' })(NOTICE)
  const [sent, ...more] = trap.messages
  expect(more).toEqual([])
  expect([sent?.sender, sent?.recipients]).toEqual(['', ['ann@example.net']])
  const text = sent?.content.toString() ?? ''
  const header = text.slice(0, text.indexOf('\r\n\r\n')).split('\r\n')
  expect(header).toEqual(
    expect.arrayContaining([
      'From: team-owner@lists.example.org',
      'To: ann@example.net',
      'Subject: Your message to team@lists.example.org was not accepted',
      'Auto-Submitted: auto-replied',
      'In-Reply-To: <1@example.net>',
      'References: <1@example.net>',
      'MIME-Version: 1.0',
      'Content-Type: text/plain; charset=utf-8',
      expect.stringMatching(/^Date: /),
      expect.stringMatching(/^Message-ID: </i),
    ]),
  )
  expect(text).toContain('Subject: Gr=C3=BC=C3=9Fe')
})

test.each([
  ['a recipient that is refused', { to: address('no@example.net') }, undefined],
  ['no mail server', {}, 'none'],
])('%s is an error', async (_what, change, none) => {
  const mta =
    none === undefined ? trap.endpoint : ({ kind: 'tcp', host: '127.0.0.1', port: await freePort() } as const)
  const send = createNoticeSender({ mta, hostname: 'h' })
  await expect(send({ ...NOTICE, ...change })).rejects.toThrow()
})
