/** Delivery to next hops that mean well: Postern's own sink, smtp-server, and a scripted one that shows what it hears. */
import { afterEach, describe, expect, test } from 'vitest'
import type { Delivery, DeliveryRecipient, Envelope } from '../../src/app/message.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { whoIs } from '../../src/core/who.ts'
import { createRelayDelivery, type RelaySettings } from '../../src/delivery/relay.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { type Sink, type SinkOptions, startSink } from '../support/lmtp-sink.ts'
import { CLOSE, type NextHop, type Script, startNextHop } from '../support/next-hop.ts'
import { startTrap, type Trap, type TrapOptions } from '../support/trap.ts'
import { address, must } from '../support/vectors.ts'
import { ENVELOPE, message, POST, relaySettings, team, to, told } from './mail.ts'

const ended: (() => Promise<unknown> | undefined)[] = []

afterEach(async () => {
  for (const end of ended.splice(0).reverse()) await end()
})

function relay(endpoint: RelaySettings['to'], more: Partial<RelaySettings> = {}): Delivery {
  const delivery = createRelayDelivery(relaySettings(endpoint, more))
  ended.push(() => delivery.close?.())
  return delivery
}

async function nextHop(script: Script = {}, port = 0): Promise<NextHop> {
  const hop = await startNextHop(script, port)
  ended.push(() => hop.stop())
  return hop
}

async function sink(options: SinkOptions = {}): Promise<Sink> {
  const started = await startSink(options)
  ended.push(() => started.close())
  return started
}

async function trap(options: TrapOptions = {}): Promise<Trap> {
  const started = await startTrap({ lmtp: true, ...options })
  ended.push(() => started.stop())
  return started
}

const sinkEndpoint = ({ port }: Sink): RelaySettings['to'] => ({ kind: 'tcp', host: '127.0.0.1', port })

async function outcomes(
  delivery: Delivery,
  recipients: readonly DeliveryRecipient[],
  envelope: Envelope = ENVELOPE,
  mail = POST,
): Promise<readonly string[]> {
  return (await delivery.deliver(envelope, mail, recipients)).map(told)
}

