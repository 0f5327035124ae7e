/** The gate: failures become temporary answers, decisions are noted, posts are counted once. */
import { describe, expect, test } from 'vitest'
import { type Decided, Gate, isOwnFault, type Recorder } from '../../src/app/gate.ts'
import { type CountedPost, type FactsStore, StoreUnavailable } from '../../src/app/ports.ts'
import { type Facts, INITIAL_SITE } from '../../src/core/facts.ts'
import { formatReply } from '../../src/core/reply.ts'
import type { RcptTransaction, Transaction } from '../../src/core/transaction.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { address, putState, reversePath } from '../support/vectors.ts'

const STATE = {
  postern: 1,
  domains: [{ domain: 'lists.example.org' }],
  lists: [
    {
      address: 'team@lists.example.org',
      settings: { rate: '2/1h' },
      people: [{ who: 'alice@example.net', roles: ['member'] }],
    },
  ],
} as const

function rcpt(over: Partial<RcptTransaction> = {}): RcptTransaction {
  return {
    phase: 'RCPT',
    front: 'policy',
    client: {},
    sender: reversePath('alice@example.net'),
    recipient: address('team@lists.example.org'),
    recipientsBefore: 0,
    message: 'm1',
    ...over,
  }
}

class Notes implements Recorder {
  readonly decisions: Decided[] = []
  readonly states: string[] = []
  readonly errors: unknown[] = []
  decided(decision: Decided): void {
    this.decisions.push(decision)
  }
  storeState(state: 'up' | 'down'): void {
    this.states.push(state)
  }
  internalError(error: unknown): void {
    this.errors.push(error)
  }
}

function gateOver(store: FactsStore, notes = new Notes()): Gate {
  let now = 1_000
  return new Gate({ store, site: INITIAL_SITE, recorder: notes, clock: () => now++ })
}

async function members(): Promise<MemoryStore> {
  const store = new MemoryStore()
  await putState(store, STATE)
  return store
}

describe('asking', () => {
  test('is synchronous where the facts are at hand', async () => {
    const verdict = gateOver(await members()).ask(rcpt())
    expect(verdict).toMatchObject({ kind: 'accept', reason: 'sender-permitted' })
  })

  test('is noted, with latency and queue id', async () => {
    const notes = new Notes()
    const tx = rcpt()
    gateOver(await members(), notes).ask(tx, { queueId: '4ABC12' })
    expect(notes.decisions).toMatchObject([{ tx, at: 1_001, latency: 1, queueId: '4ABC12' }])
    expect(notes.states).toEqual(['up'])
  })

  test('a question that needs no facts needs no store', () => {
    const store: FactsStore = {
      load: () => {
        throw new Error('asked')
      },
      countPost: async () => {},
    }
    const tx: Transaction = {
      phase: 'DATA',
      front: 'policy',
      client: {},
      sender: reversePath(''),
      recipients: [],
    }
    expect(gateOver(store).ask(tx)).toMatchObject({ kind: 'accept' })
  })
})

describe('failure is temporary, never permanent and never an acceptance', () => {
  const failures: [string, unknown, string][] = [
    ['the store is away', new StoreUnavailable('away'), 'store-unavailable'],
    ['a bug', new TypeError('x is undefined'), 'internal-error'],
    ['a thrown string', 'boom', 'internal-error'],
  ]
  const ways: [string, (error: unknown) => FactsStore['load']][] = [
    [
      'at once',
      error => () => {
        throw error
      },
    ],
    ['later', error => () => Promise.reject(error)],
    [
      'in what was loaded',
      error => () =>
        new Proxy({} as Facts, {
          get: (_, name) => {
            if (name === 'then') return undefined
            throw error
          },
        }),
    ],
  ]
  test.each(
    failures.flatMap(failure =>
      ways.map(way => [failure[0], way[0], failure[1], way[1], failure[2]] as const),
    ),
  )('%s, %s', async (_, __, error, load, reason) => {
    const notes = new Notes()
    const gate = gateOver({ load: load(error), countPost: async () => {} }, notes)
    const verdict = await gate.ask(rcpt())
    expect(verdict).toMatchObject({ kind: 'defer', reason })
    expect('reply' in verdict && formatReply(verdict.reply)).toBe(
      '451 4.3.0 Temporary failure; try again later',
    )
    expect(isOwnFault(verdict)).toBe(true)
    expect(notes.decisions).toHaveLength(1)
    expect(notes.errors).toEqual(reason === 'internal-error' ? [error] : [])
  })
})

describe('counting posts', () => {
  test('one message counts once, however often it is asked about', async () => {
    const gate = gateOver(await members())
    const verdicts = ['m1', 'm1', 'm2', 'm1', 'm3', 'm2'].map(
      async message => (await gate.ask(rcpt({ message }))).reason,
    )
    expect(await Promise.all(verdicts)).toEqual([
      'sender-permitted',
      'sender-permitted',
      'sender-permitted',
      'sender-permitted',
      'rate-exceeded',
      'sender-permitted',
    ])
  })

  test('refusals, service addresses, probes and the sink are not posts', async () => {
    const counted: CountedPost[] = []
    const store = await members()
    const gate = gateOver({
      load: query => store.load(query),
      countPost: async post => void counted.push(post),
    })
    await gate.ask(rcpt({ sender: reversePath('eve@example.com') }))
    await gate.ask(rcpt({ recipient: address('team-owner@lists.example.org') }))
    await gate.ask(rcpt({ sender: reversePath('double-bounce@mx.example.net') }))
    await gate.ask(rcpt({ sender: reversePath('') }))
    const { message: _, ...unnamed } = rcpt()
    await gate.ask(unnamed)
    expect(counted).toEqual([])
    await gate.ask(rcpt())
    expect(counted).toEqual([
      { list: 'team@lists.example.org', sender: 'alice@example.net', message: 'm1', posts: 2, seconds: 3600 },
    ])
  })

  test('a count that fails is noted and harms no answer', async () => {
    const notes = new Notes()
    const store = await members()
    const gate = gateOver(
      { load: query => store.load(query), countPost: () => Promise.reject(new StoreUnavailable('away')) },
      notes,
    )
    expect(await gate.ask(rcpt())).toMatchObject({ kind: 'accept' })
    await new Promise(resolve => setImmediate(resolve))
    expect(notes.states).toEqual(['up', 'down'])
  })
})

test('explaining gives the verdict and every rule that was tried, and notes nothing', async () => {
  const notes = new Notes()
  const { verdict, trace } = await gateOver(await members(), notes).explain(
    rcpt({ sender: reversePath('eve@example.com') }),
  )
  expect(verdict.reason).toBe('sender-not-permitted')
  expect(trace.map(step => step.rule)).toEqual([
    'recipient-is-ours',
    'mta-not-refused',
    'mta-known',
    'list-exists',
    'list-open',
    'recipients-within-limits',
    'service-address',
    'existence-only',
    'sender-not-forbidden',
    'sender-not-banned',
    'author-decides',
    'sender-permitted',
  ])
  expect(trace.at(-1)).toEqual({ rule: 'sender-permitted', saw: 'stranger: reject', verdict: 'reject' })
  expect(notes.decisions).toEqual([])
})
