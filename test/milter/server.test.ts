/** The milter on its sockets: order, signs of life, bounds, bad peers, and its end. */
import { afterEach, describe, expect, test } from 'vitest'
import type { Decided, Gate } from '../../src/app/gate.ts'
import { replyFor } from '../../src/core/reason.ts'
import { makeReply } from '../../src/core/reply.ts'
import type { Phase } from '../../src/core/transaction.ts'
import type { Verdict } from '../../src/core/verdict.ts'
import { must } from '../support/vectors.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { MtaClient } from './mta-client.ts'
import { command, frame } from './mta-wire.ts'
import { gateOf } from './world.ts'

let server: RunningMilter | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

async function start(given: Partial<Parameters<typeof startMilter>[1]> = {}): Promise<RunningMilter> {
  server = await startMilter('tcp', { gate: await gateOf('lists'), ...given })
  return server
}

const NO: Verdict = {
  kind: 'reject',
  reason: 'mta-refused',
  rule: 'test',
  reply: replyFor('mta-refused'),
}
const YES: Verdict = {
  kind: 'accept',
  reason: 'sender-permitted',
  rule: 'test',
  reply: replyFor('sender-permitted'),
}

/** A gate that decides in one phase when it is told to, and about everything else at once. */
function slowGate(slow: Phase = 'RCPT'): {
  gate: Pick<Gate, 'ask'>
  asked: Promise<void>
  decide: (verdict: Verdict) => void
} {
  let decide: (verdict: Verdict) => void = () => {}
  let tell: () => void = () => {}
  const decision = new Promise<Verdict>(resolve => {
    decide = resolve
  })
  const asked = new Promise<void>(resolve => {
    tell = resolve
  })
  const ask = (tx: { phase: string }): Verdict | Promise<Verdict> => {
    if (tx.phase !== slow) return YES
    tell()
    return decision
  }
  return { gate: { ask }, asked, decide: verdict => decide(verdict) }
}

const MESSAGE = [
  command.mail('<eve@example.com>'),
  command.rcpt('<open@lists.example.org>'),
  command.rcpt('<silent@lists.example.org>'),
  command.data(),
  command.header('From', 'eve@example.com'),
  command.endOfHeaders(),
  command.body('hi\r\n'),
  command.endOfMessage(),
]
const ANSWERS = [
  'c',
  'c',
  'c',
  'c',
  'c',
  '- <silent@lists.example.org>',
  'i 0 X-Postern: accept (sender-permitted)',
  'c',
]

async function read(client: MtaClient, count: number): Promise<unknown[]> {
  const answers: unknown[] = []
  while (answers.length < count) answers.push(await client.answer())
  return answers
}

describe('answers', () => {
  test('come in order, however commands are cut and joined', async () => {
    const { endpoint } = await start({ settings: { traceHeader: true } })
    const joined = await MtaClient.greeted(endpoint)
    joined.send(...MESSAGE, ...MESSAGE)
    expect(await read(joined, 16)).toEqual([...ANSWERS, ...ANSWERS])
    const cut = await MtaClient.greeted(endpoint)
    for (const byte of Buffer.concat(MESSAGE)) cut.send(Buffer.from([byte]))
    expect(await read(cut, 8)).toEqual(ANSWERS)
  })

  test('come in order when facts are late', async () => {
    const { endpoint } = await start({ gate: await gateOf('lists', 'late'), settings: { traceHeader: true } })
    const client = await MtaClient.greeted(endpoint)
    client.send(...MESSAGE, ...MESSAGE)
    expect(await read(client, 16)).toEqual([...ANSWERS, ...ANSWERS])
  })

  test('to the end of a message are one write', async () => {
    const { endpoint } = await start({ settings: { traceHeader: true } })
    const client = await MtaClient.greeted(endpoint)
    for (const bytes of MESSAGE.slice(0, 4)) await client.ask(bytes)
    await client.ask(...MESSAGE.slice(4, 6))
    const before = client.chunks
    expect(await client.ask(...MESSAGE.slice(6))).toEqual(ANSWERS.slice(5))
    expect(client.chunks - before).toBe(1)
  })

  test('name messages so that no two have one name, and the recipients of one do', async () => {
    const names: (string | undefined)[] = []
    const queueIds: (string | undefined)[] = []
    const gate = await gateOf('lists', 'at once', {
      recorder: {
        decided: ({ tx, queueId }: Decided) => {
          if (tx.phase !== 'RCPT') return
          names.push(tx.message)
          queueIds.push(queueId)
        },
      },
    })
    const { endpoint } = await start({ gate })
    for (let connection = 0; connection < 2; connection++) {
      const client = await MtaClient.greeted(endpoint)
      for (let message = 0; message < 2; message++) {
        await client.ask(command.mail('<alice@example.net>'))
        await client.ask(command.rcpt('<team@lists.example.org>'))
        await client.ask(command.macros('R', { i: '4ABC' }), command.rcpt('<open@lists.example.org>'))
      }
      client.send(command.quitNewConnection())
      await client.ask(command.mail('<alice@example.net>'))
      await client.ask(command.rcpt('<team@lists.example.org>'))
      await client.ask(command.rcpt('<open@lists.example.org>'))
    }
    expect(names).toHaveLength(12)
    expect(new Set(names).size).toBe(6)
    for (let i = 0; i < 12; i += 2) expect(names[i]).toBe(names[i + 1])
    expect(queueIds.slice(0, 4)).toEqual([undefined, '4ABC', undefined, '4ABC'])
  })

  test('counts what it has seen', async () => {
    const { endpoint, front } = await start()
    const client = await MtaClient.greeted(endpoint)
    await client.ask(command.mail('<alice@example.net>'))
    await client.ask(
      command.macros('R', { '{rcpt_mailer}': 'error' }),
      command.rcpt('<team@lists.example.org>'),
    )
    await client.ask(command.rcpt('<someone@elsewhere.example>'))
    expect(await client.ask(command.data())).toEqual(['a'])
    expect(await client.ask(command.endOfHeaders())).toEqual(['a'])
    expect(front.counts).toEqual({ connections: 1, messages: 1, otherMessages: 1, refusedByMta: 1 })
  })
})

