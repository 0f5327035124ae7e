/**
 * A whole sink for tests: the real front on a port or a unix socket, the real gate, a store in memory, and whatever
 * delivery the test is about. Ends with what it was started with.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import type { AddressInfo, Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Decided, Gate } from '../../src/app/gate.ts'
import type { Log, LogFields } from '../../src/app/log.ts'
import type { Delivery, DeliveryRecipient, Envelope } from '../../src/app/message.ts'
import type { FactsStore } from '../../src/app/ports.ts'
import { INITIAL_SITE, type Site } from '../../src/core/facts.ts'
import { parseNetwork } from '../../src/core/network.ts'
import { createLmtpFront, type LmtpFront, type LmtpSettings } from '../../src/lmtp/server.ts'
import type { LmtpAddress } from './lmtp-client.ts'
import { MemoryStore } from './memory-store.ts'
import { must, putState, type StateDocument } from './vectors.ts'

export interface LogLine extends LogFields {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
}

/** A log that keeps its lines. */
export function keepingLog(): Log & { readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const at =
    (level: LogLine['level']) =>
    (message: string, fields: LogFields = {}): void => {
      lines.push({ ...fields, level, message })
    }
  return { lines, debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

export interface KeptCopy extends DeliveryRecipient {
  readonly envelope: Envelope
  readonly bytes: Buffer
}

/** A delivery that keeps copies in memory. */
export function keepingDelivery(): Delivery & { readonly copies: KeptCopy[] } {
  const copies: KeptCopy[] = []
  return {
    name: 'keeping',
    copies,
    async deliver(envelope, message, recipients) {
      const chunks: Uint8Array[] = []
      for await (const chunk of message.read()) chunks.push(chunk)
      for (const recipient of recipients)
        copies.push({ ...recipient, envelope, bytes: Buffer.concat(chunks) })
      return recipients.map(() => ({ kind: 'delivered' }))
    },
  }
}

/** Lists that most tests can do with. */
export const LISTS: StateDocument = {
  postern: 1,
  domains: [{ domain: 'lists.example.org' }],
  lists: [
    {
      address: 'team@lists.example.org',
      people: [
        { who: 'alice@example.net', roles: ['member'] },
        { who: 'held@example.net', roles: ['member'], action: 'hold' },
        { who: 'quiet@example.net', roles: ['member'], action: 'discard' },
      ],
    },
    { address: 'open@lists.example.org', settings: { nonmember_action: 'accept' } },
    {
      address: 'author@lists.example.org',
      settings: { identity: 'author' },
      people: [{ who: 'alice@example.net', roles: ['member'] }],
    },
  ],
}

export interface SinkOptions {
  readonly state?: StateDocument
  readonly site?: Site
  /** In place of the store in memory. */
  readonly facts?: (store: MemoryStore) => FactsStore
  readonly delivery?: Delivery
  /** Those that lists name in their settings. */
  readonly deliveries?: Readonly<Record<string, Delivery>>
  readonly settings?: Partial<LmtpSettings>
  /** Makes names for messages; `ID1`, `ID2` … if not given. */
  readonly newId?: () => string
  /** `unix` listens on a socket in the sink's own directory. */
  readonly listen?: 'tcp' | 'unix'
}

export interface Sink {
  readonly front: LmtpFront
  readonly server: Server
  readonly address: LmtpAddress
  /** Where it is asked only. */
  readonly callout: LmtpAddress
  readonly port: number
  readonly store: MemoryStore
  readonly directory: string
  readonly log: ReturnType<typeof keepingLog>
  readonly copies: readonly KeptCopy[]
  readonly decisions: readonly Decided[]
  close(): Promise<void>
}

export const LOOPBACK = ['127.0.0.0/8', '::1'].map(text => must(parseNetwork(text)))

export async function startSink(options: SinkOptions = {}): Promise<Sink> {
  const directory = await mkdtemp(join(tmpdir(), 'postern-sink-'))
  const store = new MemoryStore()
  await putState(store, options.state ?? LISTS)
  const log = keepingLog()
  const keeping = keepingDelivery()
  const decisions: Decided[] = []
  const gate = new Gate({
    store: options.facts?.(store) ?? store,
    site: options.site ?? INITIAL_SITE,
    clock: Date.now,
    recorder: {
      decided: decision => decisions.push(decision),
      storeState: () => {},
      internalError: error => log.error('internal error', { cause: error }),
    },
  })
  let count = 0
  const front = createLmtpFront({
    gate,
    deliveryFor: name =>
      name === undefined || options.deliveries === undefined
        ? (options.delivery ?? keeping)
        : options.deliveries[name],
    log,
    newId: options.newId ?? (() => `ID${++count}`),
    settings: {
      hostname: 'sink.example.org',
      maxSize: 10_000_000,
      maxRecipients: 100,
      maxConnections: 50,
      idleTimeoutMs: 300_000,
      allow: LOOPBACK,
      xforward: LOOPBACK,
      spoolDirectory: join(directory, 'spool'),
      ...options.settings,
    },
  })
  const server = front.newServer()
  const calloutServer = front.newServer('callout')
  const listen = async (to: Server, name: string): Promise<LmtpAddress> => {
    const path = join(directory, name)
    await new Promise<void>((resolve, reject) => {
      to.once('error', reject)
      if (options.listen === 'unix') to.listen(path, resolve)
      else to.listen(0, '127.0.0.1', resolve)
    })
    return options.listen === 'unix' ? { path } : { port: (to.address() as AddressInfo).port }
  }
  const address = await listen(server, 'lmtp')
  const callout = await listen(calloutServer, 'callout')
  return {
    front,
    server,
    address,
    callout,
    port: 'port' in address ? address.port : 0,
    store,
    directory,
    log,
    copies: keeping.copies,
    decisions,
    async close() {
      server.close()
      calloutServer.close()
      await front.drain(100)
      await rm(directory, { recursive: true, force: true })
    },
  }
}
