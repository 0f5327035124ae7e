import { afterEach, describe, expect, test } from 'vitest'
import { NO_LOG } from '../../src/app/log.ts'
import { startTrialMta, type TrialMta, type TrialOptions } from '../../src/trial/mta.ts'
import { MAX_MESSAGE_SIZE } from '../../src/trial/server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { startTrap, type Trap, type TrapOptions } from '../support/trap.ts'
import { type Request, type ScriptedPolicy, startScriptedPolicy } from './scripted-policy.ts'

const MESSAGE = 'From: alice@example.net\r\nSubject: hello\r\n\r\n.dot\r\nHello.\r\n'

interface Stage {
  readonly mta: TrialMta
  readonly policy: ScriptedPolicy
  readonly sink: Trap
  readonly logged: string[]
}

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

interface Script {
  readonly policy?: (request: Request, number: number) => string | undefined
  readonly sink?: TrapOptions
  readonly options?: Partial<TrialOptions>
}

async function stage(script: Script = {}): Promise<Stage> {
  const policy = await startScriptedPolicy(script.policy ?? (() => 'action=DUNNO\n\n'))
  ends.push(() => policy.stop())
  const sink = await startTrap({ lmtp: true, ...script.sink })
  ends.push(() => sink.stop())
  const logged: string[] = []
  const note = (message: string): number => logged.push(message)
  const mta = await startTrialMta({
    listen: { kind: 'tcp', host: '127.0.0.1', port: 0 },
    policy: policy.endpoint,
    lmtp: sink.endpoint,
    hostname: 'trial.example',
    log: { ...NO_LOG, info: note, warn: note, error: note },
    policyTimeout: 300,
    ...script.options,
  })
  ends.push(() => mta.close())
  return { mta, policy, sink, logged }
}

/** Refuses at one phase, with one reply. */
function refusing(state: string, reply: string): (request: Request) => string {
  return request => `action=${request['protocol_state'] === state ? reply : 'DUNNO'}\n\n`
}

async function greeted(mta: TrialMta): Promise<SmtpClient> {
  const client = await SmtpClient.connect(mta.endpoint)
  expect(await client.command('EHLO client.example')).toMatch(/^250-trial\.example\n/)
  return client
}