describe('while the gate decides', () => {
  test('on a whole message, the MTA is told that we are alive, and gets its answer', async () => {
    const { gate: slow, asked, decide } = slowGate('END-OF-MESSAGE')
    // A service address takes the message whatever its header says: nothing is asked before its end.
    const gate: Pick<Gate, 'ask'> = {
      ask: tx => (tx.phase === 'RCPT' ? { ...YES, service: 'owner' } : slow.ask(tx)),
    }
    const { endpoint } = await start({ gate, limits: { progressInterval: 5 } })
    const client = await MtaClient.greeted(endpoint)
    client.send(
      command.mail('<alice@example.net>'),
      command.rcpt('<team@lists.example.org>'),
      command.data(),
      command.endOfHeaders(),
      command.endOfMessage(),
    )
    expect(await read(client, 7)).toEqual(['c', 'c', 'c', 'c', 'p', 'p', 'p'])
    await asked
    decide(NO)
    const rest = await client.ask(command.mail('<alice@example.net>'))
    expect(rest.filter(answer => answer !== 'p')).toEqual(['y 550 5.7.1 This host may not send mail here'])
    expect(await client.answer()).toBe('c')
    // No sign of life once there is nothing to wait for: it would be taken for the answer to something else.
    const end = Date.now() + 50
    while (Date.now() < end) expect(await client.ask(command.helo('again'))).toEqual(['c'])
  })

  test.each(['MAIL', 'RCPT', 'DATA'] as const)(
    'on %s it is told nothing else: Sendmail would fail',
    async slow => {
      const { gate, asked, decide } = slowGate(slow)
      const { endpoint } = await start({ gate, limits: { progressInterval: 1 } })
      const client = await MtaClient.greeted(endpoint)
      client.send(
        command.mail('<alice@example.net>'),
        command.rcpt('<team@lists.example.org>'),
        command.data(),
      )
      await asked
      await new Promise(resolve => setTimeout(resolve, 20))
      decide(YES)
      expect(await read(client, 3)).toEqual(['c', 'c', 'c'])
    },
  )

  test('others are served', async () => {
    const { gate, asked, decide } = slowGate()
    const { endpoint } = await start({ gate })
    const waiting = await MtaClient.greeted(endpoint)
    waiting.send(command.mail('<alice@example.net>'), command.rcpt('<team@lists.example.org>'))
    await asked
    const other = await MtaClient.greeted(endpoint)
    expect(await other.ask(command.mail('<alice@example.net>'))).toEqual(['c'])
    decide(YES)
    expect(await read(waiting, 2)).toEqual(['c', 'c'])
  })

  test('what is sent far ahead is not read, and answered afterwards', async () => {
    const { gate, asked, decide } = slowGate()
    const { endpoint } = await start({ gate })
    const client = await MtaClient.greeted(endpoint)
    const hellos = Array.from({ length: 5000 }, () => command.helo('x'.repeat(200)))
    client.send(command.mail('<alice@example.net>'), command.rcpt('<team@lists.example.org>'), ...hellos)
    await asked
    for (let turn = 0; turn < 50; turn++) await new Promise(resolve => setImmediate(resolve))
    decide(YES)
    const answers = await read(client, 2 + hellos.length)
    expect(answers.every(answer => answer === 'c')).toBe(true)
  })

  test('an MTA may go away', async () => {
    const { gate, asked, decide } = slowGate()
    const running = await start({ gate })
    const client = await MtaClient.greeted(running.endpoint)
    client.send(command.mail('<alice@example.net>'), command.rcpt('<team@lists.example.org>'))
    await asked
    client.destroy()
    decide(YES)
    const other = await MtaClient.greeted(running.endpoint)
    expect(await other.ask(command.mail('<alice@example.net>'))).toEqual(['c'])
    expect(running.lines).toEqual([])
  })

  test('it must not take for ever', async () => {
    const { gate } = slowGate()
    const running = await start({ gate, limits: { progressInterval: 5, decisionTime: 40 } })
    const client = await MtaClient.greeted(running.endpoint)
    client.send(command.mail('<alice@example.net>'), command.rcpt('<team@lists.example.org>'))
    await client.closed()
    expect(running.lines).toMatchObject([{ level: 'error', message: 'milter session failed' }])
  })

  test('a bug of ours costs one connection', async () => {
    const gate: Pick<Gate, 'ask'> = {
      ask: ({ phase }) => {
        if (phase === 'RCPT') throw new Error('a bug')
        return phase === 'DATA' ? Promise.reject(new Error('another')) : YES
      },
    }
    const running = await start({ gate })
    const other = await MtaClient.greeted(running.endpoint)
    const client = await MtaClient.greeted(running.endpoint)
    await client.ask(command.mail('<alice@example.net>'))
    expect(await client.ask(command.rcpt('<team@lists.example.org>'))).toEqual(['closed'])
    expect(await other.ask(command.mail('<alice@example.net>'))).toEqual(['c'])
    expect(running.lines).toMatchObject([{ level: 'error', cause: new Error('a bug') }])
  })
})

