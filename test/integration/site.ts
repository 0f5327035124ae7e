/**
 * A site as its postmaster would set it up: Postern as a process of its own, and a Postfix with files of `postfix/` in
 * its configuration. Every case uses lists of its own, and after every case nothing may be queued and nothing may have
 * been sent on, bounces above all.
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeEach } from 'vitest'
import { type Endpoint, formatEndpoint } from '../../src/app/endpoint.ts'
import { type Postern, type PosternOptions, startPostern } from '../support/daemon.ts'
import { heldIn } from '../support/held-queue.ts'
import { leaveOut } from '../support/parts.ts'
import { freePort } from '../support/ports.ts'
import { type Postfix, type PostfixOptions, startPostfix, whyNoPostfix } from '../support/postfix.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import type { TrappedMessage } from '../support/trap.ts'

export const DOMAIN = 'lists.example.org'
export type StoreKind = 'embedded' | 'redis'

/** Whether a suite that needs Postfix is left out here; says so if it is. */
export function leftOutWithoutPostfix(suite: string): boolean {
  return leaveOut(suite, whyNoPostfix()) !== undefined
}

/** The stores that a suite can be run on; says so if Redis is left out. */
export function storesFor(suite: string): readonly StoreKind[] {
  const noRedis = redisMissing(`${suite} on Redis`)
  return noRedis === undefined ? ['embedded', 'redis'] : ['embedded']
}

export interface SiteOptions {
  readonly store: StoreKind
  readonly postfix: Pick<PostfixOptions, 'snippets' | 'mainCf'>
  /** How Postfix reaches Postern: by TCP, or by unix sockets in the directory that smtpd and lmtp are confined to. */
  readonly sockets?: 'tcp' | 'unix'
  /** The engine of Postern's milter, which Postfix asks; none, if not given. */
  readonly milter?: 'native' | 'libmilter'
  /** Whether Postfix looks up lists in Postern. `postmaster@` of the list domains is then somebody in another. */
  readonly socketmap?: boolean
  /** More of Postern's configuration file. */
  readonly config?: string
  /** More of its section [lmtp]. */
  readonly sink?: string
  /** The import document's lists. */
  readonly lists: readonly ListOf[]
  /** Whether Postern may log errors: its store and its disk are taken away from it. */
  readonly failuresExpected?: boolean
  /** The rest of the import document. */
  readonly document?: Readonly<Record<string, unknown>>
}

/** A list in the import document, with plain members. */
export interface ListOf {
  readonly name: string
  readonly settings?: Readonly<Record<string, string | number>>
  readonly members?: readonly string[]
}

export function documentOf(lists: readonly ListOf[], more: Readonly<Record<string, unknown>> = {}): unknown {
  return {
    postern: 1,
    domains: [{ domain: DOMAIN }],
    lists: lists.map(({ name, settings = {}, members = [] }) => ({
      address: `${name}@${DOMAIN}`,
      settings,
      people: members.map(who => ({ who, roles: ['member'] })),
    })),
    ...more,
  }
}

/** The files of a list's Maildir folder, oldest first; `''` is the Maildir itself. */
export function copiesIn(postern: Postern, list: string, folder = ''): readonly Buffer[] {
  const path = join(postern.maildirRoot, DOMAIN, list, folder, 'new')
  if (!existsSync(path)) return []
  return readdirSync(path)
    .sort()
    .map(name => readFileSync(join(path, name)))
}

/** What stands in a Maildir file before the message that the sink was given. */
const ADDED_BY_SINK =
  /^Return-Path: <[^\r\n]*>\r\nDelivered-To: [^\r\n]+\r\nReceived: from [^\r\n]+\r\n\tby postern\.example\.org \(Postern\) [^\r\n]+\r\n\tfor <[^\r\n]+>; [^\r\n]+\r\n/
/** What an MTA puts before a message. */
const ADDED_BY_MTA = /^Received: from [^\r\n]+\r\n(?:[ \t][^\r\n]*\r\n)+/

/** The message within a Maildir file, as the client sent it: what stands after the lines that were added. */
export function asSent(copy: Buffer): string {
  const text = copy.toString('latin1')
  const given = text.replace(ADDED_BY_SINK, '')
  const sent = given.replace(ADDED_BY_MTA, '')
  if (given === text || sent === given) throw new Error(`lines are missing from the copy:\n${text}`)
  return Buffer.from(sent, 'latin1').toString()
}

/** The message within a held copy, as the client sent it. */
export function asSentBeforeHeld(copy: Buffer): string {
  const text = copy.toString('latin1')
  const sent = text.replace(ADDED_BY_MTA, '')
  if (sent === text) throw new Error(`lines are missing from the copy:\n${text}`)
  return Buffer.from(sent, 'latin1').toString()
}

/** The messages of a list that wait for a moderator, as the sink was given them; oldest first. */
export async function heldFor(postern: Postern, list: string): Promise<readonly Buffer[]> {
  return (await heldIn(postern.heldRoot, `${list}@${DOMAIN}`)).map(({ octets }) => octets)
}

export class Site {
  readonly postern: Postern
  readonly postfix: Postfix
  readonly redis: RedisServer | undefined
  readonly #failuresExpected: boolean
  readonly #clients: SmtpClient[] = []
  #sentBefore = 0

  constructor(postern: Postern, postfix: Postfix, redis: Site['redis'], failuresExpected: boolean) {
    this.postern = postern
    this.postfix = postfix
    this.redis = redis
    this.#failuresExpected = failuresExpected
  }

  /** A client from outside, greeted. */
  async outsider(address = '192.0.2.1'): Promise<SmtpClient> {
    const client = await this.insider()
    const replies = await client.dialogue(`XCLIENT ADDR=${address}`, 'EHLO outside.example.net')
    if (!replies.every(reply => reply.startsWith('2'))) throw new Error(replies.join('\n'))
    return client
  }

