/** The sink over real sockets: who may connect, what it does with hard cases, and how it ends. */
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Delivery, DeliveryOutcome } from '../../src/app/message.ts'
import { StoreUnavailable } from '../../src/app/ports.ts'
import { parseNetwork } from '../../src/core/network.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { type Sink, type SinkOptions, startSink } from '../support/lmtp-sink.ts'
import { must } from '../support/vectors.ts'

let sink: Sink | undefined
const clients: LmtpClient[] = []

async function start(options: SinkOptions = {}): Promise<Sink> {
  sink = await startSink(options)
  return sink
}

async function greeted({ address }: Sink): Promise<LmtpClient> {
  const client = await LmtpClient.greeted(address)
  clients.push(client)
  return client
}

async function connected({ address }: Sink): Promise<LmtpClient> {
  const client = await LmtpClient.connect(address)
  clients.push(client)
  return client
}

/** Gives a client a transaction up to the 354. */
async function inData({ address }: Sink, recipients: readonly string[] = ['team']): Promise<LmtpClient> {
  const client = await LmtpClient.greeted(address)
  clients.push(client)
  client.send(
    'MAIL FROM:<alice@example.net>',
    ...recipients.map(name => `RCPT TO:<${name}@lists.example.org>`),
    'DATA',
  )
  expect((await client.replies(recipients.length + 2)).at(-1)).toMatch(/^354 /)
  return client
}

/** A delivery that takes as long as the test says. */
function slowDelivery(): Delivery & {
  finish: (outcome?: DeliveryOutcome) => void
  readonly begun: Promise<void>
} {
  let finish: (outcome?: DeliveryOutcome) => void = () => {}
  let begin: () => void = () => {}
  const begun = new Promise<void>(resolve => {
    begin = resolve
  })
  return {
    name: 'slow',
    begun,
    finish: outcome => finish(outcome),
    deliver: (_envelope, _message, recipients) => {
      begin()
      return new Promise(resolve => {
        finish = (outcome = { kind: 'delivered' }) => resolve(recipients.map(() => outcome))
      })
    },
  }
}

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await sink?.close()
  sink = undefined
})

describe('who may connect', () => {
  test('an MTA from elsewhere is told so, and closed', async () => {
    const { log, ...rest } = await start({ settings: { allow: [must(parseNetwork('192.0.2.0/24'))] } })
    const client = await connected({ log, ...rest })
    client.send('LHLO x')
    expect(await client.rest()).toBe('554 sink.example.org does not take mail from this host\r\n')
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
    const client = await LmtpClient.connect({ path: join(started.directory, 'second') })
    clients.push(client)
    expect((await client.reply()).code).toBe(421)
    second.close()
  })
})