describe('a bad peer is closed, and logged once', () => {
  test('that does not finish its command', async () => {
    const running = await start({ limits: { commandTime: 30 } })
    const client = await MtaClient.greeted(running.endpoint)
    client.send(command.mail('<alice@example.net>').subarray(0, 7))
    await client.closed()
    expect(running.problems()).toEqual(['it does not finish its command'])
  })

  test('that does not finish a body', async () => {
    const running = await start({ limits: { commandTime: 30 } })
    const client = await MtaClient.greeted(running.endpoint)
    client.send(frame('B', Buffer.alloc(1000)).subarray(0, 900))
    await client.closed()
    expect(running.problems()).toEqual(['it does not finish its command'])
  })

  test('that does not take its answers', async () => {
    const wordy = { ...NO, reply: must(makeReply(550, '5.7.1', 'x'.repeat(480))) }
    const gate: Pick<Gate, 'ask'> = { ask: ({ phase }) => (phase === 'MAIL' ? wordy : YES) }
    const running = await start({ gate, limits: { commandTime: 50 } })
    const client = await MtaClient.greeted(running.endpoint)
    client.pause()
    const flood = Buffer.concat(Array.from({ length: 2000 }, () => command.mail('<alice@example.net>')))
    const sent = setInterval(() => client.send(flood), 1)
    try {
      while (running.problems().length === 0) await new Promise(resolve => setImmediate(resolve))
    } finally {
      clearInterval(sent)
    }
    expect(running.problems()).toEqual(['it does not take its answers'])
    const other = await MtaClient.greeted(running.endpoint)
    expect(await other.ask(command.helo('x'))).toEqual(['c'])
  })

  test('that speaks something else', async () => {
    const running = await start()
    const client = await MtaClient.open(running.endpoint)
    client.send(Buffer.from('EHLO client.example\r\n'.repeat(1000)))
    await client.closed()
    expect(running.problems()).toEqual(['a frame is too long'])
    expect(running.lines).toHaveLength(1)
  })

  test('that sends more than it may in one frame', async () => {
    const running = await start({ limits: { maxData: 1000 } })
    const client = await MtaClient.greeted(running.endpoint)
    expect(await client.ask(command.header('X', 'a'.repeat(990)), command.helo('x'))).toEqual(['c'])
    client.send(command.header('X', 'a'.repeat(1000)))
    await client.closed()
    expect(running.problems()).toEqual(['a frame is too long'])
  })

  test('that is silent, without a word', async () => {
    const running = await start({ limits: { idleTime: 30 } })
    const client = await MtaClient.greeted(running.endpoint)
    await client.closed()
    expect(running.lines).toEqual([])
  })
})

