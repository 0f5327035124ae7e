/** The policy server's sockets: who is answered, who is closed, and what is bounded. */
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Asking, Gate } from '../../src/app/gate.ts'
import type { Transaction } from '../../src/core/transaction.ts'
import { POLICY_LIMITS, type PolicyFrontParts } from '../../src/policy/server.ts'
import {
  gateOf,
  type PolicyClient,
  type RunningPolicy,
  startPolicy,
  type Transport,
} from './policy-server.ts'
import { NO_OBJECTION, postfix37, rcpt, request, STRANGER_REFUSED } from './requests.ts'
import { away, heldStore, late, storeOf } from './stores.ts'

const TRANSPORTS: readonly Transport[] = ['tcp', 'unix']
const MEMBER = { sender: 'alice@example.net' }

let running: RunningPolicy[] = []
afterEach(async () => {
  vi.useRealTimers()
  await Promise.all(running.map(server => server.stop()))
  running = []
})

async function start(transport: Transport, parts: Partial<PolicyFrontParts> = {}): Promise<RunningPolicy> {
  const gate = parts.gate ?? gateOf(await storeOf('lists'))
  const server = await startPolicy(transport, { ...parts, gate })
  running.push(server)
  return server
}

async function lateGate(): Promise<Gate> {
  return gateOf(late(await storeOf('lists')))
}

/** A gate that counts what it is asked. */
function counting(gate: Pick<Gate, 'ask'>): Pick<Gate, 'ask'> & { asked: number } {
  const counter = {
    asked: 0,
    ask: (tx: Transaction, asking?: Asking) => {
      counter.asked++
      return gate.ask(tx, asking)
    },
  }
  return counter
}

/** Lets the time of deadlines be set by hand; sockets go on as ever. */
function holdTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
}

