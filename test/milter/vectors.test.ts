/** The vectors, through the milter on a socket: every question that an MTA can ask it, with the law's own answer. */
import { afterEach, describe, expect, test } from 'vitest'
import type { Decided } from '../../src/app/gate.ts'
import type { Phase } from '../../src/core/transaction.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { address, loadVectors, putState, type Question, type Vector } from '../support/vectors.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { MtaClient } from './mta-client.ts'
import { type Answer, command } from './mta-wire.ts'
import { gateOver, late } from './world.ts'

let server: RunningMilter | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

const path = (text: string | undefined): string => (text ? `<${address(text).text}>` : '<>')

/** Speaks up to the phase of the question; the answer to the command that asks it. */
async function ask(client: MtaClient, question: Question): Promise<readonly Answer[]> {
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
  let answered: readonly Answer[] = []
  for (const recipient of question.recipients ?? [])
    answered = await client.ask(command.rcpt(path(recipient)))
  if (question.phase === 'RCPT') return answered
  if (question.phase === 'DATA') return client.ask(command.data())
  for (const author of question.authors ?? []) client.send(command.header('From', address(author).text))
  for (const author of question.otherAuthors ?? [])
    client.send(command.header('Sender', address(author).text))
  const headed = await client.ask(command.endOfHeaders())
  if (headed[0] !== 'c') return headed
  return client.ask(command.body(Buffer.alloc(question.size ?? 0)), command.endOfMessage())
}

/** Questions at RCPT that MAIL or EHLO has answered in a milter, which hears of all of them. */
const REFUSED_BEFORE = [
  'mtas: an unknown MTA is refused at RCPT as well',
  "mtas: an unknown MTA's mail for somebody elsewhere is not ours",
  'posting: a forbidden sender is refused at RCPT too',
  'posting: a forbidden sender to somebody elsewhere is not ours',
  'service-addresses: a service address takes mail from a forbidden sender',
]

/** Why the milter is never asked this, if it is not. */
function notAsked({ name, ask: question, expect: want }: Vector): string | undefined {
  if (REFUSED_BEFORE.includes(name)) return 'refused at MAIL'
  if (question.afterAcceptance === true) return 'asked only beside a recipient who takes it'
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

const vectors = loadVectors().filter(vector => notAsked(vector) === undefined)

describe.each(['tcp', 'unix'] as const)('vectors through the milter, %s', kind => {
  test.each(vectors)('$name', async vector => {
    const store = new MemoryStore()
    await putState(store, vector.state)
    const decisions: Decided[] = []
    const gate = gateOver(kind === 'unix' ? late(store) : store, {
      site: vector.site,
      recorder: { decided: decision => void decisions.push(decision) },
    })
    server = await startMilter(kind, { gate })
    const client = await MtaClient.negotiated(server.endpoint)
    const answers = await ask(client, vector.ask)
    client.destroy()

    const { phase } = vector.ask
    const decided = decisions.filter(({ tx }) => tx.phase === phase).at(-1)
    const want = vector.expect
    const letGo = phase === 'DATA' && decided === undefined
    if (letGo) expect(answers).toEqual(['a'])
    else {
      expect(decided?.verdict).toMatchObject({ kind: want.verdict, reason: want.reason })
      expect(answers).toHaveLength(1)
      expect(answers[0]).toMatch(answersFor(vector))
      const refuses = want.verdict === 'reject' || want.verdict === 'defer'
      if (refuses && want.reply !== undefined)
        expect(answers[0]).toBe(`y ${want.reply.replaceAll('%', '%%')}`)
    }
  })
})

test.each(loadVectors().filter(({ name }) => REFUSED_BEFORE.includes(name)))(
  '$name: at MAIL',
  async vector => {
    const store = new MemoryStore()
    await putState(store, vector.state)
    server = await startMilter('tcp', { gate: gateOver(store, { site: vector.site }) })
    const client = await MtaClient.negotiated(server.endpoint)
    expect(await ask(client, { ...vector.ask, phase: 'MAIL' })).toEqual([
      expect.stringMatching(/^y 550 5\.7\.1 /),
    ])
    client.destroy()
  },
)

test('nearly all vectors are asked, and of every phase', () => {
  const all = loadVectors()
  expect(vectors.length).toBeGreaterThan(all.length * 0.85)
  const phases = new Set<Phase>(vectors.map(({ ask: question }) => question.phase))
  expect([...phases].sort()).toEqual(['CONNECT', 'DATA', 'EHLO', 'END-OF-MESSAGE', 'MAIL', 'RCPT'])
})
