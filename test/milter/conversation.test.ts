/**
 * Random conversations, legal and not: every command that is owed an answer gets exactly one, in order, and no other bytes
 * are sent; who may post is what the gate says when it is asked directly.
 */
import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Gate } from '../../src/app/gate.ts'
import { decodeCommand } from '../../src/milter/command.ts'
import { SMFIP } from '../../src/milter/negotiate.ts'
import type { Conduct } from '../../src/milter/question.ts'
import { Session } from '../../src/milter/session.ts'
import { FrameReader } from '../../src/milter/wire.ts'
import { address, reversePath } from '../support/vectors.ts'
import { type Answer, command, isFinal, ResponseReader } from './mta-wire.ts'
import { gateOf } from './world.ts'

interface Step {
  readonly code: string
  readonly bytes: Buffer
  /** Of RCPT: the recipient; of MAIL: the sender. */
  readonly about?: string
}

const SENDERS = [
  'alice@example.net',
  'eve@example.com',
  'held@example.net',
  'dropped@example.net',
  'never@example.com',
  '',
]
const RECIPIENTS = [
  'team',
  'open',
  'silent',
  'moderated',
  'small',
  'author',
  'authors',
  'paused',
  'nosuch',
  'team-owner',
]
  .map(name => `${name}@lists.example.org`)
  .concat('someone@elsewhere.example')

const step = {
  C: fc.constant({ code: 'C', bytes: command.connect('mx.example.net', '192.0.2.1') }),
  H: fc.constant({ code: 'H', bytes: command.helo('mx.example.net') }),
  M: fc
    .record({ sender: fc.constantFrom(...SENDERS), size: fc.constantFrom('', 'SIZE=100', 'SIZE=1000') })
    .map(({ sender, size }) => ({
      code: 'M',
      bytes: command.mail(`<${sender}>`, ...(size === '' ? [] : [size])),
      about: sender,
    })),
  R: fc
    .constantFrom(...RECIPIENTS)
    .map(recipient => ({ code: 'R', bytes: command.rcpt(`<${recipient}>`), about: recipient })),
  T: fc.constant({ code: 'T', bytes: command.data() }),
  L: fc
    .constantFrom(...SENDERS, 'not an address')
    .map(author => ({ code: 'L', bytes: command.header('From', author) })),
  N: fc.constant({ code: 'N', bytes: command.endOfHeaders() }),
  B: fc.nat(400).map(size => ({ code: 'B', bytes: command.body(Buffer.alloc(size)) })),
  E: fc.constant({ code: 'E', bytes: command.endOfMessage() }),
  A: fc.constant({ code: 'A', bytes: command.abort() }),
  U: fc.constant({ code: 'U', bytes: command.unknown('NOSUCH') }),
  K: fc.constant({ code: 'K', bytes: command.quitNewConnection() }),
  D: fc
    .record({
      of: fc.constantFrom(...'CHMRTLNBEU'),
      value: fc.constantFrom('', 'error', 'team@lists.example.org'),
    })
    .map(({ of, value }) => ({
      code: 'D',
      bytes: command.macros(of, value === '' ? {} : { '{rcpt_addr}': value }),
    })),
} satisfies Record<string, fc.Arbitrary<Step>>

/** What an MTA says about one message, as far as it gets. */
const message = fc
  .tuple(
    step.M,
    fc.array(step.R, { minLength: 1, maxLength: 4 }),
    fc.constantFrom('with DATA', 'without DATA'),
    fc.array(step.L, { maxLength: 3 }),
    fc.array(step.B, { maxLength: 3 }),
    fc.constantFrom<readonly ('E' | 'A')[]>(['E', 'A'], ['E'], ['A']),
  )
  .chain(([mail, rcpts, data, headers, bodies, ends]) =>
    fc
      .tuple(step.T, step.N, step.E, step.A)
      .map(([t, n, e, a]) => [
        mail,
        ...rcpts,
        ...(data === 'with DATA' ? [t] : []),
        ...headers,
        n,
        ...bodies,
        ...ends.map(end => (end === 'E' ? e : a)),
      ]),
  )
const legal = fc
  .tuple(step.C, step.H, fc.array(message, { maxLength: 4 }))
  .map(([c, h, messages]): readonly Step[] => [c, h, ...messages.flat()])
const illegal: fc.Arbitrary<readonly Step[]> = fc.array(fc.oneof(...Object.values(step)), { maxLength: 40 })

const conducts: fc.Arbitrary<Conduct> = fc.record({
  hold: fc.constantFrom('sink' as const, 'quarantine' as const),
  traceHeader: fc.boolean(),
  countBodies: fc.boolean(),
  onStoreFailure: fc.constant('defer' as const),
})

interface Exchange {
  readonly step: Step
  readonly answers: readonly Answer[]
}