describe('a message on its way', () => {
  test('is asked about at each phase as by Postfix, handed over with a trace line, and answered for', async () => {
    const { mta, policy, sink, logged } = await stage()
    const client = await SmtpClient.connect(mta.endpoint)
    expect(client.greeting).toBe(
      '220 trial.example ESMTP Postern trial MTA, to try things out and not for production',
    )
    expect(
      await client.dialogue(
        'EHLO client.example',
        'MAIL FROM:<alice@example.net> SIZE=70',
        'RCPT TO:<team@lists.example.org>',
      ),
    ).toEqual([
      `250-trial.example\n250-PIPELINING\n250-8BITMIME\n250-SMTPUTF8\n250 SIZE ${MAX_MESSAGE_SIZE}`,
      '250 Accepted',
      '250 Accepted',
    ])
    expect(await client.data(MESSAGE)).toBe('250 2.1.5 Ok')
    expect(await client.quit()).toBe('221 Bye')

    const states = policy.requests.map(request => request['protocol_state'])
    expect(states).toEqual(['CONNECT', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'END-OF-MESSAGE'])
    expect(policy.connections).toBe(1)
    const of = (name: string) => policy.requests.map(request => request[name])
    expect(of('client_address')).toEqual(Array(6).fill('127.0.0.1'))
    expect(of('protocol_name')).toEqual(['SMTP', 'SMTP', 'ESMTP', 'ESMTP', 'ESMTP', 'ESMTP'])
    expect(of('helo_name')).toEqual(['', ...Array(5).fill('client.example')])
    expect(of('sender')).toEqual(['', '', ...Array(4).fill('alice@example.net')])
    expect(of('recipient')).toEqual(['', '', '', ...Array(3).fill('team@lists.example.org')])
    expect(of('recipient_count')).toEqual(['0', '0', '0', '0', '1', '1'])
    expect(of('size')).toEqual(['0', '0', '70', '70', '70', String(MESSAGE.length)])
    const [atConnect, atEhlo, atMail, ...later] = of('instance')
    expect([atConnect, atEhlo, atMail]).toEqual(['', '', ''])
    expect(new Set(later).size).toBe(1)
    expect(later[0]).toMatch(/^[0-9a-f]+\.[0-9a-f]+\.[0-9a-f]+\.0$/)

    expect(sink.messages).toHaveLength(1)
    const [delivered] = sink.messages
    expect(delivered?.sender).toBe('alice@example.net')
    expect(delivered?.recipients).toEqual(['team@lists.example.org'])
    const [trace, rest] = delivered!.content.toString().split(/(?<=\+0000\r\n)/)
    expect(trace).toMatch(
      /^Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n\tby trial\.example \(Postern trial MTA\) with ESMTP id [0-9A-F]{12};\r\n\t/,
    )
    expect(rest).toBe(MESSAGE)
    expect(logged).toEqual(['trial message delivered'])
  })

  test('two messages of one session are two instances on one policy connection', async () => {
    const { mta, policy, sink } = await stage()
    const client = await greeted(mta)
    for (let n = 0; n < 2; n++) {
      await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')
      expect(await client.data(MESSAGE)).toBe('250 2.1.5 Ok')
    }
    await client.quit()
    const instances = policy.requests.filter(r => r['protocol_state'] === 'RCPT').map(r => r['instance'])
    expect(new Set(instances).size).toBe(2)
    expect(policy.connections).toBe(1)
    expect(sink.messages).toHaveLength(2)
  })

  test('with the null sender and several recipients', async () => {
    const { mta, policy, sink } = await stage()
    const client = await greeted(mta)
    await client.dialogue('MAIL FROM:<>', 'RCPT TO:<a@lists.example.org>', 'RCPT TO:<b@lists.example.org>')
    expect(await client.data(MESSAGE)).toBe('250 2.1.5 Ok')
    const last = policy.requests.at(-1)
    expect(last).toMatchObject({ sender: '', recipient: '', recipient_count: '2' })
    const [first, second] = policy.requests.filter(request => request['protocol_state'] === 'RCPT')
    expect(first).toMatchObject({ recipient_count: '0', queue_id: '' })
    expect(second).toMatchObject({ recipient_count: '0', queue_id: last?.['queue_id'] })
    expect(sink.messages[0]).toMatchObject({
      sender: '',
      recipients: ['a@lists.example.org', 'b@lists.example.org'],
    })
  })

  test('in UTF-8', async () => {
    const { mta, policy, sink } = await stage()
    const client = await greeted(mta)
    await client.dialogue('MAIL FROM:<jürgen@example.net> SMTPUTF8', 'RCPT TO:<größe@lists.example.org>')
    expect(await client.data(MESSAGE)).toBe('250 2.1.5 Ok')
    expect(policy.requests.at(-1)).toMatchObject({
      sender: 'jürgen@example.net',
      recipient: 'größe@lists.example.org',
    })
    expect(sink.messages[0]?.recipients).toEqual(['größe@lists.example.org'])
  })

  test('pipelined', async () => {
    const { mta, sink } = await stage()
    const client = await greeted(mta)
    const replies = await client.pipeline(
      'MAIL FROM:<alice@example.net>',
      'RCPT TO:<team@lists.example.org>',
      'DATA',
    )
    expect(replies.map(reply => reply.slice(0, 3))).toEqual(['250', '250', '354'])
    expect(await client.content(MESSAGE)).toBe('250 2.1.5 Ok')
    expect(sink.messages).toHaveLength(1)
  })

  test('piped in at once, before the greeting, by a client that then closes its side', async () => {
    const { mta, sink } = await stage()
    const client = await SmtpClient.open(mta.endpoint)
    client.send(
      'EHLO client.example\r\nMAIL FROM:<alice@example.net>\r\nRCPT TO:<team@lists.example.org>\r\n' +
        `DATA\r\n${MESSAGE.replace('.dot', '..dot')}.\r\nQUIT\r\n`,
    )
    client.end()
    const replies: string[] = []
    for (let n = 0; n < 7; n++) replies.push(await client.read())
    expect(replies.map(reply => reply.slice(0, 3))).toEqual(['220', '250', '250', '250', '354', '250', '221'])
    await client.closed()
    expect(sink.messages[0]?.content.toString()).toContain('\r\n.dot\r\nHello.\r\n')
  })
})

