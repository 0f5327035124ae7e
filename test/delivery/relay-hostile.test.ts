/**
 * Next hops that refuse, break, fall silent or talk nonsense: what becomes of each copy, and that nothing but a
 * recipient's own 250 after the final dot is ever a delivery.
 */
import { createServer } from 'node:net'
import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { Delivery } from '../../src/app/message.ts'
import { MAX_REPLY_TEXT } from '../../src/core/reply.ts'
import { createRelayDelivery } from '../../src/delivery/relay.ts'
import {
  type Answer,
  CLOSE,
  type NextHop,
  RESET,
  type Said,
  type Script,
  startNextHop,
} from '../support/next-hop.ts'
import { freePort } from '../support/ports.ts'
import { ENVELOPE, message, POST, relaySettings, team, told } from './mail.ts'

let hop: NextHop | undefined
let delivery: Delivery | undefined

afterEach(async () => {
  await delivery?.close?.()
  await hop?.stop()
  hop = undefined
  delivery = undefined
})

const SHORT = { replyTimeoutMs: 300, timeoutMs: 900 }

/** Short of time only where that is the point: machines are slow at times. */
async function outcomesOf(script: Script, names: string, more = {}): Promise<readonly string[]> {
  hop = await startNextHop(script)
  delivery = createRelayDelivery(relaySettings(hop.endpoint, more))
  return (await delivery.deliver(ENVELOPE, POST, team(names))).map(told)
}

const first = (said: Said): boolean => said.path.startsWith('a@')
const all = (what: string): readonly string[] => [what, what, what]
const ok = (name: string): string => `delivered: 250 2.0.0 ${name}@lists.example.org taken`
/** Answers with what is given for each recipient. */
const inTurn =
  (...answers: readonly Answer[]): (() => Answer) =>
  () =>
    answers.flat() as Answer

type Case = readonly [name: string, script: Script, outcomes: readonly string[]]