/** Speaks with a session over its bytes, cut anywhere; what each command was answered, if it was. */
function converse(
  gate: Gate,
  conduct: Conduct,
  protocol: number,
  steps: readonly Step[],
): { exchanges: Exchange[]; agreed: number } {
  const counts = { connections: 0, messages: 0, otherMessages: 0, refusedByMta: 0 }
  let agreed = 0
  const session = new Session({
    id: 'test',
    conduct,
    counts,
    agreed: agreement => {
      agreed = agreement.protocol
    },
  })
  const reader = new FrameReader()
  const take = (bytes: Buffer): Answer[] => {
    const responses = new ResponseReader()
    const answers: Answer[] = []
    reader.push(bytes)
    for (let frame = reader.next(); frame !== undefined; frame = reader.next()) {
      if (typeof frame === 'string') throw new Error(frame)
      const next = decodeCommand(frame)
      if (typeof next === 'string') throw new Error(next)
      let effect = session.take(next)
      while (effect.kind === 'ask') {
        const verdict = gate.ask(effect.question.tx)
        if (verdict instanceof Promise) throw new Error('a store in memory has its answers at hand')
        effect = session.verdict(verdict)
      }
      if (effect.kind === 'close') throw new Error(effect.problem ?? 'closed')
      if (effect.kind === 'send') answers.push(...responses.push(effect.bytes))
      expect(responses.isEmpty).toBe(true)
    }
    return answers
  }
  take(command.negotiate({ version: 6, actions: 0x1ff, protocol }))
  return { exchanges: steps.map(given => ({ step: given, answers: take(given.bytes) })), agreed }
}

/** How many final responses a command is owed. */
function owed(code: string, agreed: number): number {
  const silent: Record<string, number> = { L: SMFIP.NR_HDR, B: SMFIP.NR_BODY, U: SMFIP.NR_UNKN }
  if ('DAK'.includes(code)) return 0
  return (agreed & (silent[code] ?? 0)) === 0 ? 1 : 0
}

describe.each([
  ['legal', legal],
  ['illegal', illegal],
])('%s conversations', (_, conversations) => {
  let gate: Gate

  beforeAll(async () => {
    gate = await gateOf('lists')
  })

  test('every command gets the answers it is owed', () => {
    fc.assert(
      fc.property(conversations, conducts, fc.nat(0x1fffff), (steps, conduct, protocol) => {
        const { exchanges, agreed } = converse(gate, conduct, protocol, steps)
        for (const { step: given, answers } of exchanges) {
          expect(answers.filter(isFinal).length).toBe(owed(given.code, agreed))
          if (given.code !== 'E') expect(answers.length).toBe(owed(given.code, agreed))
          else expect(isFinal(answers.at(-1) ?? '')).toBe(true)
          if (given.code !== 'E') expect(answers.join()).not.toMatch(/(^|,)[-+qihme2b]/)
        }
      }),
      { numRuns: 400 },
    )
  })

  test('an abort leaves nothing behind', () => {
    fc.assert(
      fc.property(conversations, legal, conducts, (before, after, conduct) => {
        const abort = { code: 'A', bytes: command.abort() }
        const alone = converse(gate, conduct, 0x1fffff, after)
        const behind = converse(gate, conduct, 0x1fffff, [...before, abort, ...after])
        const answers = ({ exchanges }: typeof alone): unknown => exchanges.map(exchange => exchange.answers)
        expect(answers({ ...behind, exchanges: behind.exchanges.slice(-after.length) })).toEqual(
          answers(alone),
        )
      }),
    )
  })
})

test('RCPT is answered as the gate says', async () => {
  const gate = await gateOf('lists')
  fc.assert(
    fc.property(legal, conducts, (steps, conduct) => {
      let sender: string | undefined
      let before = new Set<string>()
      let size: number | undefined
      for (const { step: given, answers } of converse(gate, conduct, 0x1fffff, steps).exchanges) {
        if (given.code === 'M') {
          sender = answers[0] === 'c' ? given.about : undefined
          before = new Set()
          const declared = /SIZE=(\d+)/.exec(given.bytes.toString('latin1'))
          size = declared === null ? undefined : Number(declared[1])
        }
        if (given.code !== 'R' || sender === undefined) continue
        const recipient = address(given.about ?? '')
        const verdict = gate.ask({
          phase: 'RCPT',
          front: 'milter',
          client: {},
          sender: reversePath(sender),
          recipient,
          recipientsBefore: before.size,
          ...(size === undefined ? {} : { size }),
        })
        if (verdict instanceof Promise) throw new Error('at hand')
        const refused = verdict.kind === 'reject' || verdict.kind === 'defer'
        expect(answers).toEqual([
          refused ? `y ${verdict.reply.code} ${verdict.reply.enhanced} ${verdict.reply.text}` : 'c',
        ])
        if (!refused) before.add(recipient.key)
      }
    }),
    { numRuns: 200 },
  )
})
