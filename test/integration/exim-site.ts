/**
 * A site as its postmaster would set it up with Exim: Postern as a process of its own, and an Exim with the files of
 * `exim/` in its configuration, by one of the two recipes. Every case uses lists of its own, and after every case nothing
 * may be queued and nothing may have been sent on, bounces above all.
 */
import { beforeEach } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { type Postern, startPostern } from '../support/daemon.ts'
import { type Exim, startExim, whyNoExim } from '../support/exim.ts'
import { leaveOut } from '../support/parts.ts'
import { freePort } from '../support/ports.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import type { SmtpClient } from '../support/smtp-client.ts'
import type { TrappedMessage } from '../support/trap.ts'
import { copiesIn, documentOf, type ListOf, type StoreKind } from './site.ts'

/** `policy`: the policy server is asked at RCPT; `callout`: the sink is. */
export type Recipe = 'policy' | 'callout'

/** Whether a suite that needs Exim is left out here; says so if it is. */
export function leftOutWithoutExim(suite: string): boolean {
  return leaveOut(suite, whyNoExim()) !== undefined
}

/** The switches of `exim/settings` for a recipe. */
export function switchesOf(recipe: Recipe, options: { readonly everyStage?: boolean } = {}): string[] {
  return [
    ...(recipe === 'callout' ? ['POSTERN_CALLOUT'] : []),
    ...(options.everyStage === true ? ['POSTERN_EVERY_STAGE'] : []),
  ]
}

/** A reply of several lines as the one text that it was: Exim wraps what is longer than 75 characters. */
export function unwrapped(reply: string): string {
  return reply.replace(/^(\d{3})-/, '$1 ').replace(/\n\d{3}[- ](?:\d\.\d+\.\d+ )?/g, ' ')
}

export interface EximSiteOptions {
  readonly store: StoreKind
  readonly recipe: Recipe
  readonly everyStage?: boolean
  readonly lists: readonly ListOf[]
  /** The rest of the import document. */
  readonly document?: Readonly<Record<string, unknown>>
  /** More of Postern's configuration file. */
  readonly config?: string
  /** More of its section [lmtp]. */
  readonly sink?: string
}

export class EximSite {
  readonly postern: Postern
  readonly exim: Exim
  readonly redis: RedisServer | undefined
  readonly #clients: SmtpClient[] = []
  #sentBefore = 0

  constructor(postern: Postern, exim: Exim, redis: RedisServer | undefined) {
    this.postern = postern
    this.exim = exim
    this.redis = redis
  }

  /** A client from an address, before it has said EHLO. */
  async from(address: string): Promise<SmtpClient> {
    const client = await this.exim.connect(address)
    this.#clients.push(client)
    return client
  }

  /** A client from outside that has said EHLO. */
  async outsider(): Promise<SmtpClient> {
    const client = await this.from('192.0.2.1')
    const reply = await client.command('EHLO outside.example.net')
    if (!reply.startsWith('250')) throw new Error(reply)
    return client
  }

  /** The copies in a list's Maildir or one of its folders. */
  copies(list: string, folder?: string): readonly Buffer[] {
    return copiesIn(this.postern, list, folder)
  }

  /** Waits until all mail is where it goes, and gives what was sent on since the last time. */
  async settled(): Promise<readonly TrappedMessage[]> {
    for (const client of this.#clients.splice(0)) client.destroy()
    await this.exim.waitForEmptyQueue()
    const sent = this.exim.sent.slice(this.#sentBefore)
    this.#sentBefore = this.exim.sent.length
    return sent
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.destroy()
    const panic = this.exim.panicLog()
    await this.exim.stop()
    const status = await this.postern.stop()
    const log = this.postern.log()
    await this.postern.remove()
    await this.redis?.remove()
    const failures = log.split('\n').filter(line => / error: /.test(line))
    if (status !== 0 || failures.length > 0) throw new Error(`serve ended with ${status}:\n${log}`)
    if (panic !== '') throw new Error(`exim panicked:\n${panic}`)
  }
}

/** Of a log, in characters, that is shown when a test fails. */
const SHOWN = 4000

/** Shows the end of both logs for every test that fails. Called in a `describe`. */
export function showEximLogsOnFailure(siteOf: () => EximSite | undefined): void {
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => {
      const site = siteOf()
      if (site === undefined) return
      const exim = `${site.exim.panicLog()}${site.exim.log().slice(-SHOWN)}`
      process.stderr.write(`--- Exim:\n${exim}\n--- Postern:\n${site.postern.log().slice(-SHOWN)}\n---\n`)
    })
  })
}

export const tcpEndpoint = async (): Promise<Extract<Endpoint, { kind: 'tcp' }>> => ({
  kind: 'tcp',
  host: '127.0.0.1',
  port: await freePort(),
})

/** Starts everything, or nothing. */
export async function startEximSite(options: EximSiteOptions): Promise<EximSite> {
  const [policy, lmtp, callout] = [await tcpEndpoint(), await tcpEndpoint(), await tcpEndpoint()]
  const redis = options.store === 'redis' ? startRedis() : Promise.resolve(undefined)
  const exim = startExim({
    policy,
    lmtp,
    callout,
    switches: switchesOf(options.recipe, options),
  })
  const postern = (async () => {
    const redisUrl = (await redis)?.url
    return startPostern({
      policy,
      lmtp,
      callout,
      ...(redisUrl !== undefined && { redisUrl }),
      ...(options.config !== undefined && { config: options.config }),
      ...(options.sink !== undefined && { sink: options.sink }),
    })
  })()
  await Promise.allSettled([postern, exim, redis])
  try {
    const site = new EximSite(await postern, await exim, await redis)
    await site.postern.load(documentOf(options.lists, options.document))
    return site
  } catch (error) {
    await postern.then(started => started.remove()).catch(() => {})
    await exim.then(started => started.stop()).catch(() => {})
    await redis.then(started => started?.remove()).catch(() => {})
    throw error
  }
}