describe('much of everything', () => {
  test('100,000 fields, 10,000 recipients and a large body are not kept', async () => {
    const running = await start()
    const client = await MtaClient.greeted(running.endpoint)
    await client.ask(command.mail('<bounce@esp.example>'))
    const rcpts = Array.from({ length: 10_001 }, (_, i) => command.rcpt(`<r${i}@elsewhere.example>`))
    client.send(...rcpts)
    const answered = await read(client, rcpts.length)
    expect(answered.slice(0, 10_000).every(answer => answer === 'c')).toBe(true)
    expect(answered[10_000]).toBe('y 452 4.5.3 Too many recipients; send to the rest later')
    await client.ask(command.mail('<bounce@esp.example>'))
    await client.ask(command.rcpt('<author@lists.example.org>'))
    await client.ask(command.data())
    global.gc?.()
    const before = process.memoryUsage().rss
    for (let i = 0; i < 100; i++) {
      const fields = Array.from({ length: 1000 }, (_, j) => command.header(`X-${i}-${j}`, 'v'.repeat(40)))
      await client.ask(...fields, command.helo('x'))
    }
    expect(await client.ask(command.header('From', 'alice@example.net'), command.endOfHeaders())).toEqual([
      'y 554 5.6.0 The header of the message is larger than is looked at here',
    ])
    await client.ask(command.mail('<bounce@esp.example>'))
    await client.ask(command.rcpt('<author@lists.example.org>'))
    await client.ask(command.header('From', 'alice@example.net'), command.endOfHeaders())
    const body = frame('B', Buffer.alloc(65_535))
    for (let i = 0; i < 100; i++)
      await client.ask(...Array.from({ length: 16 }, () => body), command.helo('x'))
    expect(await client.ask(command.endOfMessage())).toEqual(['c'])
    expect(process.memoryUsage().rss - before).toBeLessThan(150_000_000)
  })

  test('too many connections: the last is closed, and it is said once', async () => {
    const running = await start({ settings: { maxConnections: 2 } })
    const first = await MtaClient.greeted(running.endpoint)
    const second = await MtaClient.greeted(running.endpoint)
    for (let i = 0; i < 3; i++) await (await MtaClient.open(running.endpoint)).closed()
    expect(running.lines).toEqual([{ level: 'warn', message: 'too many milter connections', limit: 2 }])
    first.send(command.quit())
    await first.closed()
    await MtaClient.greeted(running.endpoint)
    expect(await second.ask(command.helo('x'))).toEqual(['c'])
  })

  test('what an MTA lacks is said once', async () => {
    const running = await start()
    const offer = { version: 6, actions: 0xff, protocol: 0x3ff } as unknown as Parameters<
      typeof MtaClient.negotiated
    >[1]
    await MtaClient.negotiated(running.endpoint, offer)
    await MtaClient.negotiated(running.endpoint, offer)
    expect(running.lines).toEqual([
      {
        level: 'warn',
        message: 'the MTA offers less than is of use',
        version: 6,
        missed: 'SMFIP_NR_BODY SMFIP_RCPT_REJ SMFIF_SETSYMLIST',
      },
    ])
  })
})

describe('at the end', () => {
  test('idle connections are closed, and a message is finished', async () => {
    const running = await start()
    const idle = await MtaClient.greeted(running.endpoint)
    const busy = await MtaClient.greeted(running.endpoint)
    await busy.ask(command.mail('<alice@example.net>'))
    await busy.ask(command.rcpt('<team@lists.example.org>'))
    const drained = running.front.drain(60_000)
    await idle.closed()
    await (await MtaClient.open(running.endpoint)).closed()
    await busy.ask(command.data())
    await busy.ask(command.endOfHeaders())
    expect(await busy.ask(command.endOfMessage())).toEqual(['c'])
    await busy.closed()
    await drained
  })

  test('a message that is aborted is finished, too', async () => {
    const running = await start()
    const busy = await MtaClient.greeted(running.endpoint)
    await busy.ask(command.mail('<alice@example.net>'))
    const drained = running.front.drain(60_000)
    busy.send(command.abort())
    await busy.closed()
    await drained
  })

  test('a decision is waited for', async () => {
    const { gate, asked, decide } = slowGate()
    const running = await start({ gate })
    const client = await MtaClient.greeted(running.endpoint)
    client.send(
      command.mail('<alice@example.net>'),
      command.rcpt('<team@lists.example.org>'),
      command.abort(),
    )
    await asked
    const drained = running.front.drain(60_000)
    await (await MtaClient.open(running.endpoint)).closed()
    decide(YES)
    expect(await read(client, 3)).toEqual(['c', 'c', undefined])
    await drained
  })

  test('what does not end is ended', async () => {
    const running = await start()
    const busy = await MtaClient.greeted(running.endpoint)
    await busy.ask(command.mail('<alice@example.net>'))
    await running.front.drain(30)
    await busy.closed()
  })
})
