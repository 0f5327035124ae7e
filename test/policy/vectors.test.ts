/** The shared vectors, asked as Postfix asks them: the same verdicts, as far as an action can say them. */
import { describe, expect, test } from 'vitest'
import type { Asking } from '../../src/app/gate.ts'
import type { PromiseOr } from '../../src/app/ports.ts'
import type { Address } from '../../src/core/address.ts'
import { replyFor } from '../../src/core/reason.ts'
import { formatReply } from '../../src/core/reply.ts'
import type { Transaction } from '../../src/core/transaction.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import { type MessageKey, Messages, messageKey } from '../../src/policy/messages.ts'
import { PolicySession } from '../../src/policy/session.ts'
import { MemoryStore } from '../support/memory-store.ts'
import {
  address,
  loadVectors,
  putState,
  type Question,
  tellsOfContent,
  type Vector,
} from '../support/vectors.ts'
import { gateOf } from './policy-server.ts'
import type { Values } from './requests.ts'

const INSTANCE = '1f.6b028ebb.1.0'

/** Postfix's internal form: unquoted. */
function internal(text: string): string {
  if (text === '') return ''
  const { localPart, domain } = address(text)
  return `${localPart}@${domain}`
}

function valuesOf(ask: Question): Values {
  const { ip, name, helo } = ask.client ?? {}
  return {
    protocol_state: ask.phase,
    client_address: ip ?? '',
    client_name: name ?? 'unknown',
    helo_name: helo ?? '',
    sender: internal(ask.sender ?? ''),
    size: String(ask.size ?? 0),
    instance: ask.phase === 'RCPT' || ask.phase === 'DATA' || ask.phase === 'END-OF-MESSAGE' ? INSTANCE : '',
  }
}

/** A gate that remembers its last verdict. */
function rememberingGate(
  vector: Vector,
  store: MemoryStore,
): { ask(tx: Transaction, asking?: Asking): PromiseOr<Verdict>; last: Verdict | undefined } {
  const gate = gateOf(store, vector.site)
  const remembering = {
    last: undefined as Verdict | undefined,
    ask: (tx: Transaction, asking?: Asking): PromiseOr<Verdict> => {
      const verdict = gate.ask(tx, asking)
      if (verdict instanceof Promise) throw new Error('a store in memory has its answers at hand')
      remembering.last = verdict
      return verdict
    },
  }
  return remembering
}

/** Notes recipients that were accepted before. */
function acceptOthers(messages: Messages, key: MessageKey, count: number): void {
  const verdict: Verdict = {
    kind: 'accept',
    reason: 'sender-permitted',
    rule: 'x',
    reply: replyFor('sender-permitted'),
  }
  for (let i = 0; i < count; i++) {
    const other: Address = address(`other${i}@lists.example.org`)
    messages.judged(key, other, verdict)
  }
}

/** What the message says, who its author is, and whether an MTA has taken the message already, is not seen by a policy server. */
const all = loadVectors()
const seen = all.filter(({ ask }) => !tellsOfContent(ask) && ask.afterAcceptance !== true)

describe('vectors', () => {
  test('most of them can be asked here', () => {
    const left = all.filter(vector => !seen.includes(vector) && vector.ask.afterAcceptance !== true)
    expect(new Set(left.map(({ ask }) => ask.phase))).toEqual(new Set(['END-OF-MESSAGE']))
    expect(seen.length).toBeGreaterThan(130)
  })

  test.each(seen.map(vector => [vector.name, vector] as const))('%s', async (_, vector) => {
    const { ask, expect: want } = vector
    const store = new MemoryStore()
    await putState(store, vector.state)
    const gate = rememberingGate(vector, store)
    const messages = new Messages(Date.now)
    const session = new PolicySession({ gate, onStoreFailure: 'defer' }, messages)
    const answer = (values: Values): string => String(session.answer({ get: name => values[name] }))
    const values = valuesOf(ask)
    const recipients = (ask.recipients ?? []).map(internal)

    acceptOthers(
      messages,
      messageKey(INSTANCE, values.client_address ?? '') as MessageKey,
      ask.recipientsBefore ?? 0,
    )
    if (ask.phase === 'DATA') {
      for (const recipient of recipients) answer({ ...values, protocol_state: 'RCPT', recipient })
    }
    const action = answer({
      ...values,
      recipient: recipients.length === 1 ? (recipients[0] ?? '') : '',
      recipient_count:
        ask.phase === 'DATA' || ask.phase === 'END-OF-MESSAGE' ? String(recipients.length) : '0',
    })

    expect([gate.last?.kind, gate.last?.reason]).toEqual([want.verdict, want.reason])
    const refused = want.verdict === 'reject' || want.verdict === 'defer'
    const reply =
      gate.last?.kind === 'none' || gate.last === undefined ? undefined : formatReply(gate.last.reply)
    expect(action).toBe(refused ? (want.reply ?? reply) : 'DUNNO')
  })
})