describe('to our own sink', () => {
  test.each(['tcp', 'unix'] as const)('by %s: the message with a Received field before it', async listen => {
    const next = await sink({ listen })
    const endpoint =
      'path' in next.address ? ({ kind: 'unix', path: next.address.path } as const) : sinkEndpoint(next)
    const text = 'Subject: dots\r\n\r\n.\r\n..\r\n.x\r\nlast\r\n'
    const got = await outcomes(
      relay(endpoint),
      team('').concat(to('open@lists.example.org')),
      ENVELOPE,
      message(text),
    )
    expect(got).toEqual(['delivered: 250 2.0.0 <open@lists.example.org> taken as ID1'])
    expect(next.copies[0]?.bytes.toString()).toBe(
      [
        'Received: from mx.example.org ([192.0.2.1])',
        '\tby sink.example.org (Postern) with LMTP id ID1',
        '\tfor <open@lists.example.org>; Fri, 2 Jan 2026 03:04:05 +0000',
        text,
      ].join('\r\n'),
    )
    expect(next.copies[0]?.envelope.sender.text).toBe('alice@example.net')
  })

  test('each recipient gets its own reply, and the Received field names none of several', async () => {
    const member = { people: [{ who: 'eve@example.net', roles: ['member'] as const }] }
    const lists = [
      { address: 'closed@lists.example.org', settings: { state: 'closed' }, ...member },
      { address: 'paused@lists.example.org', settings: { state: 'paused' }, ...member },
      { address: 'open@lists.example.org', ...member },
    ]
    const next = await sink({ state: { postern: 1, domains: [{ domain: 'lists.example.org' }], lists } })
    const sender = address('eve@example.net')
    // Who was let in there before is told of refusals, and nobody else.
    const list = address('closed@lists.example.org').key
    await next.store.admit({ list, sender: whoIs(sender), seconds: 60 })
    const recipients = ['closed', 'open', 'paused', 'open'].map(name => to(`${name}@lists.example.org`))
    const got = await outcomes(relay(sinkEndpoint(next)), recipients, { ...ENVELOPE, sender })
    expect(got).toEqual([
      expect.stringMatching(/^refused: 550 5\.2\.4 .*closed@lists\.example\.org/),
      expect.stringMatching(/^delivered: 250 2\.0\.0 <open@lists\.example\.org> taken as ID1$/),
      expect.stringMatching(/^refused: 451 4\.2\.4 .*paused@lists\.example\.org/),
      expect.stringMatching(/^delivered: 250 2\.0\.0 <open@lists\.example\.org> taken as ID2$/),
    ])
    expect(next.copies).toHaveLength(2)
    expect(next.copies[0]?.bytes.toString()).toContain(
      'id ID1;\r\n\tFri, 2 Jan 2026 03:04:05 +0000\r\nSubject',
    )
    expect(next.copies[1]?.bytes.toString()).toContain('\tfor <open@lists.example.org>;')
  })

  test('tells who the client was, where that is wanted', async () => {
    const next = await sink()
    const client = {
      ip: must(parseIpAddress('2001:db8::7')),
      name: 'mx.example.net',
      helo: 'helo.example.net',
    }
    const envelope = { ...ENVELOPE, client }
    for (const xforward of [true, false]) {
      await outcomes(relay(sinkEndpoint(next), { xforward }), [to('open@lists.example.org')], envelope)
    }
    expect(next.copies.map(({ envelope: got }) => got.client)).toEqual([client, {}])
  })

  test('a message larger than any buffer arrives byte for byte', async () => {
    const next = await sink()
    const line = Buffer.from(`${'.'.repeat(60)}\r\n`)
    const big = Buffer.concat(Array.from({ length: 100_000 }, () => line))
    await outcomes(relay(sinkEndpoint(next)), [to('open@lists.example.org')], ENVELOPE, message(big, 65_521))
    expect(next.copies[0]?.bytes.subarray(-big.length).equals(big)).toBe(true)
  })

  test('the null sender, UTF-8 and quoted addresses, and a sender that is no address', async () => {
    const next = await sink({
      state: {
        postern: 1,
        domains: [{ domain: 'lists.example.org' }],
        lists: [{ address: 'jürgen@lists.example.org', settings: { nonmember_action: 'accept' } }],
      },
    })
    const delivery = relay(sinkEndpoint(next))
    const recipients = [to('jürgen@lists.example.org')]
    for (const sender of [
      address('"a > b"@example.net'),
      address('ä@example.net'),
      { kind: 'malformed-sender', text: 'no address' } as const,
    ]) {
      expect(await outcomes(delivery, recipients, { ...ENVELOPE, sender })).toEqual([
        expect.stringMatching(/^delivered/),
      ])
    }
    expect(next.copies.map(({ envelope: { sender, smtputf8 } }) => [sender.text, smtputf8])).toEqual([
      ['"a > b"@example.net', true],
      ['ä@example.net', true],
      ['no address', true],
    ])
  })
})

describe('to smtp-server', () => {
  test('each recipient gets its own reply', async () => {
    const next = await trap({
      onRcpt: recipient => (recipient.startsWith('b') ? '550 5.1.1 No such list' : undefined),
      afterData: recipient => (recipient.startsWith('c') ? '452 4.2.2 Full' : `250 2.1.5 ${recipient}`),
    })
    const got = await outcomes(relay(next.endpoint), team('abcd'))
    expect(got.map(text => text.slice(0, 18))).toEqual([
      'delivered: 250 2.1',
      'refused: 550 5.1.1',
      'refused: 452 4.2.2',
      'delivered: 250 2.1',
    ])
    expect(got.join()).toContain('No such list')
  })

  test('it answers for two that are the same only once, and so they go one after the other', async () => {
    let copies = 0
    const next = await trap({
      afterData: recipient => (recipient.startsWith('b') ? '550 No' : `250 copy ${++copies}`),
    })
    const got = await outcomes(
      relay(next.endpoint),
      team('aab').concat(to('A@LISTS.example.org'), to('a@lists.example.org')),
    )
    expect(got.map(text => text.replace(/^(\w+).*(copy \d|No).*$/, '$1 $2'))).toEqual([
      'delivered copy 1',
      'delivered copy 2',
      'refused No',
      'delivered copy 3',
      'delivered copy 4',
    ])
    expect(next.messages.map(({ recipients }) => recipients.length)).toEqual([2, 1, 1, 1])
  })
})

