/** What `F=` in the page for Sendmail does while there is no milter, and how Sendmail shows a refusal at CONNECT. */
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { leaveOut } from '../support/parts.ts'
import { whyNoSendmail } from '../support/sendmail.ts'
import { putState } from '../support/vectors.ts'
import { startMilter } from './milter-server.ts'
import { REFUSED_MTA, SendmailSite } from './sendmail-site.ts'
import { gateOver, storeOf } from './world.ts'

const leftOut = leaveOut("Sendmail's flags", whyNoSendmail()) !== undefined
const onServer = test.skipIf(leftOut)

test('docs/sendmail.md shows postern.m4 as it is', () => {
  const root = new URL('../../', import.meta.url)
  const page = readFileSync(new URL('docs/sendmail.md', root), 'utf8')
  const shown = /<!-- postern\.m4 -->\n([\s\S]*?)\n<!-- \/postern\.m4 -->/.exec(page)?.[1] ?? ''
  const lines = readFileSync(new URL('sendmail/postern.m4', root), 'utf8').trimEnd().split('\n')
  expect(shown.split('\n')).toEqual(
    lines.map((line, index) => `${String(index + 1).padStart(6)}  ${line}`.trimEnd()),
  )
})

onServer.each([
  ['F=T, ', /^220 /, '451 4.3.2 Please try again later'],
  ['F=4, ', '421 4.7.0 mx.example.org closing connection', undefined],
  ['F=R, ', '554 mx.example.org ESMTP not accepting messages', '550 5.0.0 Command rejected'],
  ['', /^220 /, '250 2.1.0 <eve@example.com>... Sender ok'],
])('with "%s" and no milter', async (flags, greeting, atMail) => {
  const site = await SendmailSite.start('unix', { 'F=T, ': flags })
  try {
    const smtp = await site.stranger()
    expect(smtp.greeting).toMatch(greeting)
    if (atMail === undefined) return await smtp.closed()
    expect(await smtp.command('EHLO client.example')).toMatch(/^250-/)
    expect(await smtp.command('MAIL FROM:<eve@example.com>')).toBe(atMail)
  } finally {
    await site.stop()
  }
})

onServer('a host that is refused at CONNECT hears of it in the greeting, in other words', async () => {
  const site = await SendmailSite.start('unix')
  if (site.milter.kind !== 'unix') throw new Error('not a unix socket')
  const store = await storeOf('lists')
  await putState(store, { postern: 1, mtas: { refused: [REFUSED_MTA] } })
  const gate = gateOver(store, { site: { refuseMtasAt: 'CONNECT' } })
  const milter = await startMilter('unix', { path: site.milter.path, gate })
  try {
    const smtp = await site.stranger(REFUSED_MTA)
    expect(smtp.greeting).toBe('554 mx.example.org ESMTP not accepting messages')
    expect(await smtp.dialogue('EHLO x.example', 'MAIL FROM:<alice@example.net>', 'QUIT')).toEqual([
      `250-mx.example.org Hello [${REFUSED_MTA}], pleased to meet you\n250 ENHANCEDSTATUSCODES`,
      '550 5.0.0 Command rejected',
      expect.stringMatching(/^221 /),
    ])
    expect(milter.lines).toEqual([])
  } finally {
    await site.stop()
    await milter.stop()
  }
})