describe('a refusal reaches the client word for word', () => {
  const REPLY = '550 5.7.2 You are not permitted to post to team@lists.example.org'

  test('at CONNECT, in place of the greeting', async () => {
    const { mta } = await stage({ policy: refusing('CONNECT', REPLY) })
    const client = await SmtpClient.connect(mta.endpoint)
    expect(client.greeting).toBe(REPLY)
    await client.closed()
  })

  test.each(['EHLO', 'HELO'])('at %s, after which no mail is taken', async state => {
    const { mta } = await stage({ policy: refusing(state, REPLY) })
    const client = await SmtpClient.connect(mta.endpoint)
    expect(await client.command(`${state} client.example`)).toBe(REPLY)
    expect(await client.command('MAIL FROM:<alice@example.net>')).toMatch(/^503 /)
  })

  test('at a second EHLO, which takes back the first', async () => {
    const { mta } = await stage({
      policy: request => `action=${request['helo_name'] === 'bad.example' ? REPLY : 'DUNNO'}\n\n`,
    })
    const client = await greeted(mta)
    expect(await client.command('EHLO bad.example')).toBe(REPLY)
    expect(await client.command('MAIL FROM:<alice@example.net>')).toMatch(/^503 /)
    expect(await client.command('EHLO good.example')).toMatch(/^250/)
    expect(await client.command('MAIL FROM:<alice@example.net>')).toBe('250 Accepted')
  })

  test('at MAIL', async () => {
    const { mta } = await stage({ policy: refusing('MAIL', REPLY) })
    const client = await greeted(mta)
    expect(await client.command('MAIL FROM:<alice@example.net>')).toBe(REPLY)
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toMatch(/^503 /)
  })

  test('at RCPT, for one recipient and not the other', async () => {
    const { mta, sink } = await stage({
      policy: request => `action=${request['recipient']?.startsWith('team@') ? REPLY : 'DUNNO'}\n\n`,
    })
    const client = await greeted(mta)
    await client.command('MAIL FROM:<alice@example.net>')
    expect(await client.command('RCPT TO:<team@lists.example.org>')).toBe(REPLY)
    expect(await client.command('DATA')).toMatch(/^503 /)
    expect(await client.command('RCPT TO:<news@lists.example.org>')).toBe('250 Accepted')
    expect(await client.data(MESSAGE)).toBe('250 2.1.5 Ok')
    expect(sink.messages.map(({ recipients }) => recipients)).toEqual([['news@lists.example.org']])
  })

  test('at DATA, before any of it is sent; another recipient can still be added', async () => {
    const { mta, policy } = await stage({
      policy: request =>
        `action=${request['protocol_state'] === 'DATA' && request['recipient_count'] === '1' ? REPLY : 'DUNNO'}\n\n`,
    })
    const client = await greeted(mta)
    await client.dialogue('MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>')
    expect(await client.command('DATA')).toBe(REPLY)
    expect(await client.command('RCPT TO:<team-owner@lists.example.org>')).toBe('250 Accepted')
    expect(await client.data(MESSAGE)).toBe('250 2.1.5 Ok')
    const instances = policy.requests.slice(3).map(request => request['instance'])
    expect(new Set(instances).size).toBe(1)
  })

  test('at the end of the message, which the sink never sees', async () => {
    const { mta, sink } = await stage({ policy: refusing('END-OF-MESSAGE', REPLY) })
    const client = await greeted(mta)
    await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')
    expect(await client.data(MESSAGE)).toBe(REPLY)
    expect(sink.messages).toEqual([])
  })

  test('by the sink, at RCPT and after the data', async () => {
    const { mta, sink, logged } = await stage({
      sink: {
        onRcpt: recipient => (recipient.startsWith('a@') ? '550 5.1.1 There is no list a' : undefined),
        afterData: recipient => (recipient.startsWith('b@') ? '451 4.3.0 Later' : '250 2.1.5 Ok'),
      },
    })
    const client = await greeted(mta)
    const send = async (...recipients: readonly string[]): Promise<string> => {
      await client.dialogue(
        'MAIL FROM:<alice@example.net>',
        ...recipients.map(recipient => `RCPT TO:<${recipient}@lists.example.org>`),
      )
      return client.data(MESSAGE)
    }
    expect(await send('a')).toBe('550 5.1.1 There is no list a')
    expect(await send('b')).toBe('451 4.3.0 Later')
    expect(await send('a', 'b')).toBe('451 4.3.0 Later')
    expect(await send('a', 'c')).toBe(
      '250 2.6.0 Not taken for all: <a@lists.example.org> 550 5.1.1 There is no list a; ' +
        '<c@lists.example.org> 250 2.1.5 Ok',
    )
    expect(sink.messages.map(({ recipients }) => recipients.length)).toEqual([1, 1, 1])
    expect(logged).toEqual(Array(4).fill('trial message refused'))
  })
})