describe('what is said', () => {
  test('with PIPELINING in one piece, the message in another', async () => {
    const hop = await nextHop()
    await outcomes(relay(hop.endpoint), team('ab'))
    expect(hop.packets).toEqual([
      'LHLO sink.example.org\r\n',
      'MAIL FROM:<alice@example.net> SIZE=153\r\nRCPT TO:<a@lists.example.org>\r\nRCPT TO:<b@lists.example.org>\r\nDATA\r\n',
    ])
    expect(hop.messages[0]?.wire).toHaveLength(153)
  })

  test('without it one command after the other', async () => {
    const hop = await nextHop({ LHLO: () => '250 hop\r\n' })
    await outcomes(relay(hop.endpoint), team('ab'))
    expect(hop.packets.slice(1)).toEqual([
      'MAIL FROM:<alice@example.net>\r\n',
      'RCPT TO:<a@lists.example.org>\r\n',
      'RCPT TO:<b@lists.example.org>\r\n',
      'DATA\r\n',
    ])
  })

  const plain = 'Subject: x\r\n\r\nx\r\n'
  const body = 'Subject: x\r\n\r\nä\r\n'
  const header = 'Subject: ä\r\n\r\nx\r\n'
  const all = ['8BITMIME', 'SMTPUTF8']
  const unsuited = 'failed: unsuited'
  test.each([
    ['ASCII', plain, {}, [], 'MAIL FROM:<alice@example.net>'],
    ['ASCII, and all is offered', plain, {}, all, 'MAIL FROM:<alice@example.net>'],
    ['8-bit', body, {}, ['8BITMIME'], 'MAIL FROM:<alice@example.net> BODY=8BITMIME'],
    ['8-bit, not offered', body, {}, ['SMTPUTF8'], unsuited],
    [
      '8-bit header, not said to be UTF-8',
      header,
      {},
      ['8BITMIME'],
      'MAIL FROM:<alice@example.net> BODY=8BITMIME',
    ],
    ['UTF-8 header', header, { smtputf8: true }, all, 'MAIL FROM:<alice@example.net> BODY=8BITMIME SMTPUTF8'],
    ['UTF-8 header, not offered', header, { smtputf8: true }, ['8BITMIME'], unsuited],
    [
      'said to be UTF-8, and needs it nowhere',
      plain,
      { smtputf8: true },
      [],
      'MAIL FROM:<alice@example.net>',
    ],
    ['UTF-8 sender', plain, { sender: address('ä@example.net') }, all, 'MAIL FROM:<Ã¤@example.net> SMTPUTF8'],
    ['UTF-8 sender, not offered', plain, { sender: address('ä@example.net') }, ['8BITMIME'], unsuited],
  ])('%s', async (_name, text, envelope, offered, expected) => {
    const offer = ['hop', ...offered].map(word => `250-${word}\r\n`).join('')
    const hop = await nextHop({ LHLO: () => `${offer}250 HELP\r\n` })
    const delivery = relay(hop.endpoint)
    const got = await outcomes(delivery, team('ab'), { ...ENVELOPE, ...envelope }, message(text))
    if (expected === unsuited) {
      expect(got).toEqual([unsuited, unsuited])
      expect(hop.commands).toEqual(['1 LHLO sink.example.org'])
      // The connection is none the worse for it.
      expect(await outcomes(delivery, team('a'))).toEqual([expect.stringMatching(/^delivered/)])
      expect(hop.connections).toBe(1)
    } else {
      expect(got).toEqual(Array(2).fill(expect.stringMatching(/^delivered/)))
      expect(hop.commands).toContain(`1 ${expected}`)
    }
  })

  test('a recipient in UTF-8 that cannot be told keeps no other from the message', async () => {
    const hop = await nextHop({ LHLO: () => '250 hop\r\n' })
    const got = await outcomes(relay(hop.endpoint), [to('ä@lists.example.org'), ...team('b')])
    expect(got).toEqual(['failed: unsuited', expect.stringMatching(/^delivered/)])
  })

  test('a lone LF or CR never goes out: no sender can end the message for a next hop that is lax', async () => {
    const hop = await nextHop()
    const smuggled =
      'Subject: x\r\n\r\nhi\n.\r\nMAIL FROM:<eve@example.net>\r\nRCPT TO:<b@lists.example.org>\r\nDATA\r\nx\r.\r\ny'
    await outcomes(relay(hop.endpoint), team('a'), ENVELOPE, message(smuggled))
    expect(hop.messages).toHaveLength(1)
    expect(hop.messages[0]?.wire).not.toMatch(/\r(?!\n)|(?<!\r)\n/)
    expect(hop.messages[0]?.wire).toContain('\r\nhi\r\n..\r\nMAIL FROM:<eve@example.net>')
  })
})