  /** A client from the site's own networks, greeted. */
  async insider(): Promise<SmtpClient> {
    const client = await SmtpClient.connect(this.postfix.endpoint)
    this.#clients.push(client)
    const reply = await client.command('EHLO inside.example.org')
    if (!reply.startsWith('250')) throw new Error(reply)
    return client
  }

  /** The copies in a list's Maildir or one of its folders. */
  copies(list: string, folder?: string): readonly Buffer[] {
    return copiesIn(this.postern, list, folder)
  }

  /** The messages of a list that wait for a moderator. */
  held(list: string): Promise<readonly Buffer[]> {
    return heldFor(this.postern, list)
  }

  /** Waits until all mail is where it goes, and gives what was sent on since the last time. */
  async settled(): Promise<readonly TrappedMessage[]> {
    for (const client of this.#clients.splice(0)) client.destroy()
    await this.postfix.waitForEmptyQueue()
    const sent = this.postfix.sent.slice(this.#sentBefore)
    this.#sentBefore = this.postfix.sent.length
    return sent
  }

  async stop(): Promise<void> {
    for (const client of this.#clients.splice(0)) client.destroy()
    await this.postfix.stop()
    const status = await this.postern.stop()
    const log = this.postern.log()
    await this.postern.remove()
    await this.redis?.remove()
    const failures = this.#failuresExpected ? [] : log.split('\n').filter(line => / error: /.test(line))
    if (status !== 0 || failures.length > 0) throw new Error(`serve ended with ${status}:\n${log}`)
  }
}

/** Of a log, in characters, that is shown when a test fails. */
const SHOWN = 4000

/** Shows the end of both logs for every test that fails. Called in a `describe`. */
export function showLogsOnFailure(siteOf: () => Site | undefined): void {
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => {
      const site = siteOf()
      if (site === undefined) return
      const postfix = site.postfix.log().slice(-SHOWN)
      const postern = site.postern.log().slice(-SHOWN)
      process.stderr.write(`--- Postfix:\n${postfix}\n--- Postern:\n${postern}\n---\n`)
    })
  })
}

type Sockets = Required<Pick<PosternOptions, 'policy' | 'lmtp'>> &
  Readonly<Record<'milter' | 'socketmap', Endpoint>>

/** A directory in which Postern makes its sockets and Postfix may use them, as the task document says. */
function socketsBelow(queueDirectory: string): Sockets {
  const directory = join(queueDirectory, 'postern')
  mkdirSync(directory)
  chownSync(directory, 0, Number(execFileSync('id', ['-g', 'postfix'])))
  chmodSync(directory, 0o2750)
  return {
    policy: { kind: 'unix', path: join(directory, 'policy') },
    lmtp: { kind: 'unix', path: join(directory, 'lmtp') },
    milter: { kind: 'unix', path: join(directory, 'milter') },
    socketmap: { kind: 'unix', path: join(directory, 'socketmap') },
  }
}

const tcp = async (): Promise<Extract<Endpoint, { kind: 'tcp' }>> => ({
  kind: 'tcp',
  host: '127.0.0.1',
  port: await freePort(),
})

/** Starts everything, or nothing. */
export async function startSite(options: SiteOptions): Promise<Site> {
  const unix = options.sockets === 'unix'
  const byTcp = { policy: await tcp(), lmtp: await tcp(), milter: await tcp(), socketmap: await tcp() }
  const redis = options.store === 'redis' ? startRedis() : Promise.resolve(undefined)
  const postfix = startPostfix({
    ...options.postfix,
    chroot: unix,
    replace: {
      'inet:127.0.0.1:10040': unix ? 'unix:postern/policy' : `inet:127.0.0.1:${byTcp.policy.port}`,
      'inet:127.0.0.1:10041': unix ? 'unix:postern/milter' : `inet:127.0.0.1:${byTcp.milter.port}`,
      'inet:127.0.0.1:10042': unix ? 'unix:postern/lmtp' : `inet:127.0.0.1:${byTcp.lmtp.port}`,
      'inet:127.0.0.1:10043': unix ? 'unix:postern/socketmap' : `inet:127.0.0.1:${byTcp.socketmap.port}`,
    },
  })
  const postern = (async () => {
    const redisUrl = (await redis)?.url
    const { policy, lmtp, milter, socketmap } = unix ? socketsBelow((await postfix).queueDirectory) : byTcp
    const milterConfig =
      options.milter === undefined
        ? ''
        : `[milter]\nengine = "${options.milter}"\nlisten = ["${formatEndpoint(milter)}"]`
    const socketmapConfig =
      options.socketmap === true
        ? `[socketmap]
listen = ["${formatEndpoint(socketmap)}"]
postmaster = "postmaster@example.org"
${unix ? 'transport = "lmtp:unix:postern/lmtp"' : ''}`
        : ''
    return startPostern({
      policy,
      lmtp,
      ...(redisUrl !== undefined && { redisUrl }),
      ...(options.sink !== undefined && { sink: options.sink }),
      config: [milterConfig, socketmapConfig, options.config ?? ''].join('\n'),
    })
  })()
  await Promise.allSettled([postern, postfix, redis])
  try {
    const site = new Site(await postern, await postfix, await redis, options.failuresExpected === true)
    await site.postern.load(documentOf(options.lists, options.document))
    return site
  } catch (error) {
    await postern.then(started => started.remove()).catch(() => {})
    await postfix.then(started => started.stop()).catch(() => {})
    await redis.then(started => started?.remove()).catch(() => {})
    throw error
  }
}
