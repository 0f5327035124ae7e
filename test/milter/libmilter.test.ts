/** The life of the engine on libmilter: how it starts, fails and ends, and that it never says what nobody decided. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { LibmilterError } from '../../src/milter/libmilter/faults.ts'
import { connectionOf } from '../../src/milter/libmilter/front.ts'
import { type Host, loadHost, requireLibmilter, startHost } from './libmilter-host.ts'
import { underLoad } from './libmilter-load.ts'
import { MtaClient } from './mta-client.ts'
import { command } from './mta-wire.ts'

const missing = requireLibmilter()

let host: Host | undefined
afterEach(async () => {
  await host?.kill()
  host = undefined
})

describe('an endpoint as libmilter has it', () => {
  test.each([
    [{ kind: 'tcp', host: '127.0.0.1', port: 8891 }, 'inet:8891@127.0.0.1'],
    [{ kind: 'tcp', host: '::1', port: 8891 }, 'inet6:8891@::1'],
    [{ kind: 'unix', path: '/run/postern/milter' }, 'unix:/run/postern/milter'],
  ] as const)('%j', (endpoint, connection) => {
    expect(connectionOf(endpoint)).toBe(connection)
  })

  test('a port that the system chooses is none', () => {
    expect(() => connectionOf({ kind: 'tcp', host: '127.0.0.1', port: 0 })).toThrow(LibmilterError)
  })
})

test('without libmilter it says which package has it', async () => {
  // koffi loads nothing from a place that is not there: the loader is told of no library of that name.
  const program = `
    import koffi from 'koffi'
    const load = koffi.load
    koffi.load = name => { if (name.startsWith('libmilter')) throw new Error('no such file'); return load(name) }
    const { loadLibmilter } = await import(${JSON.stringify(new URL('../../src/milter/libmilter/smfi.ts', import.meta.url).href)})
    try { loadLibmilter() } catch (error) { console.log(error.code + ': ' + error.message) }`
  const tsx = new URL('../support/typescript-in-threads.mjs', import.meta.url).href
  const child = spawn(process.execPath, ['--import', tsx, '--input-type=module', '-e', program], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let said = ''
  for await (const chunk of child.stdout) said += String(chunk)
  expect(said).toBe(
    'libmilter-missing: the milter engine libmilter needs libmilter.so.1.0.1 or libmilter.so.1, which cannot be loaded; Debian has it in the package libmilter1.0.1\n',
  )
})

describe.skipIf(missing !== undefined)('with libmilter', () => {
  test('it serves one endpoint in the life of a process', async () => {
    host = await startHost('unix')
    host.order({
      kind: 'again',
      endpoint: { kind: 'unix', path: `${(host.endpoint as { path: string }).path}.2` },
    })
    expect(await host.word()).toMatchObject({ kind: 'failed', code: 'libmilter-once' })
  })

  test('it says where it cannot listen', async () => {
    host = await loadHost('unix')
    const endpoint = { kind: 'unix', path: '/nonexistent/milter.sock' } as const
    host.order({ kind: 'start', options: { endpoint } })
    expect(await host.word()).toMatchObject({
      kind: 'failed',
      code: 'libmilter-listen',
      message: expect.stringContaining('unix:/nonexistent/milter.sock'),
    })
    host.order({ kind: 'start', options: { endpoint: host.endpoint } })
    expect(await host.word()).toEqual({ kind: 'started' })
  })

  test('a gate that does not answer in time costs the session, and other sessions wait no longer than that', async () => {
    host = await startHost('unix', { decisionTime: 300 })
    await host.judgeBy({ kind: 'stuck' })
    const client = await MtaClient.negotiated(host.endpoint)
    expect(await client.ask(command.connect('mx.example.net'))).toEqual(['t'])
    await host.judgeBy({ kind: 'scripted' })
    expect(await client.ask(command.helo('mx.example.net'))).toEqual(['t'])
    const other = await MtaClient.greeted(host.endpoint)
    expect(await other.ask(command.mail('<ok@example.net>'))).toEqual(['c'])
    expect(host.lines).toMatchObject([{ level: 'error', message: 'milter session failed' }])
    client.destroy()
    other.destroy()
  })

  test('a gate that fails costs the session: the MTA hears nothing and does its default action', async () => {
    host = await startHost('unix')
    await host.judgeBy({ kind: 'throws' })
    const client = await MtaClient.negotiated(host.endpoint)
    expect(await client.ask(command.connect('mx.example.net'))).toEqual(['closed'])
    await host.judgeBy({ kind: 'scripted' })
    const other = await MtaClient.greeted(host.endpoint)
    other.destroy()
  })

  test('while the main thread does nothing else, answers are refusals for now', async () => {
    host = await startHost('unix', { decisionTime: 300 })
    const client = await MtaClient.negotiated(host.endpoint)
    host.order({ kind: 'block' })
    expect(await host.word()).toEqual({ kind: 'blocked' })
    expect(await client.ask(command.connect('mx.example.net'))).toEqual(['t'])
    client.destroy()
  })

  test('connections beyond the limit are closed, and said once', async () => {
    host = await startHost('unix', { maxConnections: 2 })
    const clients = [await MtaClient.negotiated(host.endpoint), await MtaClient.negotiated(host.endpoint)]
    for (let i = 0; i < 3; i++) {
      const late = await MtaClient.open(host.endpoint)
      expect(await late.ask(command.negotiate())).toEqual(['closed'])
    }
    await host.decisionsSoFar()
    expect(host.lines).toEqual([{ kind: 'log', level: 'warn', message: 'too many milter connections' }])
    clients[0]?.send(command.quit())
    await clients[0]?.closed()
    const next = await MtaClient.negotiated(host.endpoint)
    next.destroy()
    clients[1]?.destroy()
  })

  test('a peer that does not take its answers is hung up on, and said once, and the others go on', async () => {
    host = await startHost('unix', { conduct: { traceHeader: true }, lookInterval: 200 })
    const deaf = await MtaClient.greeted(host.endpoint)
    deaf.pause()
    // Each message is changed: what is written then is written while all others wait.
    const messages = Array.from({ length: 50 }, () => [
      command.mail('<ok@example.net>'),
      command.rcpt('<drop@lists.example.org>'),
      command.rcpt('<ok@lists.example.org>'),
      command.endOfMessage(),
    ])
    const flood = Buffer.concat(messages.flat())
    const sending = setInterval(() => deaf.send(flood), 20)
    try {
      while (host.problems().length === 0) await once(host.child, 'message')
    } finally {
      clearInterval(sending)
    }
    const other = await MtaClient.greeted(host.endpoint)
    expect(await other.ask(command.mail('<ok@example.net>'))).toEqual(['c'])
    // Time for another look.
    await new Promise(resolve => setTimeout(resolve, 500))
    expect(await other.ask(command.rcpt('<no@lists.example.org>'))).toEqual(['y 550 5.7.1 No, by 100%%'])
    await host.decisionsSoFar()
    expect(host.problems()).toEqual(['it does not take its answers'])
    other.destroy()
    deaf.destroy()
  }, 60_000)

  test('100,000 fields of a header are counted, and none is answered', async () => {
    host = await startHost('unix')
    const client = await MtaClient.greeted(host.endpoint)
    await client.ask(command.mail('<ok@example.net>'))
    await client.ask(command.rcpt('<ok@lists.example.org>'))
    await client.ask(command.data())
    client.send(...Array.from({ length: 100_000 }, (_, i) => command.header('X-Field', String(i))))
    expect(await client.ask(command.endOfHeaders())).toEqual(['c'])
    expect(await client.ask(command.endOfMessage())).toEqual(['c'])
    expect(client.unread).toEqual([])
    client.destroy()
  }, 60_000)

  test('a message on its way is finished when the engine ends; none is begun', async () => {
    host = await startHost('unix')
    const busy = await MtaClient.greeted(host.endpoint)
    await busy.ask(command.mail('<ok@example.net>'))
    const idle = await MtaClient.greeted(host.endpoint)
    host.order({ kind: 'drain', graceMs: 5_000 })
    for (let begins = true; begins; ) {
      const next = await MtaClient.open(host.endpoint)
      begins = !(await next.ask(command.negotiate())).includes('closed')
      next.destroy()
    }
    expect(await idle.ask(command.mail('<ok@example.net>'))).toEqual(['closed'])
    expect(await busy.ask(command.rcpt('<no@lists.example.org>'))).toEqual(['y 550 5.7.1 No, by 100%%'])
    expect(await busy.ask(command.rcpt('<drop@lists.example.org>'))).toEqual(['c'])
    expect(await busy.ask(command.endOfHeaders())).toEqual(['c'])
    expect(await busy.ask(command.endOfMessage())).toEqual(['d'])
    expect(await host.word()).toEqual({ kind: 'drained' })
  })

  test.each([1, 2, 3])('under load it ends by SIGTERM, run %i', async () => {
    expect(await underLoad(running => running.child.kill('SIGTERM'))).toMatchObject({ ended: 0, wrong: [] })
  })

  test.each(['exit', 'throw'] as const)('under load, %s in the main thread ends the process', async kind => {
    const { ended, wrong } = await underLoad(running => running.order({ kind }))
    expect({ ended, wrong }).toEqual({ ended: kind === 'exit' ? 7 : 1, wrong: [] })
  })
})