describe('limits of the next hop', () => {
  test('recipients beyond its limit follow in transactions of that size', async () => {
    const hop = await nextHop({
      RCPT: ({ taken }) => (taken.length < 2 ? '250 2.1.5 Ok\r\n' : '452 4.5.3 Too many\r\n'),
    })
    const got = await outcomes(relay(hop.endpoint), team('abcde'))
    expect(got).toEqual([...'abcde'].map(name => `delivered: 250 2.0.0 ${name}@lists.example.org taken`))
    expect(hop.messages.map(({ taken }) => taken.length)).toEqual([2, 2, 1])
    expect(hop.commands.filter(line => line.includes('RCPT'))).toHaveLength(5 + 2 + 1)
    expect(hop.connections).toBe(1)
  })

  test('552 is an old way to say so, and a full mailbox is something else', async () => {
    const refuse = (code: string) => ({
      RCPT: ({ taken }: { readonly taken: readonly string[] }) =>
        taken.length < 1 ? '250 Ok\r\n' : `${code} x\r\n`,
    })
    for (const [code, second] of [
      ['452', 'delivered'],
      ['552', 'delivered'],
      ['552 5.5.3', 'delivered'],
      ['452 4.3.1', 'refused'],
      ['552 5.2.2', 'refused'],
      ['450', 'refused'],
    ] as const) {
      const hop = await nextHop(refuse(code))
      const got = await outcomes(relay(hop.endpoint), team('ab'))
      expect(got, code).toEqual([expect.stringMatching(/^delivered/), expect.stringMatching(`^${second}`)])
    }
  })

  test('ours is kept, too', async () => {
    const hop = await nextHop()
    await outcomes(relay(hop.endpoint, { maxRecipients: 2 }), team('abcde'))
    expect(hop.messages.map(({ taken }) => taken.length)).toEqual([2, 2, 1])
  })

  test('what fails in one transaction is not tried in the next', async () => {
    const hop = await nextHop({
      dot: ({ connection, transaction, taken }) =>
        transaction === 2 ? CLOSE : taken.map(() => `250 ${connection}\r\n`).join(''),
    })
    const got = await outcomes(relay(hop.endpoint, { maxRecipients: 2 }), team('abcdef'))
    expect(got).toEqual([...Array(2).fill('delivered: 250 2.0.0 1'), ...Array(4).fill('failed: lost')])
    expect(hop.connections).toBe(1)
  })
})

