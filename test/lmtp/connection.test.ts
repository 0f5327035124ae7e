/** The sink over real sockets: clients that come and go as they like, and messages of all sizes. */
import { readdir, writeFile } from 'node:fs/promises'
import { createConnection } from 'node:net'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { whoIs } from '../../src/core/who.ts'
import { address } from '../support/vectors.ts'
import { connected, end, greeted, inData, slowDelivery, start } from './site.ts'

afterEach(end)

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
    client.write(`\r\n${`${'x'.repeat(398)}\r\n`.repeat(1000)}`)
    client.send('.')
    await begun
    client.socket.resetAndDestroy()
    await vi.waitFor(() => expect(started.log.lines.map(line => line.message)).toContain('connection lost'))
    finish()
    await vi.waitFor(() => expect(started.front.counts.delivered).toBe(1))
    expect(octets).toBe(400_002)
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

  test('that are bigger than may be are read to their end; told is only whose return path is theirs', async () => {
    const started = await start({ settings: { maxSize: 300_000 } })
    const [list, sender] = ['team@lists.example.org', 'alice@example.net'].map(text => address(text))
    await started.store.admit({ list: list!.key, sender: whoIs(sender!), seconds: 60 })
    const client = await inData(started, ['team', 'open'])
    client.write(Buffer.alloc(2_000_000, 'x\r\n'))
    client.send('', '.', 'NOOP')
    expect(await client.replies(3)).toEqual([
      '552 5.3.4 The message is larger than this system takes',
      '250 2.0.0 <open@lists.example.org> taken as ID1',
      '250 2.0.0 Ok',
    ])
    expect(started.copies).toEqual([])
    expect(started.front.counts).toMatchObject({ messages: 1, refused: 1, discarded: 1, late: 1 })
    expect(started.log.lines).toContainEqual(
      expect.objectContaining({
        message: 'message discarded',
        recipient: 'open@lists.example.org',
        reason: 'late-refusal-discarded',
        insteadOf: '552 5.3.4 The message is larger than this system takes',
      }),
    )
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
      ['RCPT', '4ABC'],
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
      late: 0,
    })
  })
})
