/** The socketmap server's sockets: who is answered, who is closed, and what is bounded. */
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { FactsStore } from '../../src/app/ports.ts'
import { SOCKETMAP_LIMITS, type SocketmapFrontParts } from '../../src/socketmap/server.ts'
import type { Transport } from '../policy/policy-server.ts'
import { away, heldStore, late } from '../policy/stores.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { putState } from '../support/vectors.ts'
import { lookupIn, netstring, type RunningSocketmap, startSocketmap } from './socketmap-server.ts'

const TEAM = 'recipient team@lists.example.org'
const FOUND = 'OK team@lists.example.org'

let store: MemoryStore
beforeAll(async () => {
  store = new MemoryStore()
  await putState(store, {
    postern: 1,
    domains: [{ domain: 'lists.example.org' }],
    lists: [{ address: 'team@lists.example.org' }],
  })
})

let running: RunningSocketmap[] = []
afterEach(async () => {
  vi.useRealTimers()
  await Promise.all(running.map(server => server.stop()))
  running = []
})

async function start(
  transport: Transport = 'tcp',
  { from = store, ...parts }: Partial<SocketmapFrontParts> & { from?: Pick<FactsStore, 'load'> } = {},
): Promise<RunningSocketmap> {
  const server = await startSocketmap(transport, { lookup: lookupIn(from), ...parts })
  running.push(server)
  return server
}

/** What the log says of clients that were disconnected, in order. */
const problems = (server: RunningSocketmap): unknown[] =>
  server.lines.map(([, , fields]) => fields['problem'])

/** Lets the time of deadlines be set by hand; sockets go on as ever. */
function holdTime(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
}

/** Lets what was written on one side of a local socket be read on the other. */
async function settle(): Promise<void> {
  for (let i = 0; i < 10; i++) await turn()
}

describe.each<Transport>(['tcp', 'unix'])('over %s', transport => {
  test.each(['at hand', 'late'])('10000 requests on one connection, in order: facts %s', async facts => {
    const server = await start(transport, { from: facts === 'late' ? late(store) : store })
    const client = await server.connect()
    const names = Array.from({ length: 10_000 }, (_, i) => (i % 3 === 0 ? 'team' : `x${i}`))
    client.send(names.map(name => netstring(`recipient ${name}@lists.example.org`)).join(''))
    const answers: (string | undefined)[] = []
    for (const _ of names) answers.push(await client.reply())
    expect(answers).toEqual(names.map(name => (name === 'team' ? FOUND : 'NOTFOUND ')))
    client.halfClose()
    expect(await client.rest()).toBe('')
    expect(server.lines).toEqual([])
  })

  test('one request after the other, as Postfix asks', async () => {
    const client = await (await start(transport)).connect()
    for (let i = 0; i < 100; i++) {
      expect(await client.ask(TEAM)).toBe(FOUND)
      expect(await client.ask('recipient nosuch@lists.example.org')).toBe('NOTFOUND ')
      expect(await client.ask('nosuch x')).toMatch(/^PERM /)
    }
  })

  test('a request may come byte by byte', async () => {
    const client = await (await start(transport)).connect()
    client.socket.setNoDelay(true)
    for (const byte of Buffer.from(netstring(TEAM))) {
      await new Promise<void>(resolve => {
        client.socket.write(Buffer.of(byte), () => resolve())
      })
    }
    expect(await client.reply()).toBe(FOUND)
  })

  test('a client that closes its sending side is answered and then closed', async () => {
    const server = await start(transport, { from: late(store) })
    const client = await server.connect()
    client.send(netstring(TEAM))
    client.halfClose()
    expect(await client.rest()).toBe(netstring(FOUND))
    expect(server.lines).toEqual([])
  })

  test('fifty connections at once', async () => {
    const server = await start(transport, { from: late(store) })
    const answers = await Promise.all(
      Array.from({ length: 50 }, async () => {
        const client = await server.connect()
        const own: (string | undefined)[] = []
        for (let i = 0; i < 20; i++) own.push(await client.ask(i % 2 === 0 ? TEAM : 'domain example.org'))
        return own
      }),
    )
    const own = Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? FOUND : 'NOTFOUND '))
    expect(answers).toEqual(Array.from({ length: 50 }, () => own))
  })
})

