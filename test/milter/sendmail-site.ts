/**
 * A site with a real Sendmail, the milter on one of its engines, and the sink that delivers into Maildirs. One start
 * serves many cases; after each of them nothing may be queued, and nothing may have been sent on.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { INITIAL_SITE } from '../../src/core/facts.ts'
import { FileHeldQueue } from '../../src/delivery/held-queue.ts'
import { withHeldQueue } from '../../src/delivery/holding.ts'
import { createMaildirDelivery } from '../../src/delivery/maildir.ts'
import type { Conduct } from '../../src/milter/question.ts'
import { heldIn } from '../support/held-queue.ts'
import { type Sink, startSink } from '../support/lmtp-sink.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { freePort } from '../support/ports.ts'
import { type Sendmail, startSendmail } from '../support/sendmail.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import type { TrappedMessage } from '../support/trap.ts'
import { putState, type StateDocument } from '../support/vectors.ts'
import { Host } from './libmilter-host.ts'
import { startMilter } from './milter-server.ts'
import world from './world.json' with { type: 'json' }
import { gateOver } from './world.ts'

const DOMAIN = 'lists.example.org'

/** Hosts of this machine from which MTAs are not known, and refused. */
export const UNKNOWN_MTA = '127.0.0.66'
export const REFUSED_MTA = '127.0.0.67'

/** The world of the transcripts, for clients from this machine. */
const STATE = {
  ...world.lists,
  mtas: { known: ['127.0.0.1', REFUSED_MTA], refused: [REFUSED_MTA] },
} as StateDocument

export type EngineName = 'native' | 'libmilter'

/** The milter on either engine, serving one endpoint. */
export interface Engine {
  /** What peers were found to do wrong, and what else was worth a line. */
  problems(): readonly unknown[]
  stop(): Promise<void>
}

export type Choices = Partial<Pick<Conduct, 'hold' | 'traceHeader'>>

export async function startEngine(
  name: EngineName,
  endpoint: Endpoint,
  choices: Choices = {},
): Promise<Engine> {
  switch (name) {
    case 'native': {
      const store = new MemoryStore()
      await putState(store, STATE)
      const place = endpoint.kind === 'unix' ? { path: endpoint.path } : { port: endpoint.port }
      const milter = await startMilter(endpoint.kind, {
        gate: gateOver(store),
        settings: choices,
        ...place,
      })
      return { problems: () => milter.lines, stop: () => milter.stop() }
    }
    case 'libmilter': {
      const host = new Host(endpoint, mkdtempSync(join(tmpdir(), 'postern-libmilter-')))
      await host.word()
      host.order({ kind: 'start', options: { endpoint, conduct: choices } })
      const word = await host.word()
      if (word.kind !== 'started') throw new Error(JSON.stringify(word))
      await host.judgeBy({ kind: 'given', state: STATE, site: INITIAL_SITE, when: 'late' })
      return { problems: () => host.lines, stop: () => host.kill() }
    }
  }
}

/** The octets after what the MTA and the sink put before a message. */
function withoutTrace(copy: string): string {
  return copy.replace(/^(?:(?:Return-Path|Delivered-To|Received): .*\r\n(?:[ \t].*\r\n)*)+/, '')
}

export class SendmailSite {
  readonly sendmail: Sendmail
  readonly sink: Sink
  readonly milter: Endpoint
  readonly #directory: string
  readonly #clients: SmtpClient[] = []
  #seen = new Set<string>()
  #sentBefore = 0
  #decisionsBefore = 0

  private constructor(parts: { sendmail: Sendmail; sink: Sink; milter: Endpoint; directory: string }) {
    this.sendmail = parts.sendmail
    this.sink = parts.sink
    this.milter = parts.milter
    this.#directory = parts.directory
  }

  /** Starts all but the milter. */
  static async start(
    kind: Endpoint['kind'],
    replace?: Readonly<Record<string, string>>,
  ): Promise<SendmailSite> {
    // Sendmail takes no milter's socket below a directory that everybody may write to.
    const directory = mkdtempSync('/run/postern-sendmail-')
    const maildir = createMaildirDelivery({ root: join(directory, 'mail'), hostname: 'sink.example.org' })
    const queue = new FileHeldQueue({ path: join(directory, 'held'), maxMessages: 0, maxSize: 0 })
    const delivery = withHeldQueue(maildir, queue)
    const sink = await startSink({ state: STATE, delivery })
    const milter: Endpoint =
      kind === 'unix'
        ? { kind, path: join(directory, 'milter.sock') }
        : { kind, host: '127.0.0.1', port: await freePort() }
    const sendmail = await startSendmail({
      milter,
      lmtp: { kind: 'tcp', host: '127.0.0.1', port: sink.port },
      ...(replace !== undefined && { replace }),
    })
    return new SendmailSite({ sendmail, sink, milter, directory })
  }

  /** A client that has been greeted, and has said EHLO. */
  async client(): Promise<SmtpClient> {
    const client = await this.stranger()
    const reply = await client.command('EHLO client.example')
    if (!reply.startsWith('250')) throw new Error(reply)
    return client
  }

  /** A client that has said nothing, from this or another address of this machine. */
  async stranger(address?: string): Promise<SmtpClient> {
    const client = await SmtpClient.connect(this.sendmail.endpoint, address)
    this.#clients.push(client)
    return client
  }

  /** What was delivered since the last time, once nothing is queued any more: the Maildir and the message, sorted. */
  async delivered(): Promise<readonly (readonly [folder: string, message: string])[]> {
    await this.sendmail.waitForEmptyQueue()
    const held = (await heldIn(join(this.#directory, 'held'))).filter(({ id }) => !this.#seen.has(id))
    for (const { id } of held) this.#seen.add(id)
    return [
      ...this.#copies(),
      ...held.map(({ post, octets }) => [`${post.to.list.split('@')[0]} (held)`, octets.toString()] as const),
    ].sort()
  }

  #copies(): readonly (readonly [folder: string, message: string])[] {
    const root = join(this.#directory, 'mail', DOMAIN)
    if (!existsSync(root)) return []
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter(path => /(?:^|\/)new\/[^/]+$/.test(path))
      .filter(path => !this.#seen.has(path))
    for (const path of files) this.#seen.add(path)
    return files.map(path => {
      const message = withoutTrace(readFileSync(join(root, path), 'latin1'))
      return [path.replace(/\/new\/[^/]+$/, ''), Buffer.from(message, 'latin1').toString()] as const
    })
  }

  /** The recipients that the sink was asked to take since the last time, sorted: whom the milter left to it. */
  leftToSink(): readonly string[] {
    const decisions = this.sink.decisions.slice(this.#decisionsBefore)
    this.#decisionsBefore = this.sink.decisions.length
    return decisions.flatMap(({ tx }) => (tx.phase === 'RCPT' ? [tx.recipient.key] : [])).sort()
  }

  /** Waits until nothing is queued any more, and gives what was sent on since the last time, bounces above all. */
  async settled(): Promise<readonly TrappedMessage[]> {
    for (const client of this.#clients.splice(0)) client.destroy()
    await this.sendmail.waitForEmptyQueue()
    const sent = this.sendmail.sent.slice(this.#sentBefore)
    this.#sentBefore = this.sendmail.sent.length
    return sent
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.destroy()
    await this.sendmail.stop()
    await this.sink.close()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