describe('a policy server in trouble', () => {
  const TROUBLE = '451 4.3.5 Server configuration problem'

  test.each<[string, Script['policy']]>([
    ['hangs up', () => 'hang up'],
    ['is silent', () => undefined],
    ['answers without an action', () => 'status=ok\n\n'],
    ['answers without end', () => 'x'.repeat(10_000)],
  ])('that %s: 451 after two tries', async (_, policy) => {
    const { mta, policy: server } = await stage({ ...(policy && { policy }) })
    const client = await SmtpClient.connect(mta.endpoint)
    expect(client.greeting).toBe(TROUBLE)
    expect(server.connections).toBe(2)
  })

  test('that is away: 451', async () => {
    const { mta, policy, logged } = await stage()
    const client = await greeted(mta)
    await policy.stop()
    ends.splice(0, 1)
    expect(await client.command('MAIL FROM:<alice@example.net>')).toBe(TROUBLE)
    expect(logged).toEqual(['trial policy server away'])
  })

  test('that closed an idle connection is asked again on a new one, and nobody notices', async () => {
    const { mta, policy } = await stage({
      policy: (_, number) => (number === 3 ? 'hang up' : 'action=DUNNO\n\n'),
    })
    const client = await greeted(mta)
    expect(await client.command('MAIL FROM:<alice@example.net>')).toBe('250 Accepted')
    expect(policy.connections).toBe(2)
  })
})

describe('a sink in trouble', () => {
  test('that is away: 451, and nothing is lost in silence', async () => {
    const { mta, sink, logged } = await stage()
    const client = await greeted(mta)
    await sink.stop()
    ends.splice(1, 1)
    await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')
    expect(await client.data(MESSAGE)).toBe('451 4.4.1 The LMTP sink does not answer')
    expect(logged).toEqual(['trial message not taken by the sink'])
  })
})