describe('hostile netstrings', () => {
  test.each<[string, string, string, string]>([
    ['a text', 'GET / HTTP/1.1\r\n\r\n', '', 'a netstring does not begin with its length'],
    [
      'a leading zero',
      '032:recipient team@lists.example.org,',
      '',
      'the length of a netstring begins with a zero',
    ],
    [
      'a length too short',
      '31:recipient team@lists.example.org,',
      '',
      'a netstring does not end where its length says',
    ],
    [
      'a length too long',
      `33:${TEAM},${netstring(TEAM)}`,
      '',
      'a netstring does not end where its length says',
    ],
    [
      'no comma',
      '32:recipient team@lists.example.org;',
      '',
      'a netstring does not end where its length says',
    ],
    ['an endless length', '9'.repeat(1000), '26:PERM a request is too long,', 'a request is too long'],
    ['a gigabyte announced', '1000000000:x', '26:PERM a request is too long,', 'a request is too long'],
    ['an end in the middle', '32:recipient', '', 'it left in the middle of a request'],
    ['an end in a length', '3', '', 'it left in the middle of a request'],
  ])('%s: closed, after the answers to what came before', async (_, bytes, last, problem) => {
    const server = await start()
    const client = await server.connect()
    client.send(netstring(TEAM) + bytes)
    client.halfClose()
    expect(await client.rest()).toBe(netstring(FOUND) + last)
    expect(server.lines).toEqual([
      [
        'warn',
        'socketmap client disconnected',
        { client: expect.stringMatching(/^127\.0\.0\.1:\d+$/), problem },
      ],
    ])
    expect(await (await server.connect()).ask(TEAM)).toBe(FOUND)
  })
})

describe('bounds', () => {
  test('a client that never reads is read no more, and closed', async () => {
    let asked = 0
    const counting: Pick<FactsStore, 'load'> = {
      load: query => {
        asked++
        return store.load(query)
      },
    }
    holdTime()
    const server = await start('unix', { from: counting })
    const client = await server.connect()
    client.socket.pause()
    const block = netstring(TEAM).repeat(500)
    for (let i = 0; i < 1000; i++) {
      client.socket.write(block)
      if (i % 20 === 0) await turn()
    }
    await settle()
    const askedThen = asked
    await settle()
    vi.advanceTimersByTime(SOCKETMAP_LIMITS.answerTime - 1)
    expect([asked, server.lines]).toEqual([askedThen, []])
    expect(client.socket.bytesWritten - client.socket.writableLength).toBeLessThan(block.length * 300)
    vi.advanceTimersByTime(1)
    await new Promise(resolve => client.socket.once('close', resolve))
    expect(problems(server)).toEqual(['it does not take its answers'])
    expect(asked).toBeGreaterThan(100)
    expect(asked).toBeLessThan(100_000)
  })

  test('a request must be finished in time, however it dribbles', async () => {
    holdTime()
    const server = await start()
    const client = await server.connect()
    expect(await client.ask(TEAM)).toBe(FOUND)
    client.send('32:recip')
    await settle()
    vi.advanceTimersByTime(SOCKETMAP_LIMITS.requestTime - 1000)
    client.send('ient')
    await settle()
    vi.advanceTimersByTime(999)
    expect(server.lines).toEqual([])
    vi.advanceTimersByTime(1)
    expect(await client.rest()).toBe('')
    expect(problems(server)).toEqual(['it does not finish its request'])
  })

  test('an idle client is closed only after all that Postfix keeps it for', async () => {
    expect(SOCKETMAP_LIMITS.idleTime).toBeGreaterThan(100_000)
    const server = await start('tcp', { limits: { idleTime: 100 } })
    const client = await server.connect()
    expect(await client.ask(TEAM)).toBe(FOUND)
    expect(await client.rest()).toBe('')
    expect(server.lines).toEqual([])
  })

  test('too many connections are closed, and logged once', async () => {
    const server = await start('tcp', { maxConnections: 2 })
    const served = [await server.connect(), await server.connect()]
    for (const client of served) expect(await client.ask(TEAM)).toBe(FOUND)
    for (let i = 0; i < 3; i++) expect(await (await server.connect()).rest()).toBe('')
    expect(await served[0]?.ask(TEAM)).toBe(FOUND)
    expect(server.lines).toEqual([['warn', 'too many socketmap connections', { limit: 2 }]])
  })

  test('a store that is away costs an answer, and no connection', async () => {
    const client = await (await start('unix', { from: away('late') })).connect()
    for (let i = 0; i < 3; i++) expect(await client.ask(TEAM)).toMatch(/^TEMP /)
  })
})

describe('draining', () => {
  test('closes idle connections and takes no new ones', async () => {
    const server = await start()
    const client = await server.connect()
    expect(await client.ask(TEAM)).toBe(FOUND)
    await server.front.drain(10_000)
    expect(await client.rest()).toBe('')
    expect(await (await server.connect()).rest()).toBe('')
    expect(server.lines).toEqual([])
  })

  test('lets a question that is being looked at be answered', async () => {
    const { store: from, asked, release } = heldStore()
    const server = await start('unix', { from })
    const client = await server.connect()
    client.send(netstring(TEAM) + netstring(TEAM))
    await asked
    const drained = server.front.drain(10_000)
    release()
    expect(await client.rest()).toBe(netstring('NOTFOUND ').repeat(2))
    await drained
  })

  test('ends after its time, whatever is left', async () => {
    const { store: from, asked } = heldStore()
    const server = await start('tcp', { from })
    const client = await server.connect()
    client.send(netstring(TEAM))
    await asked
    await server.front.drain(50)
    expect(await client.rest()).toBe('')
  })
})
