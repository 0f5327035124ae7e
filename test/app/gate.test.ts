/** The gate: failures become temporary answers, decisions are noted, posts are counted once. */
import { describe, expect, test } from 'vitest'
import { type Decided, Gate, isOwnFault, type Recorder } from '../../src/app/gate.ts'
import { type Admission, type CountedPost, type FactsStore, StoreUnavailable } from '../../src/app/ports.ts'
import { type Facts, INITIAL_SITE } from '../../src/core/facts.ts'
import { formatReply } from '../../src/core/reply.ts'
import type { EndOfMessageTransaction, RcptTransaction, Transaction } from '../../src/core/transaction.ts'
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
      admit: async () => {},
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
    const gate = gateOver({ load: load(error), countPost: async () => {}, admit: async () => {} }, notes)
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
      admit: async () => {},
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
      {
        load: query => store.load(query),
        countPost: () => Promise.reject(new StoreUnavailable('away')),
        admit: async () => {},
      },
      notes,
    )
    expect(await gate.ask(rcpt())).toMatchObject({ kind: 'accept' })
    await new Promise(resolve => setImmediate(resolve))
    expect(notes.states).toEqual(['up', 'down'])
  })
})

describe('remembering whom it let in', () => {
  const DAYS_6 = 518_400
  const LISTS = {
    ...STATE,
    lists: [
      {
        address: 'team@lists.example.org',
        people: [
          { who: 'alice@example.net', roles: ['member'] },
          { who: 'held@example.net', roles: ['member'], action: 'hold' },
          { who: 'dropped@example.net', roles: ['member'], action: 'discard' },
          { who: 'prvs=1234abcdef=tagged@example.net', roles: ['member'] },
          { who: 'ann@example.net', roles: ['member'] },
        ],
      },
      { address: 'soft@lists.example.org', settings: { mode: 'shadow' } },
      {
        address: 'author@lists.example.org',
        settings: { identity: 'author' },
        people: [{ who: 'alice@example.net', roles: ['member'] }],
      },
    ],
  } as const

  async function watched(
    admit?: (admission: Admission) => Promise<void>,
  ): Promise<{ readonly gate: Gate; readonly admitted: Admission[]; readonly notes: Notes; time: number }> {
    const store = new MemoryStore()
    await putState(store, LISTS)
    const admitted: Admission[] = []
    const notes = new Notes()
    const world = { time: 0 }
    const gate = new Gate({
      store: {
        load: query => store.load(query),
        countPost: async () => {},
        admit: async admission => {
          admitted.push(admission)
          await admit?.(admission)
        },
      },
      site: INITIAL_SITE,
      recorder: notes,
      clock: () => world.time,
    })
    return Object.assign(world, { gate, admitted, notes })
  }

  function atEnd(over: Partial<EndOfMessageTransaction>): EndOfMessageTransaction {
    const from = [address('alice@example.net')]
    return {
      phase: 'END-OF-MESSAGE',
      front: 'milter',
      client: {},
      sender: reversePath('mail@example.com'),
      recipient: address('author@lists.example.org'),
      size: 9,
      settledAtRcpt: false,
      authorship: { from, all: from },
      afterAcceptance: false,
      ...over,
    }
  }

  test.each<[string, Transaction, string[]]>([
    ['a member', rcpt(), ['team alice@example.net']],
    [
      'a member whose posts wait',
      rcpt({ sender: reversePath('held@example.net') }),
      ['team held@example.net'],
    ],
    ['by a callout to the sink', rcpt({ front: 'lmtp' }), ['team alice@example.net']],
    [
      'under the address as it is written',
      rcpt({ sender: reversePath('prvs=4068eb2540=ann@example.net') }),
      ['team prvs=4068eb2540=ann@example.net'],
    ],
    ['who wrote the message', atEnd({}), ['author mail@example.com']],
    ['nobody whose posts are dropped', rcpt({ sender: reversePath('dropped@example.net') }), []],
    ['no stranger', rcpt({ sender: reversePath('eve@example.com') }), []],
    ['nobody to a service address', rcpt({ recipient: address('team-owner@lists.example.org') }), []],
    ['no null sender', rcpt({ sender: reversePath('') }), []],
    ['no probe', rcpt({ sender: reversePath('double-bounce@mx.example.net') }), []],
    ['nobody elsewhere', rcpt({ recipient: address('bob@example.org') }), []],
    ['nobody whom shadow mode lets in', rcpt({ recipient: address('soft@lists.example.org') }), []],
    ['nobody before the author is known', rcpt({ recipient: address('author@lists.example.org') }), []],
    ['nobody after acceptance', rcpt({ afterAcceptance: true }), []],
    ['nobody at the end after acceptance', atEnd({ afterAcceptance: true }), []],
    [
      'nobody twice, at RCPT and at the end',
      atEnd({ settledAtRcpt: true, sender: reversePath('alice@example.net') }),
      [],
    ],
    ['nobody that the command line asks about', rcpt({ front: 'cli' }), []],
  ])('%s', async (_, tx, want) => {
    const { gate, admitted } = await watched()
    await gate.ask(tx)
    expect(admitted.map(({ list, sender }) => `${list.split('@')[0]} ${sender}`)).toEqual(want)
    expect(admitted.every(({ seconds }) => seconds === DAYS_6)).toBe(true)
  })

  test('is done once in a while for each sender and list', async () => {
    const world = await watched()
    for (let i = 0; i < 5; i++) world.gate.ask(rcpt())
    world.gate.ask(rcpt({ sender: reversePath('held@example.net') }))
    expect(world.admitted).toHaveLength(2)
    world.time = 299_999
    world.gate.ask(rcpt())
    expect(world.admitted).toHaveLength(2)
    world.time = 300_000
    world.gate.ask(rcpt())
    expect(world.admitted).toHaveLength(3)
  })

  test('is bounded: the oldest are written again', async () => {
    const store = new MemoryStore()
    await putState(store, {
      ...STATE,
      lists: [{ address: 'open@lists.example.org', settings: { nonmember_action: 'accept' } }],
    })
    let written = 0
    const gate = new Gate({
      store: {
        load: query => store.load(query),
        countPost: async () => {},
        admit: async () => void written++,
      },
      site: INITIAL_SITE,
      recorder: new Notes(),
      clock: () => 0,
    })
    const ask = (i: number): unknown =>
      gate.ask(
        rcpt({ sender: reversePath(`s${i}@example.com`), recipient: address('open@lists.example.org') }),
      )
    for (let i = 0; i <= 10_000; i++) ask(i)
    expect(written).toBe(10_001)
    ask(10_000)
    expect(written).toBe(10_001)
    ask(0)
    expect(written).toBe(10_002)
  })

  test('that fails is noted, harms no answer, and is tried again', async () => {
    const { gate, admitted, notes } = await watched(() => Promise.reject(new StoreUnavailable('away')))
    expect(await gate.ask(rcpt())).toMatchObject({ kind: 'accept' })
    await new Promise(resolve => setImmediate(resolve))
    expect(notes.states).toEqual(['up', 'down'])
    await gate.ask(rcpt())
    expect(admitted).toHaveLength(2)
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