/** Lets what was written on one side of a local socket be read on the other. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn()
}

describe.each(TRANSPORTS)('over %s', transport => {
  test('a connection is kept for many requests', async () => {
    const client = await (await start(transport)).connect()
    for (let i = 0; i < 5; i++) {
      expect(await client.ask(rcpt())).toBe(STRANGER_REFUSED)
      expect(await client.ask(rcpt(MEMBER))).toBe(NO_OBJECTION)
    }
  })

  test.each(['at hand', 'late'])(
    'a client that closes its sending side is answered and then closed: facts %s',
    async facts => {
      const server = await start(transport, facts === 'late' ? { gate: await lateGate() } : {})
      const client = await server.connect()
      client.send(rcpt())
      client.halfClose()
      expect(await client.rest()).toBe(STRANGER_REFUSED)
      expect(server.lines).toEqual([])
    },
  )

  test('a client that says nothing is told nothing', async () => {
    const server = await start(transport)
    const client = await server.connect()
    client.halfClose()
    expect(await client.rest()).toBe('')
    expect(server.lines).toEqual([])
  })

  test('a request may come byte by byte', async () => {
    const client = await (await start(transport)).connect()
    client.socket.setNoDelay(true)
    for (const byte of Buffer.from(rcpt())) {
      await new Promise<void>(resolve => {
        client.socket.write(Buffer.of(byte), () => resolve())
      })
    }
    expect(await client.answer()).toBe(STRANGER_REFUSED)
  })

  test.each(['at hand', 'late'])('requests sent ahead are answered in order: facts %s', async facts => {
    const client = await (
      await start(transport, facts === 'late' ? { gate: await lateGate() } : {})
    ).connect()
    const senders = Array.from({ length: 3000 }, (_, i) =>
      i % 3 === 0 ? 'alice@example.net' : 'eve@example.com',
    )
    client.send(senders.map(sender => rcpt({ sender })).join(''))
    const answers: (string | undefined)[] = []
    for (const _ of senders) answers.push(await client.answer())
    expect(answers).toEqual(
      senders.map(sender => (sender.startsWith('alice') ? NO_OBJECTION : STRANGER_REFUSED)),
    )
    client.halfClose()
    expect(await client.rest()).toBe('')
  })

  test('fifty connections at once', async () => {
    const server = await start(transport, { gate: await lateGate() })
    const answers = await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const client = await server.connect()
        const own: (string | undefined)[] = []
        for (let i = 0; i < 20; i++) {
          own.push(
            await client.ask(
              postfix37({
                protocol_state: 'RCPT',
                sender: 'eve@example.com',
                recipient: `list${n}x${i}@lists.example.org`,
              }),
            ),
          )
        }
        return own
      }),
    )
    const want = Array.from({ length: 50 }, (_, n) =>
      Array.from(
        { length: 20 },
        (_, i) => `action=550 5.1.1 There is no list list${n}x${i}@lists.example.org\n\n`,
      ),
    )
    expect(answers).toEqual(want)
  })

  test('a client that vanishes while it is waited for harms nobody', async () => {
    const { store, asked, release } = heldStore()
    const server = await start(transport, { gate: gateOf(store) })
    const [gone, other] = [await server.connect(), await server.connect()]
    gone.send(rcpt())
    await asked
    other.send(rcpt())
    if (transport === 'tcp') gone.socket.resetAndDestroy()
    else gone.destroy()
    release()
    expect(await other.answer()).toBe(NO_OBJECTION)
  })
})

describe('bounds', () => {
  test('a client that never reads is read no more, and closed', async () => {
    const gate = counting(gateOf(await storeOf('lists')))
    holdTime()
    const server = await start('unix', { gate })
    const client = await server.connect()
    client.socket.pause()
    const block = rcpt().repeat(100)
    for (let i = 0; i < 1000; i++) {
      client.socket.write(block)
      if (i % 20 === 0) await turn()
    }
    await settle()
    const asked = gate.asked
    await settle()
    vi.advanceTimersByTime(POLICY_LIMITS.answerTime - 1)
    expect([gate.asked, server.problems()]).toEqual([asked, []])
    expect(client.socket.bytesWritten - client.socket.writableLength).toBeLessThan(block.length * 300)
    vi.advanceTimersByTime(1)
    await new Promise(resolve => client.socket.once('close', resolve))
    expect(server.problems()).toEqual(['it does not take its answers'])
    expect(gate.asked).toBeGreaterThan(100)
    expect(gate.asked).toBeLessThan(20_000)
  })

  test('a slow reader gets every answer in the end', async () => {
    const client = await (await start('unix')).connect()
    client.socket.pause()
    const count = 10_000
    client.send(rcpt().repeat(count))
    for (let i = 0; i < 10; i++) await turn()
    client.socket.resume()
    client.halfClose()
    const all = await client.rest()
    expect(all.length).toBe(STRANGER_REFUSED.length * count)
    expect(all.replaceAll(STRANGER_REFUSED, '')).toBe('')
  })

  test('a request must be finished in time, however it dribbles', async () => {
    holdTime()
    const server = await start('tcp')
    const client = await server.connect()
    expect(await client.ask(rcpt() + rcpt().slice(0, 20))).toBe(STRANGER_REFUSED)
    vi.advanceTimersByTime(POLICY_LIMITS.requestTime - 1000)
    client.send(rcpt().slice(20, 40))
    await settle()
    vi.advanceTimersByTime(999)
    expect(server.problems()).toEqual([])
    vi.advanceTimersByTime(1)
    expect(await client.rest()).toBe('')
    expect(server.problems()).toEqual(['it does not finish its request'])
    expect(server.lines[0]?.fields['client']).toMatch(/^127\.0\.0\.1:\d+$/)
  })

  test('each request has its own time', async () => {
    holdTime()
    const server = await start('tcp')
    const client = await server.connect()
    client.send(rcpt().slice(0, 20))
    for (let i = 0; i < 5; i++) {
      await settle()
      vi.advanceTimersByTime(POLICY_LIMITS.requestTime - 1)
      // The end of one request and the begin of the next: there is always one that is unfinished.
      client.send(rcpt().slice(20) + rcpt().slice(0, 20))
      expect(await client.answer()).toBe(STRANGER_REFUSED)
    }
    expect(server.lines).toEqual([])
  })

  test('no deadline runs while the store is asked, nor between requests', async () => {
    holdTime()
    const { store, asked, release } = heldStore()
    const server = await start('tcp', { gate: gateOf(store) })
    const client = await server.connect()
    client.send(rcpt() + rcpt().slice(0, 20))
    await asked
    vi.advanceTimersByTime(100_000)
    release()
    expect(await client.ask(rcpt().slice(20))).toBe(NO_OBJECTION)
    expect(await client.answer()).toBe(NO_OBJECTION)
    vi.advanceTimersByTime(1_000_000)
    expect(await client.ask(rcpt())).toBe(NO_OBJECTION)
  })

  test('an idle client is closed only after all that Postfix keeps it for', async () => {
    expect(POLICY_LIMITS.idleTime).toBeGreaterThan(1_000_000)
    const server = await start('tcp', { limits: { idleTime: 100 } })
    const client = await server.connect()
    expect(await client.ask(rcpt())).toBe(STRANGER_REFUSED)
    expect(await client.rest()).toBe('')
    expect(server.lines).toEqual([])
  })

  test('too many connections are closed, and logged once', async () => {
    const server = await start('tcp', { maxConnections: 2 })
    const served: PolicyClient[] = []
    for (let i = 0; i < 2; i++) {
      const client = await server.connect()
      expect(await client.ask(rcpt())).toBe(STRANGER_REFUSED)
      served.push(client)
    }
    for (let i = 0; i < 3; i++) expect(await (await server.connect()).rest()).toBe('')
    expect(await served[0]?.ask(rcpt())).toBe(STRANGER_REFUSED)
    const said = { level: 'warn', message: 'too many policy connections', fields: { limit: 2 } }
    expect(server.lines).toEqual([said])

    served[0]?.halfClose()
    await served[0]?.rest()
    expect(await (await server.connect()).ask(rcpt())).toBe(STRANGER_REFUSED)
    expect(await (await server.connect()).rest()).toBe('')
    expect(server.lines).toEqual([said, said])
  })

  test('a failure of ours costs one connection', async () => {
    let failing = true
    const gate = gateOf(await storeOf('lists'))
    const ask: Gate['ask'] = (tx, asking) => {
      if (failing) throw new Error('a bug')
      return gate.ask(tx, asking)
    }
    const server = await start('tcp', { gate: { ask } })
    const [first, second] = [await server.connect(), await server.connect()]
    expect(await first.ask(rcpt())).toBeUndefined()
    failing = false
    expect(await second.ask(rcpt())).toBe(STRANGER_REFUSED)
    expect(server.lines.map(({ level, message, fields }) => [level, message, String(fields.cause)])).toEqual([
      ['error', 'policy request failed', 'Error: a bug'],
    ])
  })

  test('what is answered when the store is away may change while a client is connected', async () => {
    const { parts, connect } = await start('unix', { gate: gateOf(away('late')) })
    const client = await connect()
    expect(await client.ask(rcpt())).toBe('action=451 4.3.0 Temporary failure; try again later\n\n')
    parts.onStoreFailure = 'pass'
    expect(await client.ask(rcpt())).toBe(NO_OBJECTION)
    parts.onStoreFailure = 'disconnect'
    expect(await client.ask(rcpt())).toBeUndefined()
  })

  test('the log names the unix socket of a client', async () => {
    const server = await start('unix')
    expect(await (await server.connect()).ask('\n')).toBeUndefined()
    expect(server.lines[0]?.fields['client']).toMatch(/^unix:\/.+\/socket$/)
  })
})

describe('messages are shared', () => {
  test('by all connections, and by all servers of the front', async () => {
    const server = await start('tcp')
    const nullSender = { sender: '', instance: '1.2' }
    expect(await (await server.connect()).ask(rcpt(nullSender))).toBe(NO_OBJECTION)
    const data = request({
      protocol_state: 'DATA',
      client_address: '192.0.2.1',
      recipient_count: '1',
      ...nullSender,
      recipient: 'team@lists.example.org',
    })
    expect(await (await server.connect()).ask(data)).toMatch(/^action=550 5\.7\.2 /)
  })

  test('until the next message begins on the same connection', async () => {
    const server = await start('tcp')
    const client = await server.connect()
    const data = (instance: string): string =>
      request({
        protocol_state: 'DATA',
        client_address: '192.0.2.1',
        sender: '',
        instance,
        recipient_count: '1',
        recipient: 'team@lists.example.org',
      })
    expect(await client.ask(rcpt({ sender: '', instance: '1.2' }))).toBe(NO_OBJECTION)
    expect(await client.ask(request({ protocol_state: 'EHLO', client_address: '192.0.2.1' }))).toBe(
      NO_OBJECTION,
    )
    expect(await client.ask(data('1.2'))).toMatch(/^action=550 5\.7\.2 /)
    expect(await client.ask(rcpt({ sender: '', instance: '1.3' }))).toBe(NO_OBJECTION)
    expect(await client.ask(data('1.2'))).toBe(NO_OBJECTION)
  })
})

describe('draining', () => {
  test('closes idle connections and takes no new ones', async () => {
    const server = await start('tcp')
    const client = await server.connect()
    expect(await client.ask(rcpt())).toBe(STRANGER_REFUSED)
    const late = await server.connect()
    await server.front.drain(10_000)
    expect(await client.rest()).toBe('')
    expect(await late.rest()).toBe('')
    expect(await (await server.connect()).rest()).toBe('')
  })

  test('lets a question that is being looked at be answered', async () => {
    const { store, asked, release } = heldStore()
    const server = await start('unix', { gate: gateOf(store) })
    const client = await server.connect()
    client.send(rcpt() + rcpt())
    await asked
    const drained = server.front.drain(10_000)
    release()
    expect(await client.rest()).toBe(NO_OBJECTION + NO_OBJECTION)
    await drained
  })

  test('lets a request that has begun be finished', async () => {
    const server = await start('unix')
    const client = await server.connect()
    expect(await client.ask(rcpt() + rcpt().slice(0, 30))).toBe(STRANGER_REFUSED)
    const drained = server.front.drain(10_000)
    await turn()
    client.send(rcpt().slice(30))
    expect(await client.rest()).toBe(STRANGER_REFUSED)
    await drained
  })

  test('ends after its time, whatever is left', async () => {
    const { store, asked } = heldStore()
    const server = await start('tcp', { gate: gateOf(store) })
    const client = await server.connect()
    client.send(rcpt())
    await asked
    await server.front.drain(50)
    expect(await client.rest()).toBe('')
  })

  test('under load: every question that was taken is answered', async () => {
    const gate = counting(await lateGate())
    const server = await start('unix', { gate })
    let answered = 0
    const clients = Array.from({ length: 20 }, async () => {
      const client = await server.connect()
      for (;;) {
        const answer = await client.ask(rcpt())
        if (answer === undefined) return client.rest()
        expect(answer).toBe(STRANGER_REFUSED)
        answered++
      }
    })
    while (answered < 500) await turn()
    server.stopListening()
    await server.front.drain(10_000)
    expect(await Promise.all(clients)).toEqual(Array.from({ length: 20 }, () => ''))
    expect(answered).toBe(gate.asked)
  })

  test('may be asked for twice', async () => {
    const server = await start('tcp')
    await server.connect()
    await Promise.all([server.front.drain(10_000), server.front.drain(10_000)])
    expect(server.lines).toEqual([])
  })
})