describe('connections', () => {
  const delivered = [expect.stringMatching(/^delivered/)]

  test('are used again, one at a time', async () => {
    const hop = await nextHop()
    const delivery = relay(hop.endpoint)
    for (let times = 0; times < 5; times++) expect(await outcomes(delivery, team('a'))).toEqual(delivered)
    expect(hop.connections).toBe(1)
    expect(hop.commands.filter(line => line.includes('RSET'))).toEqual([])
  })

  test('a transaction that came to nothing is given up before the next one', async () => {
    const hop = await nextHop({ RCPT: ({ path }) => (path.startsWith('x') ? '550 No\r\n' : '250 Ok\r\n') })
    const delivery = relay(hop.endpoint)
    await outcomes(delivery, team('x'))
    expect(await outcomes(delivery, team('a'))).toEqual(delivered)
    expect(hop.connections).toBe(1)
    expect(hop.commands.filter(line => /RSET|MAIL/.test(line)).map(line => line.slice(2, 6))).toEqual([
      'MAIL',
      'RSET',
      'MAIL',
    ])
  })

  test('no more than are allowed at the same time, and everybody gets his turn', async () => {
    let most = 0
    const hop = await nextHop({
      MAIL: () => {
        most = Math.max(most, hop.open)
        return '250 Ok\r\n'
      },
    })
    const delivery = relay(hop.endpoint, { maxConnections: 3 })
    const got = await Promise.all(Array.from({ length: 20 }, () => outcomes(delivery, team('a'))))
    expect(got).toEqual(Array(20).fill(delivered))
    expect(most).toBe(3)
    expect(hop.connections).toBe(3)
  })

  test('whoever waits too long for one is told so, and the next hop was told nothing', async () => {
    const hop = await nextHop({ dot: () => [] })
    const delivery = relay(hop.endpoint, { maxConnections: 1, replyTimeoutMs: 400, timeoutMs: 200 })
    const both = await Promise.all([outcomes(delivery, team('a')), outcomes(delivery, team('b'))])
    expect(both).toEqual([['failed: late'], ['failed: late']])
    expect(hop.commands.filter(line => line.includes('RCPT'))).toHaveLength(1)
  })

  test('are closed in order when they were not used for a while', async () => {
    const hop = await nextHop()
    const delivery = relay(hop.endpoint, { idleTimeoutMs: 20 })
    await outcomes(delivery, team('a'))
    await hop.opened(0)
    expect(hop.commands.at(-1)).toBe('1 QUIT')
    expect(await outcomes(delivery, team('a'))).toEqual(delivered)
    expect(hop.connections).toBe(2)
  })

  test.each<[string, (hop: NextHop) => void]>([
    ['closed', hop => hop.hangUp()],
    [
      'closed with a word',
      hop => {
        hop.say('421 4.4.2 Idle\r\n')
        hop.hangUp()
      },
    ],
    ['talked nonsense', hop => hop.say('250 Ok\r\n')],
  ])('one that the next hop has %s meanwhile is not used again', async (_how, end) => {
    const hop = await nextHop()
    const delivery = relay(hop.endpoint)
    await outcomes(delivery, team('a'))
    end(hop)
    await hop.opened(0)
    expect(await outcomes(delivery, team('b'))).toEqual(delivered)
    expect(hop.connections).toBe(2)
    expect(hop.messages).toHaveLength(2)
  })

  test.each<[string, Script]>([
    [
      'closes at MAIL',
      {
        MAIL: ({ connection, transaction }) => (connection === 1 && transaction === 2 ? CLOSE : '250 Ok\r\n'),
      },
    ],
    [
      'says 421 at MAIL',
      {
        MAIL: ({ connection, transaction }) =>
          connection === 1 && transaction === 2 ? ['421 x\r\n', CLOSE] : '250 Ok\r\n',
      },
    ],
    [
      'closes at DATA',
      {
        DATA: ({ connection, transaction }) => (connection === 1 && transaction === 2 ? CLOSE : '354 x\r\n'),
      },
    ],
  ])('an old one that %s is replaced by a new one, once', async (_how, script) => {
    const hop = await nextHop(script)
    const delivery = relay(hop.endpoint)
    await outcomes(delivery, team('a'))
    expect(await outcomes(delivery, team('b'))).toEqual(delivered)
    expect(hop.connections).toBe(2)
    expect(hop.messages).toHaveLength(2)
  })

  test('a new one that dies as well is not replaced', async () => {
    const hop = await nextHop({
      MAIL: ({ connection, transaction }) => (connection + transaction > 2 ? CLOSE : '250 Ok\r\n'),
    })
    const delivery = relay(hop.endpoint)
    await outcomes(delivery, team('a'))
    expect(await outcomes(delivery, team('b'))).toEqual(['failed: lost'])
    expect(hop.connections).toBe(2)
  })

  test('after the final dot nothing is tried again: the next hop may have the message', async () => {
    const hop = await nextHop({ dot: ({ transaction }) => (transaction === 1 ? '250 Ok\r\n' : CLOSE) })
    const delivery = relay(hop.endpoint)
    await outcomes(delivery, team('a'))
    expect(await outcomes(delivery, team('b'))).toEqual(['failed: lost'])
    expect(hop.connections).toBe(1)
    expect(hop.messages).toHaveLength(2)
  })

  test('when one has died, the others that were kept are not tried', async () => {
    const hop = await nextHop()
    const delivery = relay(hop.endpoint)
    await Promise.all(Array.from({ length: 4 }, () => outcomes(delivery, team('a'))))
    expect(hop.connections).toBe(4)
    const { port } = hop.endpoint
    await hop.stop()
    const after = await nextHop({}, port)
    expect(await outcomes(delivery, team('b'))).toEqual(delivered)
    expect(after.connections).toBe(1)
  })

  test('when one turns out to be dead, the others that were kept as long are closed', async () => {
    const hop = await nextHop({
      MAIL: ({ connection, transaction }) => (connection < 5 && transaction === 2 ? CLOSE : '250 Ok\r\n'),
    })
    const delivery = relay(hop.endpoint)
    await Promise.all(Array.from({ length: 4 }, () => outcomes(delivery, team('a'))))
    expect(await outcomes(delivery, team('b'))).toEqual(delivered)
    await hop.opened(1)
    expect(hop.connections).toBe(5)
  })

  test('closing waits for what is under way, and keeps nothing afterwards', async () => {
    const hop = await nextHop({ dot: () => [] })
    const delivery = relay(hop.endpoint)
    const under = outcomes(delivery, team('a'))
    while (hop.messages.length === 0) await new Promise(resolve => setImmediate(resolve))
    let isClosed = false
    const closing = delivery.close?.().then(() => {
      isClosed = true
    })
    await new Promise(resolve => setImmediate(resolve))
    expect(isClosed).toBe(false)
    hop.say('250 2.0.0 Ok\r\n')
    expect(await under).toEqual(['delivered: 250 2.0.0 Ok'])
    await closing
    await hop.opened(0)
    // Whoever had it in hand before may still use it.
    const late = outcomes(delivery, team('b'))
    while (hop.messages.length === 1) await new Promise(resolve => setImmediate(resolve))
    hop.say('250 2.0.0 Ok\r\n')
    expect(await late).toEqual(['delivered: 250 2.0.0 Ok'])
    await hop.opened(0)
  })
})

