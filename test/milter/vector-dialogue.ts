/** A vector as an MTA's dialogue with the milter, whatever its engine, and what must come of it. */
import { expect } from 'vitest'
import type { Decided } from '../../src/app/gate.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import { partedMessageOf } from '../support/messages.ts'
import { address, type Question, type Vector } from '../support/vectors.ts'
import type { MtaClient } from './mta-client.ts'
import { type Answer, command } from './mta-wire.ts'

/** Octets of a body that are sent at once. */
const PIECE = 4099

/** Lists that let the senders of vectors in that go to several lists. */
const OTHER_LISTS = ['plain@lists.example.org', 'lax@lists.example.org']

const path = (text: string | undefined): string => (text ? `<${address(text).text}>` : '<>')

/**
 * Speaks up to the phase of the question; the answer to the command that asks it. An engine may answer to bodies, which the
 * negotiation tells.
 */
export async function ask(
  client: MtaClient,
  question: Question,
  answersBodies = false,
): Promise<readonly Answer[]> {
  const { ip, name, helo } = question.client ?? {}
  const family = ip === undefined ? 'U' : ip.includes(':') ? '6' : '4'
  const connected = await client.ask(command.connect(name ?? `[${ip ?? ''}]`, ip, family))
  if (question.phase === 'CONNECT') return connected
  if (question.phase === 'EHLO' || helo !== undefined) {
    const greeted = await client.ask(command.helo(helo ?? ''))
    if (question.phase === 'EHLO') return greeted
  }
  // A size that is only counted must not be declared: it would be judged at RCPT.
  const declared = question.phase === 'RCPT' && question.size !== undefined ? [`SIZE=${question.size}`] : []
  const sent = await client.ask(command.mail(path(question.sender), ...declared))
  if (question.phase === 'MAIL') return sent
  for (let i = 0; i < (question.recipientsBefore ?? 0); i++) {
    await client.ask(command.rcpt(`<other${i}@elsewhere.example>`))
  }
  // Other lists of a message that goes to several.
  for (const other of OTHER_LISTS.slice(0, (question.lists ?? 1) - 1))
    await client.ask(command.rcpt(path(other)))
  let answered: readonly Answer[] = []
  for (const recipient of question.recipients ?? [])
    answered = await client.ask(command.rcpt(path(recipient)))
  if (question.phase === 'RCPT') return answered
  if (question.phase === 'DATA') return client.ask(command.data())
  const { header, body } = partedMessageOf(question)
  for (const line of header) {
    const colon = line.indexOf(':')
    const value = line
      .slice(colon + 1)
      .trimStart()
      .replaceAll('\r\n', '\n')
    client.send(command.header(line.slice(0, colon), value))
  }
  const headed = await client.ask(command.endOfHeaders())
  if (headed[0] !== 'c') return headed
  // In pieces that end anywhere.
  for (let at = 0; at < body.length; at += PIECE) {
    client.send(command.body(body.slice(at, at + PIECE)))
    if (answersBodies) await client.answer()
  }
  return client.ask(command.endOfMessage())
}

/** Questions at RCPT that MAIL or EHLO has answered in a milter, which hears of all of them. */
export const REFUSED_BEFORE = [
  'mtas: an unknown MTA is refused at RCPT as well',
  "mtas: an unknown MTA's mail for somebody elsewhere is not ours",
  'posting: a forbidden sender is refused at RCPT too',
  'posting: a forbidden sender to somebody elsewhere is not ours',
  'service-addresses: a service address takes mail from a forbidden sender',
]

/** A milter asks so only about a recipient who refuses beside one who takes the message. */
export const AFTER_ACCEPTANCE = 'an MTA has the message'

/** Why the milter is never asked this, if it is not. */
export function notAsked({ name, ask: question, expect: want }: Vector): string | undefined {
  if (REFUSED_BEFORE.includes(name)) return 'refused at MAIL'
  if (question.afterAcceptance === true) return AFTER_ACCEPTANCE
  if (question.phase === 'END-OF-MESSAGE' && want.verdict === 'none') return 'let go at DATA'
  if (question.phase === 'DATA' && (question.recipients ?? []).length === 0)
    return 'no MTA has DATA without recipients'
  return undefined
}

/** What an MTA is answered for a verdict. */
function answersFor({ expect: want, ask: { phase } }: Vector): RegExp {
  switch (want.verdict) {
    case 'reject':
      return /^y 5\d\d 5/
    case 'defer':
      return /^y 4\d\d 4/
    case 'discard':
      return phase === 'END-OF-MESSAGE' ? /^d$/ : /^c$/
    default:
      return /^c$/
  }
}

/** A decision of the gate, as far as a vector tells. */
export interface Decision {
  readonly phase: string
  readonly afterAcceptance?: boolean
  readonly verdict: Pick<Verdict, 'kind' | 'reason'>
}

/** A decision, as the gate notes it. */
export function decisionOf({ tx, verdict }: Decided): Decision {
  return { phase: tx.phase, verdict, ...('afterAcceptance' in tx && { afterAcceptance: tx.afterAcceptance }) }
}

/** Expects a vector's verdict and the answer that tells it. */
export function expectVerdict(
  vector: Vector,
  decisions: readonly Decision[],
  answers: readonly Answer[],
): void {
  const { phase } = vector.ask
  // Once others take the message, who refuses is asked again.
  const decided = decisions
    .filter(decision => decision.phase === phase && decision.afterAcceptance !== true)
    .at(-1)
  const want = vector.expect
  if (phase === 'DATA' && decided === undefined) {
    expect(answers).toEqual(['a'])
    return
  }
  expect(decided?.verdict).toMatchObject({ kind: want.verdict, reason: want.reason })
  expect(answers).toHaveLength(1)
  if ((vector.ask.lists ?? 1) > 1) {
    expect(answers).toEqual(['c'])
    return
  }
  expect(answers[0]).toMatch(answersFor(vector))
  const refuses = want.verdict === 'reject' || want.verdict === 'defer'
  if (refuses && want.reply !== undefined) expect(answers[0]).toBe(`y ${want.reply.replaceAll('%', '%%')}`)
}
