/**
 * The shared vectors through a real Exim, by both recipes: the question reaches the law through `exim/acl`, or through a
 * callout to the sink, and the client reads what the law said. The fronts and the law run here; Exim is started once for
 * each way of asking.
 */
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import type { FrontServer } from '../../src/app/front.ts'
import { type Decided, Gate } from '../../src/app/gate.ts'
import { formatReply } from '../../src/core/reply.ts'
import { createLmtpFront } from '../../src/lmtp/server.ts'
import { createPolicyFront } from '../../src/policy/server.ts'
import { leftOutWithoutExim, type Recipe, switchesOf, unwrapped } from '../integration/exim-site.ts'
import { type Exim, startExim } from '../support/exim.ts'
import { keepingDelivery, keepingLog, LOOPBACK } from '../support/lmtp-sink.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { loadVectors, putState, type Question, tellsOfContent, type Vector } from '../support/vectors.ts'

type TcpEndpoint = Extract<Endpoint, { kind: 'tcp' }>

const all = loadVectors()
const DOMAINS = [...new Set(all.flatMap(({ state }) => (state.domains ?? []).map(({ domain }) => domain)))]

/** The fronts, and a gate that each vector changes. */
class Law {
  readonly decisions: Decided[] = []
  readonly #fronts: FrontServer[] = []
  readonly #servers: Server[] = []
  readonly ask: Gate['ask'] = (...question) => this.#gate.ask(...question)
  #gate = this.#gateOver(new MemoryStore(), all[0] as Vector)

  async listen(front: FrontServer): Promise<TcpEndpoint> {
    const server = this.#serve(front)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return { kind: 'tcp', host: '127.0.0.1', port: (server.address() as AddressInfo).port }
  }

  /** On a unix socket, to which everybody may write. */
  async listenOn(path: string, front: FrontServer): Promise<Endpoint> {
    const server = this.#serve(front)
    server.listen({ path, writableAll: true })
    await once(server, 'listening')
    return { kind: 'unix', path }
  }

  #serve(front: FrontServer): Server {
    const server = front.newServer()
    this.#fronts.push(front)
    this.#servers.push(server)
    return server
  }

  async become(vector: Vector): Promise<void> {
    const store = new MemoryStore()
    await putState(store, vector.state)
    this.#gate = this.#gateOver(store, vector)
    this.decisions.length = 0
  }

  async stop(): Promise<void> {
    for (const server of this.#servers) server.close()
    for (const front of this.#fronts) await front.drain(0)
  }

  #gateOver(store: MemoryStore, { site }: Vector): Gate {
    return new Gate({
      store,
      site,
      clock: Date.now,
      recorder: {
        decided: decision => this.decisions.push(decision),
        storeState: () => {},
        internalError: error => {
          throw error
        },
      },
    })
  }
}

/** What Exim cannot show, and why. */
function notAsked({ ask, expect: want }: Vector): string | undefined {
  if (tellsOfContent(ask)) return 'a policy server sees no header'
  if (ask.afterAcceptance === true) return 'Exim has not taken the message'
  if (want.verdict === 'none') return 'Exim asks about list domains'
  if (ask.phase === 'DATA' && ask.recipients?.some(each => !DOMAINS.includes(each.split('@').at(-1) ?? ''))) {
    return 'Exim asks about list domains'
  }
  return undefined
}

/** What a callout does not tell the sink, or the policy server where the sink was asked about the recipients. */
function notTold({ ask }: Vector): boolean {
  return (
    ask.client !== undefined ||
    ask.recipientsBefore !== undefined ||
    (ask.phase === 'DATA' && ask.sender !== '' && ask.sender !== undefined)
  )
}

/** The commands that lead to the question; the last one asks it. */
function commandsOf(ask: Question): readonly string[] {
  const recipients = ask.recipients ?? []
  const size = ask.phase === 'RCPT' && ask.size !== undefined ? ` SIZE=${ask.size}` : ''
  const commands = [`EHLO ${ask.client?.helo ?? 'x.example'}`]
  if (ask.phase === 'EHLO') return commands
  const utf8 = /[^\0-\x7f]/.test(`${ask.sender}${recipients}`) ? ' SMTPUTF8' : ''
  commands.push(`MAIL FROM:<${ask.sender ?? ''}>${size}${utf8}`)
  if (ask.phase === 'MAIL') return commands
  // Others before this one: the same list, in other words.
  for (let i = 0; i < (ask.recipientsBefore ?? 0); i++) {
    commands.push(`RCPT TO:<${recipients[0]?.replace('@', `+${i}@`)}>`)
  }
  for (const recipient of recipients) commands.push(`RCPT TO:<${recipient}>`)
  if (ask.phase === 'DATA') commands.push('DATA')
  return commands
}

