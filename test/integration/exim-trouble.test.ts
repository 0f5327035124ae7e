/**
 * Exim, when what it asks is away, slow, or talks nonsense: a refusal for now in every phase, a line in its log that
 * says so, and never a permission.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { type Exim, startExim } from '../support/exim.ts'
import type { SmtpClient } from '../support/smtp-client.ts'
import { leftOutWithoutExim, switchesOf, tcpEndpoint, unwrapped } from './exim-site.ts'

type TcpEndpoint = Extract<Endpoint, { kind: 'tcp' }>

/** In milliseconds: the time that `exim/acl` gives an answer. */
const PATIENCE = 10_000

/** What Exim would expand, were it in a configuration. */
const EXPANDED = ['$', '{run{/bin/false}} $pid'].join('')

const DUNNO = 'action=DUNNO\n\n'
const UNREACHABLE = '451 4.3.0 The mailing lists cannot be reached; try again later'

/** A server that does what a test says with each connection, and with what was sent on it. */
class Scripted {
  onConnection: (socket: Socket) => void = () => {}
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor() {
    this.#server = createServer({ allowHalfOpen: true }, socket => {
      this.#sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => this.#sockets.delete(socket))
      this.onConnection(socket)
    })
  }

  static async start(): Promise<Scripted> {
    const scripted = new Scripted()
    scripted.#server.listen(0, '127.0.0.1')
    await once(scripted.#server, 'listening')
    return scripted
  }

  get endpoint(): TcpEndpoint {
    const { port } = this.#server.address() as AddressInfo
    return { kind: 'tcp', host: '127.0.0.1', port }
  }

  /** Answers each whole policy request. */
  answer(answerTo: (state: string, request: string, socket: Socket) => string | Buffer | undefined): void {
    this.onConnection = socket => {
      let request = ''
      socket.on('data', chunk => (request += String(chunk)))
      socket.on('end', () => {
        const state = /^protocol_state=(.*)$/m.exec(request)?.[1] ?? ''
        const answer = answerTo(state, request, socket)
        if (answer !== undefined) socket.end(answer)
      })
    }
  }

  hangUp(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  async stop(): Promise<void> {
    this.hangUp()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

const STRANGE_ANSWERS: readonly (readonly [string, string | Buffer])[] = [
  ['half a line', 'action=DUN'],
  ['no empty line', 'action=DUNNO\n'],
  ['an empty line', '\n\n'],
  ['an empty action', 'action=\n\n'],
  ['blanks', 'action=   \n\n'],
  ['digits alone', 'action=550\n\n'],
  ['digits alone that look well', 'action=200\n\n'],
  ['a code of success', 'action=250 2.0.0 Fine\n\n'],
  ['OK', 'action=OK\n\n'],
  ['a word with more', 'action=DUNNO really\n\n'],
  ['another case', 'action=dunno\n\n'],
  ['no text', 'action=550 5.7.2\n\n'],
  ['codes that disagree', 'action=550 4.7.2 No\n\n'],
  ['codes that disagree the other way', 'action=450 5.7.2 No\n\n'],
  ['lines that end in CR LF', 'action=DUNNO\r\n\r\n'],
  ['two answers', `${DUNNO}${DUNNO}`],
  ['something before the answer', `x=y\n${DUNNO}`],
  ['a refusal of two lines', 'action=550 5.7.2 No\n550 5.7.2 never\n\n'],
  ['no attribute', 'DUNNO\n\n'],
  ['a NUL', Buffer.from('action=DUNNO\0\n\n')],
  ['a NUL before the answer', Buffer.from('\0action=DUNNO\n\n')],
  ['bytes that are no text', Buffer.from('action=550 5.7.2 \xff\xfe\n\n', 'latin1')],
  ['what Exim would expand', `action=${EXPANDED}\n\n`],
  ['words for the whole message', 'action=HOLD for all\n\n'],
  ['more than anybody reads', 'x'.repeat(300_000)],
]

const SUITE = 'Exim in trouble'

describe.skipIf(leftOutWithoutExim(SUITE))('the policy server in trouble', () => {
  let server: Scripted
  let exim: Exim
  const clients: SmtpClient[] = []
  beforeAll(async () => {
    server = await Scripted.start()
    exim = await startExim({
      policy: server.endpoint,
      lmtp: await tcpEndpoint(),
      switches: switchesOf('policy', { everyStage: true }),
    })
  })
  afterAll(async () => {
    await exim?.stop()
    await server?.stop()
  })
  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy()
    expect(exim.panicLog()).toBe('')
    expect(exim.queueIsEmpty()).toBe(true)
  })

  async function connect(): Promise<SmtpClient> {
    const client = await exim.connect('192.0.2.1')
    clients.push(client)
    return client
  }

  /** The reply to RCPT. */
  async function rcpt(recipient = 'team@lists.example.org'): Promise<string> {
    const client = await connect()
    const replies = await client.dialogue(
      'EHLO x.example',
      'MAIL FROM:<a@b.example>',
      `RCPT TO:<${recipient}>`,
    )
    return unwrapped(replies.at(-1) ?? '')
  }

  /** Answers well until RCPT. */
  const atRcpt = (answer: string | Buffer): void =>
    server.answer(state => (state === 'RCPT' ? answer : DUNNO))

  test.each(STRANGE_ANSWERS)('%s is no answer', async (name, answer) => {
    atRcpt(answer)
    const recipient = `${name.replaceAll(/[^a-z]/gi, '-')}@lists.example.org`
    expect(await rcpt(recipient)).toBe(UNREACHABLE)
    const line = await exim.waitForLog(new RegExp(`rejected RCPT <${recipient}>`, 'i'))
    expect(line).toMatch(
      /^\S+ \S+ H=\(x\.example\) \[192\.0\.2\.1\] F=<a@b\.example> temporarily rejected RCPT <[^>]+>: (?:Postern's answer is not understood: [ -~]+|no answer from Postern at inet:127\.0\.0\.1:\d+)$/,
    )
  })

  test('a refusal is passed on as it is, and nothing in it is expanded', async () => {
    const text = `${EXPANDED} %s %% \\n }{ "quoted" <b>`
    atRcpt(`action=550 5.7.2 ${text}\n\n`)
    expect(await rcpt()).toBe(`550 5.7.2 ${text}`)
    atRcpt(`action=421 4.3.2 ${text}\n\n`)
    expect(await rcpt()).toBe(`421 4.3.2 ${text}`)
  })

  test.each([
    ['CONNECT', UNREACHABLE],
    ['EHLO', UNREACHABLE],
    ['MAIL', UNREACHABLE],
    ['RCPT', UNREACHABLE],
    ['DATA', UNREACHABLE],
    ['END-OF-MESSAGE', UNREACHABLE],
  ])('it closes without an answer at %s', async (phase, reply) => {
    server.answer((state, _, socket) => {
      if (state !== phase) return DUNNO
      socket.destroy()
      return undefined
    })
    const client = await connect()
    const said = [client.greeting]
    for (const line of ['EHLO x.example', 'MAIL FROM:<a@b.example>', 'RCPT TO:<team@lists.example.org>']) {
      if (said.at(-1)?.startsWith('2')) said.push(await client.command(line))
    }
    if (said.at(-1)?.startsWith('2')) said.push(await client.data('Subject: x\r\n\r\nx\r\n'))
    expect(unwrapped(said.at(-1) ?? '')).toBe(reply)
    expect(said).toHaveLength(
      Math.min(5, ['CONNECT', 'EHLO', 'MAIL', 'RCPT', 'DATA'].indexOf(phase) + 1 || 5),
    )
  })

  test('it does not answer, or does not close, or dribbles', async () => {
    const ways: Readonly<Record<string, (socket: Socket) => void>> = {
      silent: () => {},
      open: socket => socket.write(DUNNO),
      dribbling: socket => {
        const timer = setInterval(() => socket.write('x'), 1000)
        socket.once('close', () => clearInterval(timer))
      },
    }
    server.answer((state, request, socket) => {
      if (state !== 'RCPT') return DUNNO
      const name = /^recipient=(.*)@/m.exec(request)?.[1] ?? ''
      ways[name]?.(socket)
      return undefined
    })
    // All at once: each of them takes all the time that an answer may take.
    const waits = Object.keys(ways).map(async name => {
      const begun = Date.now()
      return [name, await rcpt(`${name}@lists.example.org`), Date.now() - begun > PATIENCE - 1000]
    })
    expect(await Promise.all(waits)).toEqual(Object.keys(ways).map(name => [name, UNREACHABLE, true]))
    server.hangUp()
  })

  test('the request is whole whatever the client says', async () => {
    const requests: string[] = []
    server.answer((_, request) => {
      requests.push(request)
      return DUNNO
    })
    const client = await connect()
    await client.dialogue('EHLO x.example', 'MAIL FROM:<"a\x07b}{$\\"%"@b.example> SIZE=77')
    await client.command('RCPT TO:<"O\'n}\x07x"@lists.example.org>')
    await client.command('RCPT TO:<other@lists.example.org>')
    const [connected, greeted, , rcpt, second] = requests.map(text =>
      Object.fromEntries(text.split('\n').map(line => line.split(/=(.*)/s).slice(0, 2))),
    )
    for (const request of requests) {
      expect(request).toMatch(/^request=smtpd_access_policy\n(?:[a-z_]+=[^\n]*\n){14}\n$/)
    }
    expect(connected).toMatchObject({ protocol_state: 'CONNECT', client_address: '192.0.2.1', instance: '' })
    expect(greeted).toMatchObject({ protocol_state: 'EHLO', helo_name: 'x.example' })
    expect(rcpt).toMatchObject({
      protocol_state: 'RCPT',
      sender: '"a b}{$\\"%"@b.example',
      recipient: '"o\'n} x"@lists.example.org',
      size: '77',
    })
    expect(rcpt?.['instance']).toMatch(/^mx\.example\.org\.\d+\.\d+$/)
    expect(second?.['instance']).toBe(rcpt?.['instance'])
    await client.dialogue('RSET', 'MAIL FROM:<a@b.example>', 'RCPT TO:<team@lists.example.org>')
    expect(/^instance=(.*)$/m.exec(requests.at(-1) ?? '')?.[1]).not.toBe(rcpt?.['instance'])
  })

  test('an address without end is refused for now, and harms nothing', async () => {
    server.answer((_, request, socket) => {
      // As Postern does with a line that is too long.
      if (!request.split('\n').some(line => line.length > 8192)) return DUNNO
      socket.destroy()
      return undefined
    })
    const client = await connect()
    await client.dialogue('EHLO x.example', 'MAIL FROM:<a@b.example>')
    expect(await client.command(`RCPT TO:<${'a'.repeat(9000)}@lists.example.org>`)).toMatch(/^(?:451|5\d\d) /)
  })
})

describe.skipIf(leftOutWithoutExim(SUITE))('nobody to ask', () => {
  test.each([
    [
      'policy',
      UNREACHABLE,
      /temporarily rejected RCPT <team@lists\.example\.org>: no answer from Postern at inet:127\.0\.0\.1:\d+$/,
    ],
    [
      'callout',
      '451 Could not complete recipient verify callout',
      /temporarily rejected RCPT <team@lists\.example\.org>: Could not complete recipient verify callout: 127\.0\.0\.1 \[127\.0\.0\.1\] : Connection refused$/,
    ],
  ] as const)('by %s', async (recipe, reply, line) => {
    const exim = await startExim({
      policy: await tcpEndpoint(),
      lmtp: await tcpEndpoint(),
      switches: switchesOf(recipe),
    })
    try {
      const client = await exim.connect('192.0.2.1')
      const replies = await client.dialogue(
        'EHLO x.example',
        'MAIL FROM:<a@b.example>',
        'RCPT TO:<team@lists.example.org>',
        'RCPT TO:<bob@elsewhere.example>',
      )
      expect(replies.slice(2)).toEqual([reply, '250 Accepted'])
      client.destroy()
      expect(await exim.waitForLog(/rejected RCPT/)).toMatch(line)
      expect(exim.panicLog()).toBe('')
    } finally {
      await exim.stop()
    }
  })
})

describe.skipIf(leftOutWithoutExim(SUITE))('the sink in trouble', () => {
  let sink: Scripted
  let exim: Exim
  beforeAll(async () => {
    sink = await Scripted.start()
    exim = await startExim({
      policy: await tcpEndpoint(),
      lmtp: sink.endpoint,
      switches: switchesOf('callout'),
    })
  })
  afterAll(async () => {
    await exim?.stop()
    await sink?.stop()
  })

  const LHLO = '250-sink\r\n250-PIPELINING\r\n250 ENHANCEDSTATUSCODES\r\n'
  /** Says a greeting, and to each command what stands for it. */
  const script =
    (greeting: string, replies: Readonly<Record<string, string>>) =>
    (socket: Socket): void => {
      socket.write(greeting)
      socket.on('data', chunk => {
        for (const line of String(chunk).trimEnd().split('\r\n')) {
          const reply = replies[line.slice(0, 4)]
          if (reply === undefined) return void socket.destroy()
          socket.write(reply)
        }
      })
    }
  const WELL = { LHLO, MAIL: '250 2.1.0 Ok\r\n', RCPT: '250 2.1.5 Ok\r\n', QUIT: '221 Bye\r\n' }

  test.each([
    ['it closes at once', (socket: Socket) => void socket.destroy()],
    ['it says nothing', () => {}],
    ['its greeting is for later', script('421 4.3.2 Not now\r\n', {})],
    ['it closes at LHLO', script('220 sink\r\n', {})],
    ['it closes at MAIL', script('220 sink\r\n', { LHLO })],
    ['it closes at RCPT', script('220 sink\r\n', { LHLO, MAIL: '250 2.1.0 Ok\r\n' })],
    ['it talks nonsense', script('hello\r\n', {})],
    ['it talks nonsense at RCPT', script('220 sink\r\n', { ...WELL, RCPT: 'yes\r\n' })],
    ['the list is paused', script('220 sink\r\n', { ...WELL, RCPT: '451 4.2.4 Paused\r\n' })],
  ])(
    '%s',
    async (_, act) => {
      sink.onConnection = act
      const client = await exim.connect('192.0.2.1')
      const replies = await client.dialogue(
        'EHLO x.example',
        'MAIL FROM:<a@b.example>',
        'RCPT TO:<team@lists.example.org>',
      )
      client.destroy()
      sink.hangUp()
      expect(replies[2]).toBe('451 Could not complete recipient verify callout')
      expect(exim.panicLog()).toBe('')
    },
    30_000,
  )

  test.each([
    ['550 5.7.2 You are not permitted to post to team@lists.example.org'],
    [`554 5.7.2 ${EXPANDED} %s {}`],
    ['552 5.3.4 Too large'],
  ])('a refusal is passed on word for word: %s', async reply => {
    sink.onConnection = script('220 sink\r\n', { ...WELL, RCPT: `${reply}\r\n` })
    const client = await exim.connect('192.0.2.1')
    const replies = await client.dialogue(
      'EHLO x.example',
      'MAIL FROM:<a@b.example>',
      'RCPT TO:<team@lists.example.org>',
      // Not remembered: the sink is asked again.
      'RCPT TO:<team@lists.example.org>',
    )
    client.destroy()
    expect(replies.slice(2)).toEqual([reply, reply])
  })
})
