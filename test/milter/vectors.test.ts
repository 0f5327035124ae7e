/** The vectors, through the milter on a socket: every question that an MTA can ask it, with the law's own answer. */
import { afterEach, describe, expect, test } from 'vitest'
import type { Phase } from '../../src/core/transaction.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { loadVectors, putState } from '../support/vectors.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { MtaClient } from './mta-client.ts'
import {
  AFTER_ACCEPTANCE,
  ask,
  type Decision,
  decisionOf,
  expectVerdict,
  notAsked,
  REFUSED_BEFORE,
} from './vector-dialogue.ts'
import { gateOver, late } from './world.ts'

let server: RunningMilter | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

const vectors = loadVectors().filter(vector => notAsked(vector) === undefined)

describe.each(['tcp', 'unix'] as const)('vectors through the milter, %s', kind => {
  test.each(vectors)('$name', async vector => {
    const store = new MemoryStore()
    await putState(store, vector.state)
    const decisions: Decision[] = []
    const gate = gateOver(kind === 'unix' ? late(store) : store, {
      site: vector.site,
      recorder: { decided: decided => void decisions.push(decisionOf(decided)) },
    })
    server = await startMilter(kind, { gate })
    const client = await MtaClient.negotiated(server.endpoint)
    const answers = await ask(client, vector.ask)
    client.destroy()

    expectVerdict(vector, decisions, answers)
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

test('all vectors are asked but those that no MTA can ask a milter, and of every phase', () => {
  const left = new Map<string, number>()
  for (const vector of loadVectors()) {
    const why = notAsked(vector)
    if (why !== undefined) left.set(why, (left.get(why) ?? 0) + 1)
  }
  const { [AFTER_ACCEPTANCE]: late = 0, ...others } = Object.fromEntries(left)
  expect(others).toEqual({ 'refused at MAIL': 5 })
  expect(vectors.length + late).toBe(loadVectors().length - 5)
  const phases = new Set<Phase>(vectors.map(({ ask: question }) => question.phase))
  expect([...phases].sort()).toEqual(['CONNECT', 'DATA', 'EHLO', 'END-OF-MESSAGE', 'MAIL', 'RCPT'])
})