/** Puts the question to Exim, and gives the last reply. */
async function put(exim: Exim, { ask }: Vector): Promise<string> {
  const address = ask.client?.ip ?? '127.0.0.1'
  const commands = commandsOf(ask)
  if (ask.client?.name !== undefined) {
    // What DNS says of an address is said on the command line.
    const lines = [...(ask.phase === 'CONNECT' ? [] : commands), 'QUIT', ''].join('\r\n')
    const said = await exim.run('exim4', ['-bs', '-oMa', address, '-oMs', ask.client.name], lines)
    const replies = said.match(/^(?:\d{3}-.*\r\n)*\d{3} .*$/gm) ?? []
    return (
      (ask.phase === 'CONNECT' ? replies[0] : replies.filter(reply => !reply.startsWith('221')).at(-1)) ?? ''
    )
  }
  const client = await exim.connect(address)
  try {
    if (ask.phase === 'CONNECT') return client.greeting
    const [ehlo = '', ...others] = commands
    const greeted = await client.command(ehlo)
    // After a refusal at EHLO Exim takes no MAIL.
    if (!greeted.startsWith('250')) return greeted
    const replies = await client.dialogue(...others)
    if (ask.phase !== 'END-OF-MESSAGE') return replies.at(-1) ?? greeted
    const header = 'Subject: x\r\n\r\n'
    const text = 'x'.repeat(Math.max(0, (ask.size ?? 0) - header.length - 2))
    const reply = await client.bdat(`${header}${text}\r\n`)
    await exim.waitForEmptyQueue()
    return reply
  } finally {
    client.destroy()
  }
}

const EARLY = new Set(['CONNECT', 'EHLO', 'MAIL'])

const SUITE = 'vectors through Exim'

describe.skipIf(leftOutWithoutExim(SUITE))('vectors through Exim', () => {
  const law = new Law()
  let directory: string
  const exims = new Map<Recipe | 'stages', Exim>()
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'postern-vectors-'))
    chmodSync(directory, 0o755)
    const log = keepingLog()
    const front = createPolicyFront({ gate: law, log, onStoreFailure: 'defer', maxConnections: 100 })
    const policy = await law.listen(front)
    const socket = await law.listenOn(join(directory, 'policy'), front)
    const sink = createLmtpFront({
      gate: law,
      deliveryFor: () => keepingDelivery(),
      log,
      settings: {
        hostname: 'sink.example.org',
        maxSize: 10_000_000,
        maxRecipients: 100,
        maxConnections: 50,
        idleTimeoutMs: 300_000,
        allow: LOOPBACK,
        xforward: LOOPBACK,
        spoolDirectory: directory,
      },
    })
    const lmtp = await law.listen(sink)
    const callout = await law.listen({ ...sink, newServer: () => sink.newServer('callout') })
    const start = async (way: Recipe | 'stages', switches: readonly string[]): Promise<void> => {
      const asked = way === 'stages' ? socket : policy
      exims.set(way, await startExim({ policy: asked, lmtp, callout, switches, domains: DOMAINS }))
    }
    await start('stages', switchesOf('policy', { everyStage: true }))
    await start('policy', switchesOf('policy'))
    await start('callout', switchesOf('callout'))
  })
  afterAll(async () => {
    for (const exim of exims.values()) await exim.stop()
    await law.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  const asked = all.filter(vector => notAsked(vector) === undefined)
  const early = asked.filter(({ ask }) => EARLY.has(ask.phase))
  const late = asked.filter(({ ask }) => !EARLY.has(ask.phase))

  /** What the law was asked by a front in a phase, last. */
  const decidedAt = (front: 'policy' | 'lmtp', phase: string): Decided['verdict'] | undefined =>
    law.decisions.filter(({ tx }) => tx.front === front && tx.phase === phase).at(-1)?.verdict

  function expectReply(said: string, verdict: Decided['verdict'] | undefined): void {
    if (verdict?.kind === 'reject' || verdict?.kind === 'defer') {
      expect(unwrapped(said)).toBe(formatReply(verdict.reply))
    } else {
      expect(said).toMatch(/^[23]/)
    }
  }

  test.each([
    ...early.map(vector => ['stages', vector.name, vector] as const),
    ...late.map(vector => ['policy', vector.name, vector] as const),
  ])('by policy, %s: %s', async (way, _, vector) => {
    await law.become(vector)
    const said = await put(exims.get(way)!, vector)
    const verdict = decidedAt('policy', vector.ask.phase) ?? decidedAt('policy', 'EHLO')
    expect([verdict?.kind, verdict?.reason]).toEqual([vector.expect.verdict, vector.expect.reason])
    expectReply(said, verdict)
    if (vector.expect.reply !== undefined && !said.startsWith('2')) {
      expect(unwrapped(said)).toBe(vector.expect.reply)
    }
  })

  test.each(late.filter(vector => !notTold(vector)).map(vector => [vector.name, vector] as const))(
    'by callout: %s',
    async (_, vector) => {
      await law.become(vector)
      const said = await put(exims.get('callout')!, vector)
      const { phase } = vector.ask
      // A callout says MAIL to the sink before it says RCPT.
      const front = phase === 'RCPT' && vector.ask.sender !== '' ? 'lmtp' : 'policy'
      const forbidden = front === 'lmtp' && decidedAt('lmtp', 'MAIL')?.kind === 'reject'
      const verdict = decidedAt(front, forbidden ? 'MAIL' : phase)
      if (forbidden) expect(verdict?.reason).toBe('sender-forbidden')
      else expect([verdict?.kind, verdict?.reason]).toEqual([vector.expect.verdict, vector.expect.reason])
      if (verdict?.kind === 'defer' && front === 'lmtp') {
        expect(said).toBe('451 Could not complete recipient verify callout')
      } else {
        expectReply(said, verdict)
      }
    },
  )

  test('nearly all of them are asked, and of every phase', () => {
    const askable = all.filter(({ ask }) => !tellsOfContent(ask) && ask.afterAcceptance !== true)
    expect(asked.length).toBeGreaterThan(askable.length * 0.9)
    expect(new Set(asked.map(({ ask }) => ask.phase)).size).toBe(6)
    for (const exim of exims.values()) expect(exim.panicLog()).toBe('')
  })
})