describe('limits', () => {
  test('a message that is too large, declared or not, is refused and the session goes on', async () => {
    const { mta, sink } = await stage()
    const client = await greeted(mta)
    expect(await client.command(`MAIL FROM:<a@example.net> SIZE=${MAX_MESSAGE_SIZE + 1}`)).toMatch(/^552 /)
    await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')
    const line = `${'x'.repeat(998)}\r\n`
    expect(await client.data(line.repeat(MAX_MESSAGE_SIZE / line.length + 1))).toBe(
      '552 5.3.4 The message is larger than the trial MTA takes',
    )
    expect(await client.command('NOOP')).toMatch(/^250 /)
    expect(sink.messages).toEqual([])
  })

  test('the recipient after the hundredth waits', async () => {
    const { mta } = await stage()
    const client = await greeted(mta)
    await client.command('MAIL FROM:<alice@example.net>')
    const replies = await client.pipeline(
      ...Array.from({ length: 101 }, (_, n) => `RCPT TO:<list${n}@lists.example.org>`),
    )
    expect(replies.slice(99)).toEqual([
      '250 Accepted',
      '452 4.5.3 Too many recipients; send to the rest later',
    ])
  })

  test('a line without end ends the session', async () => {
    const { mta } = await stage()
    const client = await SmtpClient.connect(mta.endpoint)
    client.send('x'.repeat(5000))
    expect(await client.read()).toMatch(/^421 /)
    await client.closed()
  })

  test('no AUTH, no STARTTLS, no verbs of a joke', async () => {
    const { mta } = await stage()
    const client = await greeted(mta)
    const replies = await client.dialogue(
      'AUTH PLAIN AGEAYg==',
      'STARTTLS',
      'WIZ now',
      'XCLIENT ADDR=192.0.2.1',
    )
    expect(replies.map(reply => reply.slice(0, 3))).toEqual(['500', '500', '500', '500'])
  })

  test.each([
    'a..b@example.net',
    '.a@example.net',
    'a@foo_bar.example',
    '"x"@example.net',
    'A+b@EXAMPLE.net',
  ])('the sender %s is somebody', async sender => {
    const { mta, policy } = await stage()
    const client = await greeted(mta)
    expect(await client.command(`MAIL FROM:<${sender}>`)).toBe('250 Accepted')
    expect(policy.requests.at(-1)?.['sender']?.toLowerCase()).toBe(sender.toLowerCase())
  })
})

describe('closing', () => {
  test('tells idle clients at once and takes no more', async () => {
    const { mta } = await stage()
    const client = await greeted(mta)
    await mta.close()
    ends.pop()
    expect(await client.read()).toBe('421 4.3.2 The trial MTA is shutting down')
    await client.closed()
    await expect(SmtpClient.connect(mta.endpoint)).rejects.toThrow('ECONNREFUSED')
  })

  test('lets a message under way reach the sink', async () => {
    let reached: () => void = () => {}
    const underWay = new Promise<void>(resolve => {
      reached = resolve
    })
    const { mta, sink } = await stage({
      sink: {
        afterData: () => {
          reached()
          return '250 2.1.5 Ok'
        },
      },
    })
    const client = await greeted(mta)
    await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>')
    const reply = client.data(MESSAGE)
    await underWay
    const closed = mta.close()
    ends.pop()
    expect(await reply).toBe('250 2.1.5 Ok')
    client.destroy()
    await closed
    expect(sink.messages).toHaveLength(1)
  })

  test('an address in use is an error', async () => {
    const { mta, policy, sink } = await stage()
    const again = {
      listen: mta.endpoint,
      policy: policy.endpoint,
      lmtp: sink.endpoint,
      hostname: 'x',
      log: NO_LOG,
    }
    await expect(startTrialMta(again)).rejects.toThrow('EADDRINUSE')
  })
})

test('a client that goes away in the middle of a message leaves nothing', async () => {
  const { mta, sink, policy } = await stage()
  const client = await greeted(mta)
  await client.dialogue('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>', 'DATA')
  client.send('Subject: half a mess')
  client.destroy()
  await mta.close()
  ends.pop()
  expect(sink.messages).toEqual([])
  expect(policy.requests.at(-1)?.['protocol_state']).toBe('DATA')
})