describe('through the sink', () => {
  const names = Array.from({ length: 100 }, (_, number) => `list${number}`)
  const state = {
    postern: 1 as const,
    domains: [{ domain: 'lists.example.org' }],
    lists: names.map(name => ({
      address: `${name}@lists.example.org`,
      people: [{ who: 'alice@example.net', roles: ['member'] as const }],
    })),
  }

  /** A sink whose sender was let in before, so that a refusal is no bounce to a stranger. */
  async function knowingSink(options: SinkOptions): Promise<Sink> {
    const started = await sink(options)
    for (const { address: list } of state.lists) {
      const sender = whoIs(address('alice@example.net'))
      await started.store.admit({ list: address(list).key, sender, seconds: 600 })
    }
    return started
  }

  async function send(port: number, recipients: readonly string[]): Promise<readonly string[]> {
    const client = await LmtpClient.greeted({ port })
    client.send(
      'MAIL FROM:<alice@example.net>',
      ...recipients.map(name => `RCPT TO:<${name}@lists.example.org>`),
      'DATA',
    )
    await client.replies(recipients.length + 2)
    client.send('Subject: x', '', 'Hello.', '.')
    const replies = await client.replies(recipients.length)
    client.destroy()
    return replies
  }

  test('a next hop that dies between the dot and its replies: 451 for those without one, and only they come again', async () => {
    const hop = await nextHop({
      dot: ({ connection, taken }) =>
        connection === 1 ? ['250 2.0.0 kept\r\n', CLOSE] : taken.map(() => '250 2.0.0 kept\r\n').join(''),
    })
    const front = await sink({ state, delivery: relay(hop.endpoint) })
    const recipients = names.slice(0, 3)
    const replies = await send(front.port, recipients)
    expect(replies.map(text => text.slice(0, 9))).toEqual(['250 2.0.0', '451 4.3.0', '451 4.3.0'])
    // The mail server keeps those two, and tries again.
    const deferred = recipients.filter((_, place) => replies[place]?.startsWith('451'))
    expect((await send(front.port, deferred)).map(text => text.slice(0, 9))).toEqual([
      '250 2.0.0',
      '250 2.0.0',
    ])
    expect(hop.messages.map(({ taken }) => taken.length)).toEqual([3, 2])
    expect(front.front.counts).toMatchObject({ delivered: 3, failed: 2, refused: 0 })
  })

  test('a next hop that is down: 451 for all, and the log says why', async () => {
    const hop = await startNextHop()
    await hop.stop()
    const front = await sink({ state, delivery: relay(hop.endpoint) })
    expect(await send(front.port, names.slice(0, 2))).toEqual(
      Array(2).fill('451 4.3.0 Temporary failure; try again later'),
    )
    const [line] = front.log.lines.filter(({ level }) => level === 'error')
    expect(line?.message).toBe('message not delivered')
    expect(line?.cause).toMatchObject({
      message: `cannot reach 127.0.0.1:${hop.endpoint.port}`,
      cause: { code: 'ECONNREFUSED' },
    })
  })

  test('its own words reach the mail server', async () => {
    const hop = await nextHop({ dot: () => '550 5.7.1 Not with that subject\r\n452 4.2.2 Quota\r\n' })
    const front = await knowingSink({ state, delivery: relay(hop.endpoint) })
    expect(await send(front.port, names.slice(0, 2))).toEqual([
      '550 5.7.1 Not with that subject',
      '452 4.2.2 Quota',
    ])
  })

  test('a hundred recipients on five next hops, some of them bad: each fate is told once, and truly', async () => {
    const hops = [
      await nextHop(),
      await nextHop({ RCPT: ({ taken }) => (taken.length < 3 ? '250 Ok\r\n' : '452 4.5.3 Three\r\n') }),
      await nextHop({
        dot: ({ taken }) =>
          taken.map((_, at) => (at % 2 === 0 ? '250 2.0.0 Ok\r\n' : '550 5.7.1 No\r\n')).join(''),
      }),
      await nextHop({ dot: () => CLOSE }),
      await nextHop({ LHLO: () => '250 hop\r\n' }),
    ]
    const deliveries = Object.fromEntries(
      hops.map((hop, number) => [`hop${number}`, relay(hop.endpoint, { name: `hop${number}` })]),
    )
    const lists = state.lists.map((list, place) => ({
      ...list,
      settings: { delivery: `hop${place % 5}` },
    }))
    const front = await knowingSink({ state: { ...state, lists }, deliveries })
    const replies = await send(front.port, names)
    const expected = names.map((_, place) => {
      if (place % 5 === 3) return '451 4.3.0'
      if (place % 5 === 2 && Math.floor(place / 5) % 2 === 1) return '550 5.7.1'
      return '250 2.0.0'
    })
    expect(replies.map(text => text.slice(0, 9))).toEqual(expected)
    // Nobody was told a lie: whom we called delivered has exactly one copy, taken with a 250.
    expect(hops.map(({ messages }) => messages.length)).toEqual([1, 7, 1, 1, 1])
    for (const [number, hop] of hops.entries()) {
      const own = names.filter((_, place) => place % 5 === number).map(name => `${name}@lists.example.org`)
      expect(hop.messages.flatMap(({ taken }) => taken)).toEqual(own)
    }
  })

  test('a client that repeats a recipient gets two copies and two replies', async () => {
    const hop = await nextHop()
    const front = await sink({ state, delivery: relay(hop.endpoint) })
    const replies = await send(front.port, ['list1', 'list2', 'list1'])
    expect(replies).toEqual(
      ['list1', 'list2', 'list1'].map(name =>
        expect.stringMatching(`^250 2\\.0\\.0 <${name}@lists\\.example\\.org> taken as ID1$`),
      ),
    )
    expect(hop.messages.map(({ taken }) => taken.length)).toEqual([2, 1])
  })
})