const CASES: readonly Case[] = [
  ['a good next hop', {}, [ok('a'), ok('b'), ok('c')]],

  ['closes at once', { connect: () => CLOSE }, all('failed: lost')],
  ['resets', { LHLO: () => RESET }, all('failed: lost')],
  ['says nothing', { connect: () => [] }, all('failed: late')],
  ['greets with 421', { connect: () => '421 4.3.2 Too many connections\r\n' }, all('failed: turned-away')],
  ['greets with 554', { connect: () => '554 5.7.1 Go away\r\n' }, all('failed: turned-away')],
  ['greets with 354', { connect: () => '354 Go on\r\n' }, all('failed: turned-away')],
  ['greets with 199', { connect: () => '199 Hm\r\n' }, all('failed: nonsense')],
  [
    'speaks TLS',
    { connect: () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n' },
    all('failed: nonsense'),
  ],
  ['speaks HTTP', { connect: () => 'HTTP/1.1 400 Bad Request\r\n\r\n' }, all('failed: nonsense')],
  ['speaks SMTP only', { LHLO: () => '500 5.5.1 This is SMTP\r\n' }, all('failed: turned-away')],
  ['greets and answers ahead', { connect: () => '220 x\r\n250 x\r\n' }, all('failed: nonsense')],
  ['never ends a line', { connect: () => '2'.repeat(5000) }, all('failed: nonsense')],
  ['never ends a reply', { connect: () => '220-x\r\n'.repeat(200) }, all('failed: nonsense')],
  ['changes the code within a reply', { connect: () => '220-x\r\n250 x\r\n' }, all('failed: nonsense')],

  ['refuses the sender for now', { MAIL: () => '451 4.1.8 Later\r\n' }, all('refused: 451 4.1.8 Later')],
  ['refuses the sender', { MAIL: () => '550 5.1.8 No\r\n' }, all('refused: 550 5.1.8 No')],
  ['refuses the size', { MAIL: () => '552 5.3.4 Too big\r\n' }, all('refused: 552 5.3.4 Too big')],
  ['wants authentication', { MAIL: () => '530 5.7.0 Authenticate\r\n' }, all('failed: nonsense')],
  ['finds MAIL out of order', { MAIL: () => '503 5.5.1 Nested\r\n' }, all('failed: nonsense')],
  ['has no MAIL', { MAIL: () => '502 5.5.1 What?\r\n' }, all('failed: nonsense')],
  ['goes away at MAIL', { MAIL: () => ['421 4.3.2 Bye\r\n', CLOSE] }, all('failed: lost')],
  ['answers 354 to MAIL', { MAIL: () => '354 Go on\r\n' }, all('failed: nonsense')],
  [
    'refuses the sender, and wants data',
    { MAIL: () => '550 5.1.8 No\r\n', DATA: () => '354 Go on\r\n' },
    all('refused: 550 5.1.8 No'),
  ],

  [
    'refuses a recipient',
    { RCPT: said => (first(said) ? '550 5.1.1 No such list\r\n' : '250 Ok\r\n') },
    ['refused: 550 5.1.1 No such list', ok('b'), ok('c')],
  ],
  ['refuses all recipients', { RCPT: () => '450 4.2.1 Not now\r\n' }, all('refused: 450 4.2.1 Not now')],
  [
    'refuses all recipients, and wants data',
    { RCPT: () => '550 5.1.1 No\r\n', DATA: () => '354 Go on\r\n' },
    all('refused: 550 5.1.1 No'),
  ],
  [
    'takes no recipient at all by 452',
    { RCPT: () => '452 4.5.3 Too many\r\n' },
    all('refused: 452 4.5.3 Too many'),
  ],
  ['answers 354 to RCPT', { RCPT: () => '354 Go on\r\n' }, all('failed: nonsense')],
  ['falls silent at RCPT', { RCPT: () => [] }, all('failed: late')],
  ['takes the recipients, then closes', { RCPT: () => '250 Ok\r\n', DATA: () => CLOSE }, all('failed: lost')],
  ['takes recipients twice over', { RCPT: () => '250 Ok\r\n250 Ok\r\n' }, all('failed: nonsense')],

  ['refuses DATA', { DATA: () => '451 4.3.2 Not now\r\n' }, all('refused: 451 4.3.2 Not now')],
  ['refuses DATA for good', { DATA: () => '554 5.3.0 No\r\n' }, all('refused: 554 5.3.0 No')],
  ['finds DATA out of order', { DATA: () => '503 5.5.1 Nobody\r\n' }, all('failed: nonsense')],
  ['says 250 to DATA', { DATA: () => '250 2.0.0 Ok\r\n' }, all('failed: nonsense')],
  [
    'takes the message before it is there',
    { DATA: () => '354 x\r\n250 Ok\r\n250 Ok\r\n250 Ok\r\n' },
    all('failed: nonsense'),
  ],
  ['half says it before it is there', { DATA: () => '354 x\r\n250 O' }, all('failed: nonsense')],

  ['dies after the dot', { dot: () => CLOSE }, all('failed: lost')],
  ['resets after the dot', { dot: () => RESET }, all('failed: lost')],
  ['is silent after the dot', { dot: () => [] }, all('failed: late')],
  [
    'dies amid the replies',
    { dot: inTurn('250 2.0.0 One\r\n', CLOSE) },
    ['delivered: 250 2.0.0 One', 'failed: lost', 'failed: lost'],
  ],
  [
    'dies amid a reply',
    { dot: inTurn('250 2.0.0 One\r\n250 2.0', CLOSE) },
    ['delivered: 250 2.0.0 One', 'failed: lost', 'failed: lost'],
  ],
  ['dies amid the lines of a reply', { dot: inTurn('250-2.0.0 One\r\n', CLOSE) }, all('failed: lost')],
  [
    'gives too few replies',
    { dot: () => '501 Message has defects\r\n' },
    ['refused: 501 5.0.0 Message has defects', 'failed: late', 'failed: late'],
  ],
  ['gives too many replies', { dot: () => '250 A\r\n'.repeat(5) }, all('delivered: 250 2.0.0 A')],
  [
    'says 221 in place of the last reply',
    { dot: () => '250 A\r\n250 A\r\n221 Bye\r\n' },
    ['delivered: 250 2.0.0 A', 'delivered: 250 2.0.0 A', 'failed: nonsense'],
  ],
  ['says 354 after the dot', { dot: () => '354 Go on\r\n250 A\r\n250 A\r\n' }, all('failed: nonsense')],
  ['talks nonsense after the dot', { dot: () => 'Ok\r\n250 A\r\n250 A\r\n' }, all('failed: nonsense')],
  [
    'goes away after the dot',
    { dot: () => ['421 4.3.2 Shutting down\r\n', CLOSE] },
    ['refused: 451 4.3.2 Shutting down', 'failed: lost', 'failed: lost'],
  ],
  [
    'each its own',
    { dot: () => '250 2.6.0 Yes\r\n452 4.2.2 Full\r\n550 5.7.1 No\r\n' },
    ['delivered: 250 2.6.0 Yes', 'refused: 452 4.2.2 Full', 'refused: 550 5.7.1 No'],
  ],
  [
    'in several lines',
    {
      dot: () =>
        '250-2.6.0 Y\r\n250-2.6.0 e\r\n250 2.6.0 s\r\n550-5.7.1 N\r\n550 5.7.1 o\r\n550-Not\r\n550 so\r\n',
    },
    ['delivered: 250 2.6.0 Y e s', 'refused: 550 5.7.1 N o', 'refused: 550 5.0.0 Not so'],
  ],
  [
    'codes that cannot be passed on',
    { dot: () => '599 5.1.1 A\r\n550 4.2.1 B\r\n450\r\n' },
    ['refused: 550 5.1.1 A', 'refused: 550 5.0.0 4.2.1 B', 'refused: 450 4.0.0 No text was given'],
  ],
  [
    'texts that cannot be passed on',
    { dot: () => `550 5.1.1 Gr\xc3\xbc\xc3\x9fe\t!\r\n550 5.1.1 ${'x'.repeat(1500)}\r\n250 Ok\n` },
    [
      'refused: 550 5.1.1 Gr\\x{FC}\\x{DF}e !',
      `refused: 550 5.1.1 ${'x'.repeat(MAX_REPLY_TEXT)}`,
      'delivered: 250 2.0.0 Ok',
    ],
  ],
]

describe('what a next hop does, and what becomes of three copies', () => {
  describe.each(['with', 'without'])('%s PIPELINING', pipelining => {
    test.each(CASES)('%s', async (_name, script, outcomes) => {
      const offer = '250-hop\r\n250-PIPELINING\r\n250 8BITMIME\r\n'
      const LHLO = (): string => (pipelining === 'with' ? offer : offer.replace('250-PIPELINING\r\n', ''))
      const times = outcomes.includes('failed: late') ? SHORT : {}
      expect(await outcomesOf({ LHLO, ...script }, 'abc', times)).toEqual(outcomes)
    })
  })

  test('there is none', async () => {
    const to = { kind: 'tcp', host: '127.0.0.1', port: await freePort() } as const
    delivery = createRelayDelivery(relaySettings(to))
    const outcomes = await delivery.deliver(ENVELOPE, POST, team('ab'))
    expect(outcomes.map(told)).toEqual(['failed: unreachable', 'failed: unreachable'])
    expect(outcomes[0]).toMatchObject({
      cause: { message: `cannot reach 127.0.0.1:${to.port}`, cause: { code: 'ECONNREFUSED' } },
    })
  })

  test('there is no such socket', async () => {
    delivery = createRelayDelivery(relaySettings({ kind: 'unix', path: '/nowhere/lmtp' }))
    const [outcome] = await delivery.deliver(ENVELOPE, POST, team('a'))
    expect(outcome).toMatchObject({
      kind: 'failed',
      cause: { kind: 'unreachable', cause: { code: 'ENOENT' } },
    })
  })

  test('takes no data', async () => {
    // It reads the commands and then nothing more, so that the message does not fit into the buffers between.
    const server = createServer(socket => {
      socket.write('220 x\r\n')
      socket.once('data', () => {
        socket.write('250-x\r\n250 PIPELINING\r\n')
        socket.once('data', () => {
          socket.pause()
          socket.write('250 Ok\r\n250 Ok\r\n354 Go on\r\n')
        })
      })
      socket.on('error', () => {})
    })
    await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    delivery = createRelayDelivery(relaySettings({ kind: 'tcp', host: '127.0.0.1', port }, SHORT))
    const outcomes = await delivery.deliver(ENVELOPE, message(Buffer.alloc(50_000_000, 'x')), team('a'))
    expect(outcomes.map(told)).toEqual(['failed: late'])
    server.close()
  })

  test('speaks while it is sent data', async () => {
    hop = await startNextHop({ piece: () => '552 5.3.4 Too big\r\n' })
    delivery = createRelayDelivery(relaySettings(hop.endpoint))
    const outcomes = await delivery.deliver(ENVELOPE, message(Buffer.alloc(30_000_000, 'x')), team('ab'))
    expect(outcomes.map(told)).toEqual(['failed: nonsense', 'failed: nonsense'])
    expect(hop.messages).toEqual([])
  })

  test('the message cannot be read to its end: the next hop never gets the final dot', async () => {
    hop = await startNextHop()
    delivery = createRelayDelivery(relaySettings(hop.endpoint))
    let readings = 0
    const broken = {
      size: 200_000,
      async *read() {
        readings++
        yield Buffer.alloc(100_000, 'x')
        if (readings > 1) throw new Error('the disk is gone')
        yield Buffer.alloc(100_000, 'x')
      },
    }
    const outcomes = await delivery.deliver(ENVELOPE, broken, team('ab'))
    expect(outcomes).toMatchObject(
      Array(2).fill({ kind: 'failed', cause: { kind: 'ours', cause: { message: 'the disk is gone' } } }),
    )
    await hop.opened(0)
    expect(hop.messages).toEqual([])
  })

  test('does everything slowly: all of a message has one limit', async () => {
    const slowly = { RCPT: () => '452 4.5.3 One at a time\r\n' }
    hop = await startNextHop({
      RCPT: said => (said.taken.length === 0 ? '250 Ok\r\n' : slowly.RCPT()),
      dot: () => [],
    })
    delivery = createRelayDelivery(relaySettings(hop.endpoint, { ...SHORT, timeoutMs: 200 }))
    const start = performance.now()
    const outcomes = await delivery.deliver(ENVELOPE, POST, team('abc'))
    expect(outcomes.map(told)).toEqual(all('failed: late'))
    expect(performance.now() - start).toBeLessThan(1500)
  })
})

describe('whatever bytes come', () => {
  const piece = fc.oneof(
    fc.constantFrom<string>(
      '250 ',
      '250-',
      '2.0.0 ',
      '550 5.1.1 no',
      '451 ',
      '354 ',
      '221 ',
      '421 x',
      '\r\n',
      '\n',
      '\r',
      '25',
      '0',
      ' ',
    ),
    fc.constantFrom<string>(
      '250 Ok\r\n',
      '250 Ok\r\n',
      '250 Ok\r\n',
      '550 No\r\n',
      '354 Go\r\n',
      '250-x\r\n250 y\r\n',
    ),
    fc.string({ maxLength: 8, unit: 'binary' }),
  )
  const answer: fc.Arbitrary<Answer> = fc.array(
    fc.oneof({ weight: 9, arbitrary: piece }, fc.constantFrom(CLOSE, RESET)),
    { maxLength: 8 },
  )
  const likely = fc.array(fc.constantFrom('250 Ok\r\n', '250 2.0.0 Ok\r\n', '550 No\r\n', '250-a\r\n'), {
    minLength: 2,
    maxLength: 7,
  })
  const seldom = fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, answer)
  const behaviour = fc
    .record({
      connect: seldom,
      LHLO: seldom,
      MAIL: seldom,
      RCPT: seldom,
      DATA: seldom,
      dot: fc.oneof(answer, likely),
    })
    .map(given => Object.fromEntries(Object.entries(given).filter(([, what]) => what !== undefined)))

  const textOf = (answer: Answer = []): string =>
    [answer]
      .flat()
      .filter(part => typeof part === 'string')
      .join('')

  /** So many positive replies a reader finds that takes whatever looks like one. */
  const positives = (answer: Answer | undefined): number => textOf(answer).match(/25[012]/g)?.length ?? 0

  /**
   * What a next hop says ahead of the final dot, behind a 354 and in a packet of its own, may come when the dot has been
   * sent: nobody can tell it from what is said after it.
   */
  const ahead = (answer: Answer | undefined): number =>
    textOf(answer).includes('354') ? positives(answer) : 0

  test('there is an outcome for each recipient, and no delivery without a 2xx after the dot', async () => {
    const names = 'abcde'
    let deliveries = 0
    await fc.assert(
      fc.asyncProperty(
        behaviour,
        fc.boolean(),
        fc.integer({ min: 1, max: 5 }),
        async (given, pipelining, maxRecipients) => {
          let dots = 0
          let said = 0
          const script: Script = {
            ...(!pipelining && { LHLO: () => '250 hop\r\n' }),
            ...Object.fromEntries(Object.entries(given).map(([verb, what]) => [verb, () => what])),
            dot: () => {
              dots++
              said += positives(given['dot']) + ahead(given['DATA']) + ahead(given['RCPT']) * names.length
              return given['dot'] ?? []
            },
          }
          const server = await startNextHop(script)
          const relay = createRelayDelivery(
            relaySettings(server.endpoint, { replyTimeoutMs: 30, timeoutMs: 80, maxRecipients }),
          )
          try {
            const outcomes = await relay.deliver(ENVELOPE, POST, team(names))
            expect(outcomes).toHaveLength(names.length)
            const delivered = outcomes.filter(({ kind }) => kind === 'delivered').length
            deliveries += delivered
            expect(delivered).toBeLessThanOrEqual(said)
            if (dots === 0) expect(delivered).toBe(0)
            for (const outcome of outcomes) {
              if (outcome.kind === 'refused') expect(String(outcome.reply.code)).toMatch(/^[45]/)
            }
          } finally {
            await relay.close?.()
            await server.stop()
          }
        },
      ),
      { numRuns: 200 },
    )
    expect(deliveries).toBeGreaterThan(10)
  }, 60_000)
})
