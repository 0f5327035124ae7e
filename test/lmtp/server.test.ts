/** The sink over real sockets: who may connect, how long, and how it ends. */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { parseNetwork } from '../../src/core/network.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { must } from '../support/vectors.ts'
import { connected, end, greeted, inData, keep, slowDelivery, start } from './site.ts'

afterEach(end)

describe('who may connect', () => {
  test('an MTA from elsewhere is told so, and closed', async () => {
    const { log, ...rest } = await start({ settings: { allow: [must(parseNetwork('192.0.2.0/24'))] } })
    const client = await connected({ log, ...rest })
    client.send('LHLO x')
    expect(await client.rest()).toBe('421 sink.example.org does not take mail from this host\r\n')
    expect(log.lines.map(line => line.message)).toEqual(['connection refused'])
  })

  test('by unix socket everybody may who can open it, and XFORWARD is believed', async () => {
    const client = await connected(await start({ listen: 'unix', settings: { allow: [], xforward: [] } }))
    await client.reply()
    expect((await client.ask('LHLO x')).lines).toContain(
      '250-XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE',
    )
  })

  test('one more than may is told to come later', async () => {
    const started = await start({ settings: { maxConnections: 2 } })
    const first = await greeted(started)
    await greeted(started)
    const third = await connected(started)
    expect(await third.rest()).toBe('421 sink.example.org has too many connections; try again later\r\n')
    first.send('QUIT')
    await first.rest()
    first.finish()
    await vi.waitFor(async () => expect((await (await connected(started)).reply()).code).toBe(220))
  })

  test('servers of one front share its limits', async () => {
    const started = await start({ settings: { maxConnections: 1 } })
    const second = started.front.newServer()
    await new Promise<void>(resolve => second.listen(join(started.directory, 'second'), resolve))
    await greeted(started)
    const client = keep(await LmtpClient.connect({ path: join(started.directory, 'second') }))
    expect((await client.reply()).code).toBe(421)
    second.close()
  })
})

describe('time', () => {
  test('a client that is silent is told so, and closed', async () => {
    const client = await greeted(await start({ settings: { idleTimeoutMs: 50 } }))
    expect(await client.rest()).toBe('421 4.4.2 Nothing was heard for too long\r\n')
  })

  test('a client that is silent in mid-message, too', async () => {
    const started = await start({ settings: { idleTimeoutMs: 50 } })
    const client = await inData(started)
    client.write('Subject: x\r\n')
    expect(await client.rest()).toBe('421 4.4.2 Nothing was heard for too long\r\n')
    expect(started.front.counts.messages).toBe(0)
  })

  test('a client is not silent while we work', async () => {
    const delivery = slowDelivery()
    const client = await inData(await start({ delivery, settings: { idleTimeoutMs: 50 } }))
    client.send('Subject: x', '.')
    await delivery.begun
    await new Promise(resolve => setTimeout(resolve, 200))
    delivery.finish()
    expect((await client.reply()).code).toBe(250)
  })

  test('a message may not take for ever', async () => {
    const started = await start({ settings: { dataTimeoutMs: 100, idleTimeoutMs: 1000 } })
    const client = await inData(started)
    const drip = setInterval(() => client.write('x'), 20)
    expect(await client.rest()).toBe('421 4.4.2 The message took too long\r\n')
    clearInterval(drip)
  })

  test('nor may one that is too big', async () => {
    const started = await start({ settings: { dataTimeoutMs: 100, maxSize: 10, idleTimeoutMs: 1000 } })
    const client = await inData(started)
    const drip = setInterval(() => client.write('0123456789'), 20)
    expect(await client.rest()).toBe('421 4.4.2 The message took too long\r\n')
    clearInterval(drip)
  })
})

describe('the end', () => {
  test('idle clients are told and closed', async () => {
    const started = await start()
    const idle = await greeted(started)
    const within = await greeted(started)
    await within.ask('MAIL FROM:<alice@example.net>')
    started.server.close()
    const drained = started.front.drain(10_000)
    for (const client of [idle, within]) {
      expect(await client.rest()).toBe('421 4.3.2 Shutting down; try again later\r\n')
      client.finish()
    }
    await drained
  })

  test('a message in transfer is finished, and its replies are sent', async () => {
    const started = await start()
    const client = await inData(started)
    client.write('Subject: x\r\n')
    started.server.close()
    const drained = started.front.drain(10_000)
    client.send('', 'text', '.')
    expect(await client.rest()).toBe(
      '250 2.0.0 <team@lists.example.org> taken as ID1\r\n421 4.3.2 Shutting down; try again later\r\n',
    )
    client.finish()
    await drained
    expect(started.copies.length).toBe(1)
  })

  test('what is left after the grace is cut', async () => {
    const started = await start()
    const client = await inData(started)
    client.write('Subject: x\r\n')
    started.server.close()
    const before = performance.now()
    await started.front.drain(100)
    expect(performance.now() - before).toBeGreaterThanOrEqual(95)
    expect(await client.rest()).toBe('')
    expect(started.copies).toEqual([])
  })

  test('who comes too late is told', async () => {
    const started = await start()
    await started.front.drain(1000)
    const client = await connected(started)
    expect(await client.rest()).toBe('421 sink.example.org is shutting down; try again later\r\n')
  })

  test('spool directories are only made where they are needed', async () => {
    const started = await start()
    const client = await inData(started)
    client.send('Subject: x', '.')
    await client.reply()
    expect(await readdir(started.directory)).toEqual([])
    await mkdir(join(started.directory, 'spool'))
  })
})
