/** The vectors, through the core alone: facts from a store in memory, then `decide`. */
import { describe, expect, test } from 'vitest'
import { decide } from '../../src/core/decide.ts'
import { factsNeeded, type Site } from '../../src/core/facts.ts'
import { REASONS } from '../../src/core/reason.ts'
import { formatReply } from '../../src/core/reply.ts'
import type { AcceptedRecipient, Transaction } from '../../src/core/transaction.ts'
import { acceptedKind, type Verdict } from '../../src/core/verdict.ts'
import { MemoryStore } from '../support/memory-store.ts'
import {
  address,
  clientOf,
  headerOf,
  loadVectors,
  partsOf,
  putAdmissions,
  putState,
  type Question,
  reversePath,
} from '../support/vectors.ts'

function ask(store: MemoryStore, site: Site, tx: Transaction): Verdict {
  return decide(tx, store.load(factsNeeded(tx, site)), site)
}

function acceptedRecipient(
  store: MemoryStore,
  site: Site,
  question: Question,
  text: string,
): AcceptedRecipient {
  const verdict = ask(
    store,
    site,
    transaction(store, site, { ...question, phase: 'RCPT', recipients: [text] }),
  )
  if (verdict.kind === 'reject' || verdict.kind === 'defer') throw new Error(`${text} was refused at RCPT`)
  return { recipient: address(text), kind: acceptedKind(verdict) }
}

function transaction(store: MemoryStore, site: Site, question: Question): Transaction {
  const base = { front: 'cli', client: clientOf(question) } as const
  const sender = reversePath(question.sender)
  const recipient = question.recipients?.[0] ?? ''
  const size = question.size === undefined ? {} : { size: question.size }
  switch (question.phase) {
    case 'CONNECT':
    case 'EHLO':
      return { ...base, phase: question.phase }
    case 'MAIL':
      return { ...base, phase: 'MAIL', sender }
    case 'RCPT':
      return {
        ...base,
        ...size,
        phase: 'RCPT',
        sender,
        recipient: address(recipient),
        recipientsBefore: question.recipientsBefore ?? 0,
        ...(question.afterAcceptance === true && { afterAcceptance: true }),
      }
    case 'DATA':
      return {
        ...base,
        phase: 'DATA',
        sender,
        recipients: (question.recipients ?? []).map(text => acceptedRecipient(store, site, question, text)),
      }
    case 'END-OF-MESSAGE': {
      const from = (question.authors ?? []).map(address)
      const header = headerOf(question)
      return {
        ...base,
        phase: 'END-OF-MESSAGE',
        sender,
        recipient: address(recipient),
        size: question.size ?? 0,
        settledAtRcpt: question.authors === undefined,
        authorship:
          question.authors === undefined && header !== undefined
            ? header.authorship
            : { from, all: [...from, ...(question.otherAuthors ?? []).map(address)] },
        ...(header !== undefined && { content: header.content(partsOf(question)) }),
        ...(question.lists !== undefined && { lists: question.lists }),
        afterAcceptance: question.afterAcceptance ?? false,
      }
    }
  }
}

describe('vectors through the core', () => {
  const vectors = loadVectors()

  test.each(vectors)('$name', async ({ state, site, ask: question, expect: want }) => {
    const store = new MemoryStore()
    await putState(store, state)
    await putAdmissions(store, question)
    const verdict = ask(store, site, transaction(store, site, question))
    expect({ verdict: verdict.kind, reason: verdict.reason }).toEqual({
      verdict: want.verdict,
      reason: want.reason,
    })
    if (want.reply !== undefined) expect('reply' in verdict && formatReply(verdict.reply)).toBe(want.reply)
  })

  test('every reason that the law can give is in a vector', () => {
    const covered = new Set(vectors.map(vector => vector.expect.reason))
    const missing = REASONS.filter(reason => !covered.has(reason))
    // These need time, a failing store or damaged data, and have tests of their own.
    expect(missing).toEqual(['list-unreadable', 'rate-exceeded', 'store-unavailable', 'internal-error'])
  })

  test('names are unique', () => {
    expect(new Set(vectors.map(vector => vector.name)).size).toBe(vectors.length)
  })
})