describe('clients', () => {
  test('that send everything and close their side get all replies', async () => {
    const delivery = slowDelivery()
    const started = await start({ delivery })
    const ended = new Promise(resolve => started.server.once('connection', to => to.once('end', resolve)))
    const client = await connected(started)
    client.write(
      'LHLO x\r\nMAIL FROM:<alice@example.net>\r\nRCPT TO:<team@lists.example.org>\r\n' +
        'RCPT TO:<open@lists.example.org>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n',
    )
    client.finish()
    await Promise.all([ended, delivery.begun])
    await new Promise(resolve => setImmediate(resolve))
    delivery.finish()
    expect((await client.rest()).match(/^250 2\.0\.0 </gm)?.length).toBe(2)
  })

  test.each(['closed', 'broken'])('that are gone in mid-message leave nothing behind: %s', async how => {
    const started = await start()
    const client = await inData(started)
    client.write(Buffer.alloc(400_000, 'x'))
    await vi.waitFor(async () => expect(await readdir(join(started.directory, 'spool'))).toEqual([]))
    if (how === 'closed') client.finish()
    else client.socket.resetAndDestroy()
    await vi.waitFor(() =>
      expect(started.log.lines.map(line => line.message)).toContain('client gone in mid-message'),
    )
    expect(started.copies).toEqual([])
    expect(started.front.counts.messages).toBe(0)
    expect(await readdir(join(started.directory, 'spool'))).toEqual([])
  })

  test('that are gone while their message is delivered harm nothing', async () => {
    let octets = 0
    let goOn: () => void = () => {}
    const begun = new Promise<void>(begin => {
      goOn = begin
    })
    let finish: () => void = () => {}
    const gone = new Promise<void>(resolve => {
      finish = resolve
    })
    const started = await start({
      delivery: {
        name: 'late',
        async deliver(_envelope, message, recipients) {
          goOn()
          await gone
          for await (const chunk of message.read()) octets += chunk.length
          return recipients.map(() => ({ kind: 'delivered' }))
        },
      },
    })
    const client = await inData(started)
    client.write(`${'x'.repeat(398)}\r\n`.repeat(1000))
    client.send('.')
    await begun
    client.socket.resetAndDestroy()
    await vi.waitFor(() => expect(started.log.lines.map(line => line.message)).toContain('connection lost'))
    finish()
    await vi.waitFor(() => expect(started.front.counts.delivered).toBe(1))
    expect(octets).toBe(400_000)
    expect((await (await connected(started)).reply()).code).toBe(220)
    expect(started.log.lines.filter(line => line.level === 'error')).toEqual([])
  })

  test('that do not read their replies are not read from, either', async () => {
    const started = await start({ settings: { idleTimeoutMs: 1000 } })
    const socket = createConnection({ port: started.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    socket.pause()
    const closed = new Promise(resolve => socket.once('close', resolve))
    const commands = Buffer.from('HELP\r\n'.repeat(10_000))
    // What the system takes on its way is some megabytes; the rest must stay with the client.
    for (let sent = 0; socket.writableLength < 8_000_000; sent++) {
      if (sent > 2000) throw new Error('the server reads on for ever')
      socket.write(commands)
      await new Promise(resolve => setImmediate(resolve))
    }
    // It is not waited for longer than for any other client.
    await closed
  })

  test('that send octet by octet are understood', async () => {
    const started = await start()
    const client = await connected(started)
    client.socket.setNoDelay(true)
    const text =
      'LHLO x\r\nMAIL FROM:<alice@example.net>\r\nRCPT TO:<team@lists.example.org>\r\nDATA\r\n..x\r\n.\r\nQUIT\r\n'
    for (const octet of text) {
      client.write(octet)
      await new Promise(resolve => setImmediate(resolve))
    }
    expect(await client.rest()).toMatch(
      /250 2\.0\.0 <team@lists\.example\.org> taken as ID1\r\n221 2\.0\.0 Bye\r\n$/,
    )
    expect(started.copies.map(copy => copy.bytes.toString())).toEqual(['.x\r\n'])
  })
})

describe('messages', () => {
  test('of some megabytes come through the spool as they were', async () => {
    const started = await start()
    const client = await inData(started, ['team', 'open'])
    const line = `.${'0123456789'.repeat(120)}\r\n`
    const message = `Subject: x\r\n\r\n${line.repeat(4000)}`
    client.write(message.replaceAll('\r\n.', '\r\n..'))
    client.send('.')
    expect((await client.replies(2)).map(text => text.slice(0, 9))).toEqual(['250 2.0.0', '250 2.0.0'])
    expect(started.copies.map(copy => copy.bytes.equals(Buffer.from(message)))).toEqual([true, true])
    expect(await readdir(join(started.directory, 'spool'))).toEqual([])
  })

  test('that are bigger than may be are read to their end, and refused for each recipient', async () => {
    const started = await start({ settings: { maxSize: 300_000 } })
    const client = await inData(started, ['team', 'open'])
    client.write(Buffer.alloc(2_000_000, 'x\r\n'))
    client.send('', '.', 'NOOP')
    expect(await client.replies(3)).toEqual([
      '552 5.3.4 The message is larger than this system takes',
      '552 5.3.4 The message is larger than this system takes',
      '250 2.0.0 Ok',
    ])
    expect(started.copies).toEqual([])
    expect(await readdir(join(started.directory, 'spool'))).toEqual([])
  })

  test('that cannot be spooled are deferred for each recipient', async () => {
    const started = await start()
    await writeFile(join(started.directory, 'spool'), 'in the way')
    const client = await inData(started, ['team', 'open'])
    client.write(Buffer.alloc(1_000_000, 'x\r\n'))
    client.send('', '.', 'NOOP')
    expect(await client.replies(3)).toEqual([
      '451 4.3.0 Temporary failure; try again later',
      '451 4.3.0 Temporary failure; try again later',
      '250 2.0.0 Ok',
    ])
    expect(started.front.counts).toMatchObject({ messages: 1, failed: 2, delivered: 0 })
  })

  test('name their MTA and the client of XFORWARD', async () => {
    const started = await start()
    const client = await greeted(started)
    client.send(
      'XFORWARD NAME=client.example.net ADDR=192.0.2.1 HELO=h IDENT=4ABC',
      'MAIL FROM:<alice@example.net> SMTPUTF8',
      'RCPT TO:<team@lists.example.org>',
      'DATA',
    )
    await client.replies(4)
    client.send('Subject: x', '.')
    await client.reply()
    const [copy] = started.copies
    expect(copy?.envelope).toMatchObject({
      id: 'ID1',
      smtputf8: true,
      sender: { key: 'alice@example.net' },
      client: { ip: { text: '192.0.2.1' }, name: 'client.example.net', helo: 'h' },
      mta: { name: 'mta.example.org', address: '127.0.0.1' },
    })
    expect(started.decisions.map(({ tx, queueId }) => [tx.phase, queueId])).toEqual([
      ['MAIL', '4ABC'],
      ['RCPT', '4ABC'],
      ['DATA', '4ABC'],
      ['END-OF-MESSAGE', '4ABC'],
    ])
    expect(started.log.lines).toContainEqual({
      level: 'info',
      message: 'message delivered',
      id: 'ID1',
      queueId: '4ABC',
      sender: 'alice@example.net',
      recipient: 'team@lists.example.org',
      list: 'team@lists.example.org',
      size: 12,
      delivery: 'keeping',
    })
  })

  test('go to lists, services and moderators, and nowhere', async () => {
    const started = await start()
    const client = await greeted(started)
    for (const sender of ['alice', 'held', 'quiet']) {
      client.send(
        `MAIL FROM:<${sender}@example.net>`,
        'RCPT TO:<team@lists.example.org>',
        'RCPT TO:<team-owner@lists.example.org>',
        'DATA',
      )
      await client.replies(4)
      client.send(`Subject: ${sender}`, '.')
      await client.replies(2)
    }
    expect(
      started.copies.map(({ bytes, list, service, disposition }) => [
        bytes.toString().trim(),
        list,
        service,
        disposition,
      ]),
    ).toEqual([
      ['Subject: alice', 'team@lists.example.org', undefined, 'deliver'],
      ['Subject: alice', 'team@lists.example.org', 'owner', 'deliver'],
      ['Subject: held', 'team@lists.example.org', undefined, 'hold'],
      ['Subject: held', 'team@lists.example.org', 'owner', 'deliver'],
      ['Subject: quiet', 'team@lists.example.org', 'owner', 'deliver'],
    ])
    expect(started.front.counts).toEqual({
      messages: 3,
      delivered: 4,
      held: 1,
      discarded: 1,
      refused: 0,
      failed: 0,
    })
  })
})

describe('what fails', () => {
  test('a store that is away defers, at every phase', async () => {
    let away = false
    const started = await start({
      facts: store => ({
        load: query => {
          if (away) throw new StoreUnavailable('away')
          return store.load(query)
        },
        countPost: post => store.countPost(post),
      }),
    })
    const client = await inData(started)
    away = true
    client.send('Subject: x', '.', 'MAIL FROM:<alice@example.net>')
    expect(await client.replies(2)).toEqual([
      '451 4.3.0 Temporary failure; try again later',
      '451 4.3.0 Temporary failure; try again later',
    ])
    away = false
    expect((await client.ask('MAIL FROM:<alice@example.net>')).code).toBe(250)
    away = true
    expect((await client.ask('RCPT TO:<team@lists.example.org>')).text).toMatch(/^451 4\.3\.0 /)
    expect(started.copies).toEqual([])
  })

  test.each<[string, Delivery['deliver'], string]>([
    ['fails', async (_e, _m, to) => to.map(() => ({ kind: 'failed', cause: new Error('no') })), '451 4.3.0'],
    [
      'is full',
      async (_e, _m, to) =>
        to.map(() => ({ kind: 'failed', cause: Object.assign(new Error('full'), { code: 'ENOSPC' }) })),
      '451 4.3.1',
    ],
    ['throws', () => Promise.reject(new Error('a bug')), '451 4.3.0'],
    ['tells too little', async () => [{ kind: 'delivered' }], '451 4.3.0'],
  ])('a delivery that %s defers each recipient', async (_, deliver, code) => {
    const started = await start({ delivery: { name: 'bad', deliver } })
    const client = await inData(started, ['team', 'open'])
    client.send('Subject: x', '.')
    expect((await client.replies(2)).map(text => text.slice(0, 9))).toEqual([code, code])
    expect(started.log.lines.filter(line => line.message === 'message not delivered').length).toBe(2)
  })

  test('one recipient that cannot be delivered is deferred alone', async () => {
    const started = await start({
      delivery: {
        name: 'half',
        deliver: async (_envelope, _message, to) =>
          to.map(({ list }) =>
            list.startsWith('open') ? { kind: 'failed', cause: new Error('no') } : { kind: 'delivered' },
          ),
      },
    })
    const client = await inData(started, ['team', 'open', 'team'])
    client.send('Subject: x', '.')
    expect((await client.replies(3)).map(text => text.slice(0, 3))).toEqual(['250', '451', '250'])
  })

  test('a bug ends one session, and no other', async () => {
    const started = await start({
      newId: () => {
        throw new Error('a bug')
      },
    })
    const other = await greeted(started)
    const client = await inData(started)
    client.send('Subject: x', '.')
    expect(await client.rest()).toBe('421 4.3.0 Temporary failure; try again later\r\n')
    expect((await other.ask('NOOP')).code).toBe(250)
    expect(started.log.lines).toMatchObject([{ level: 'error', message: 'session failed', mta: '127.0.0.1' }])
    expect(started.copies).toEqual([])
  })

  test('a bug in the law defers', async () => {
    let wild = false
    const started = await start({
      facts: store => ({
        load: query => (wild ? (undefined as never) : store.load(query)),
        countPost: post => store.countPost(post),
      }),
    })
    const client = await greeted(started)
    wild = true
    expect((await client.ask('MAIL FROM:<alice@example.net>')).text).toMatch(/^451 4\.3\.0 /)
    wild = false
    expect((await client.ask('MAIL FROM:<alice@example.net>')).code).toBe(250)
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
