/** One message to several lists, judged by what it says: each recipient has its own reply and its own fate. */
import { afterEach, expect, test } from 'vitest'
import { LmtpClient } from '../support/lmtp-client.ts'
import { type Sink, startSink } from '../support/lmtp-sink.ts'

let sink: Sink | undefined
afterEach(async () => {
  await sink?.close()
})

const LIST_DOMAIN = 'lists.example.org'
const open = { nonmember_action: 'accept' }

test('each list does its own', async () => {
  sink = await startSink({
    state: {
      postern: 1,
      domains: [{ domain: LIST_DOMAIN }],
      lists: [
        { address: `refuses@${LIST_DOMAIN}`, settings: { ...open, header_rules: 'reject Subject: ^spam' } },
        { address: `holds@${LIST_DOMAIN}`, settings: { ...open, header_rules: 'hold Subject: ^spam' } },
        { address: `drops@${LIST_DOMAIN}`, settings: { ...open, header_rules: 'discard Subject: ^spam' } },
        {
          address: `text@${LIST_DOMAIN}`,
          settings: { ...open, accepted_parts: 'text/plain', parts_action: 'hold' },
        },
        { address: `accepts@${LIST_DOMAIN}`, settings: open },
        {
          address: `quiet@${LIST_DOMAIN}`,
          settings: { nonmember_action: 'discard', header_rules: 'hold Subject: .' },
        },
      ],
    },
  })
  const client = await LmtpClient.greeted(sink.address)
  await client.ask('MAIL FROM:<eve@example.com>')
  const names = ['refuses', 'holds', 'drops', 'text', 'accepts', 'quiet', 'holds-owner']
  for (const name of names) expect((await client.ask(`RCPT TO:<${name}@${LIST_DOMAIN}>`)).code).toBe(250)
  await client.ask('DATA')
  client.write('From: eve@example.com\r\nSubject: spam\r\nContent-Type: text/html\r\n\r\n<p>\r\n.\r\n')
  const replies: string[] = []
  for (const _ of names) replies.push((await client.reply()).text)
  client.destroy()
  expect(replies.every(reply => reply.startsWith('250 2.0.0 '))).toBe(true)
  const ends = sink.decisions.filter(({ tx }) => tx.phase === 'END-OF-MESSAGE')
  expect(ends.map(({ verdict: { kind, reason } }) => `${kind} ${reason}`)).toEqual([
    'hold late-refusal-held',
    'hold header-rule',
    'discard header-rule',
    'hold part-not-permitted',
    'accept nothing-to-object',
    'hold header-rule',
    'accept service-address',
  ])
  expect(ends.every(({ tx }) => tx.phase === 'END-OF-MESSAGE' && tx.lists === 6)).toBe(true)
  // What RCPT drops waits for nobody.
  expect(sink.copies.map(({ recipient, disposition }) => `${recipient.localPart} ${disposition}`)).toEqual([
    'refuses hold',
    'holds hold',
    'text hold',
    'accepts deliver',
    'holds-owner deliver',
  ])
})
