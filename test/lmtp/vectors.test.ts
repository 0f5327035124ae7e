/**
 * The shared vectors, as an MTA would bring them to the sink: by XFORWARD, MAIL and RCPT, and a message with the authors
 * in its header. What is asked before the MTA has taken the message comes to the callout door, what is asked afterwards
 * to the delivery door. The verdict is the gate's, and the reply is what the MTA reads.
 */
import { afterEach, describe, expect, test } from 'vitest'
import type { Reason } from '../../src/core/reason.ts'
import { formatReply } from '../../src/core/reply.ts'
import { ASKED_PHASES, TREATMENTS } from '../../src/lmtp/translate.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { type Sink, startSink } from '../support/lmtp-sink.ts'
import { messageOf } from '../support/messages.ts'
import { loadVectors, putAdmissions, type Question, type Vector } from '../support/vectors.ts'

const vectors = loadVectors()

/** Phases that the sink does not ask at: its client is the site's own MTA, and at DATA nobody is to be refused. */
const NOT_ASKED = new Set(['CONNECT', 'EHLO', 'DATA'])

/** What the sink cannot be told: the MTA has always taken the message before. */
function isBeforeAcceptance({ ask }: Vector): boolean {
  return ask.phase === 'END-OF-MESSAGE' && ask.afterAcceptance !== true
}

/** What the callout door never comes to: MAIL comes before RCPT, and is refused already. */
const REFUSED_AT_MAIL: Readonly<Record<string, Reason>> = {
  'mtas: an unknown MTA is refused at RCPT as well': 'mta-unknown',
  "mtas: an unknown MTA's mail for somebody elsewhere is not ours": 'mta-unknown',
  'posting: a forbidden sender is refused at RCPT too': 'sender-forbidden',
  'posting: a forbidden sender to somebody elsewhere is not ours': 'sender-forbidden',
  'service-addresses: a service address takes mail from a forbidden sender': 'sender-forbidden',
}

const asked = vectors.filter(vector => !NOT_ASKED.has(vector.ask.phase) && !isBeforeAcceptance(vector))

let sink: Sink | undefined
let client: LmtpClient | undefined

afterEach(async () => {
  client?.destroy()
  await sink?.close()
  sink = undefined
})

function xtext(text: string): string {
  return text.replace(
    /[^!-*,-<>-~]/g,
    char => `+${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

function xforwardOf({ client: told }: Question): readonly string[] {
  const attributes = [
    ...(told?.ip === undefined ? [] : [`ADDR=${xtext(told.ip)}`]),
    ...(told?.name === undefined ? [] : [`NAME=${xtext(told.name)}`]),
    ...(told?.helo === undefined ? [] : [`HELO=${xtext(told.helo)}`]),
  ]
  return attributes.length === 0 ? [] : [`XFORWARD ${attributes.join(' ')}`]
}

/** Brings a question to the sink, and gives the last reply. */
async function bring(to: LmtpClient, question: Question): Promise<string> {
  const { phase, recipients = [], recipientsBefore = 0 } = question
  for (const line of xforwardOf(question)) await to.ask(line)
  const mail = await to.ask(
    `MAIL FROM:<${question.sender ?? ''}>${question.phase === 'RCPT' && question.size ? ` SIZE=${question.size}` : ''}`,
  )
  if (phase === 'MAIL') return mail.text
  let reply = mail
  // Recipients before this one: the same, as often as it takes.
  const all =
    phase === 'RCPT' ? new Array<string>(recipientsBefore + 1).fill(recipients[0] ?? '') : recipients
  for (const recipient of all) reply = await to.ask(`RCPT TO:<${recipient}>`)
  if (phase === 'RCPT') return reply.text
  const data = await to.ask('DATA')
  if (data.code !== 354) return data.text
  to.write(`${messageOf(question)}.\r\n`)
  return (await to.reply()).text
}

describe('vectors through LMTP', () => {
  test.each(asked.map(vector => [vector.name, vector] as const))('%s', async (name, vector) => {
    const { state, site, ask: question, expect: want } = vector
    sink = await startSink({ state, site })
    await putAdmissions(sink.store, question)
    client = await LmtpClient.greeted(question.afterAcceptance === true ? sink.address : sink.callout)
    const said = await bring(client, question)
    const atMail = REFUSED_AT_MAIL[name]
    if (atMail !== undefined) {
      expect(said).toMatch(/^503 5\.5\.1 /)
      expect(sink.decisions.map(({ tx, verdict }) => [tx.phase, verdict.reason])).toEqual([['MAIL', atMail]])
      return
    }
    const decided = sink.decisions.filter(({ tx }) => tx.phase === question.phase)
    const { verdict } =
      (question.phase === 'END-OF-MESSAGE' ? decided.at(0) : decided.at(-1)) ??
      expect.fail('nothing was decided')
    expect({ verdict: verdict.kind, reason: verdict.reason }).toEqual({
      verdict: want.verdict,
      reason: want.reason,
    })
    if (want.reply !== undefined) expect('reply' in verdict && formatReply(verdict.reply)).toBe(want.reply)
    const phase = ASKED_PHASES.find(each => each === question.phase)
    if (phase !== undefined && TREATMENTS[want.verdict][phase] === 'own-reply')
      expect(said).toBe('reply' in verdict && formatReply(verdict.reply))
  })

  test('what is left out is only what the sink cannot be asked', () => {
    const left = vectors.filter(vector => !asked.includes(vector)).map(vector => vector.ask.phase)
    expect(new Set(left)).toEqual(new Set(['CONNECT', 'EHLO', 'DATA', 'END-OF-MESSAGE']))
    expect(asked.length).toBeGreaterThan(70)
  })
})
