/**
 * The configuration as the rest of the program sees it: complete, checked, in the language's own types, frozen.
 * Paths are absolute. `docs/configuration.md` describes the file that it comes from.
 */
import type { Argument } from '../app/argument.ts'
import type { Endpoint } from '../app/endpoint.ts'
import type { Retention } from '../app/journal.ts'
import type { AddressChoice } from '../app/journal-event.ts'
import type { Address } from '../core/address.ts'
import type { Site } from '../core/facts.ts'
import type { Network } from '../core/network.ts'
import type { ConfigProblem } from './problems.ts'
import type { Secret } from './secret.ts'

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** What a front answers when the gate could not judge because something of ours failed. */
export const STORE_FAILURE_MODES = ['defer', 'pass', 'disconnect'] as const
export type StoreFailureMode = (typeof STORE_FAILURE_MODES)[number]

export interface EmbeddedStoreConfig {
  readonly kind: 'embedded'
  readonly path: string
}

export interface RedisStoreConfig {
  readonly kind: 'redis'
  readonly endpoint: Endpoint
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: Secret | undefined
  readonly db: number
  /** Begins every key. */
  readonly prefix: string
  /** For connecting, and for one command. */
  readonly timeoutMs: number
}

export type StoreConfig = EmbeddedStoreConfig | RedisStoreConfig

export interface PolicyConfig {
  /** Empty: the front is off. */
  readonly listen: readonly Endpoint[]
  /** Permission bits of unix sockets. */
  readonly socketMode: number
  readonly onStoreFailure: StoreFailureMode
  readonly maxConnections: number
}

export const MILTER_ENGINES = ['native', 'libmilter'] as const
export type MilterEngine = (typeof MILTER_ENGINES)[number]

export interface MilterConfig {
  /** Who speaks the protocol: Postern itself, or Sendmail's libmilter, which has one endpoint. */
  readonly engine: MilterEngine
  /** Empty: the front is off. */
  readonly listen: readonly Endpoint[]
  readonly socketMode: number
  readonly onStoreFailure: StoreFailureMode
  readonly maxConnections: number
  /** Who keeps what is to be held: the sink, by the same law, or the MTA's quarantine. */
  readonly hold: 'sink' | 'quarantine'
  /** Whether messages to lists get a header field that says how they were judged. */
  readonly traceHeader: boolean
  /** Whether bodies are counted; otherwise a message has the size that was declared. */
  readonly countBodies: boolean
}

export interface LmtpConfig {
  /** Where mail is delivered. Empty: the front is off. */
  readonly listen: readonly Endpoint[]
  /** Where it is asked only, by an MTA whose client is on the line. Empty: nowhere. */
  readonly calloutListen: readonly Endpoint[]
  readonly socketMode: number
  /** Whose MTAs may connect by TCP. */
  readonly allow: readonly Network[]
  /** Whose XFORWARD is believed. */
  readonly xforward: readonly Network[]
  readonly hostname: string
  /** In octets. */
  readonly maxSize: number
  /** Of one transaction. */
  readonly maxRecipients: number
  readonly maxConnections: number
  readonly idleTimeoutMs: number
}

export interface SocketmapConfig {
  /** Empty: the front is off. */
  readonly listen: readonly Endpoint[]
  readonly socketMode: number
  readonly maxConnections: number
  /** What Postfix is told of the way to the sink; without it, where the sink listens. */
  readonly transport: string | undefined
  /** Who gets the mail to `postmaster@` and `abuse@` of the list domains. */
  readonly postmaster: Address | undefined
}

export interface WebConfig {
  /** Empty: the front is off. */
  readonly listen: readonly Endpoint[]
  /** Names that it is asked by, beside `localhost` and addresses. */
  readonly hosts: readonly string[]
  readonly socketMode: number
  readonly maxConnections: number
}

/** An LMTP server that mail is handed to. */
export interface RelayConfig {
  readonly kind: 'relay'
  readonly to: Endpoint
  /** Connections at the same time. */
  readonly maxConnections: number
  /** Of one transaction. */
  readonly maxRecipients: number
  /** How long a connection is kept that is not used. */
  readonly idleTimeoutMs: number
  readonly connectTimeoutMs: number
  /** For the answer to one command, and for the taking of a piece of the message. */
  readonly replyTimeoutMs: number
  /** For all of a message: shorter than an MTA waits for its replies. */
  readonly timeoutMs: number
  /** Whether the next hop is told by XFORWARD who the client was, where it offers that. */
  readonly xforward: boolean
}

/** A program that mail is handed to. */
export interface PipeConfig {
  readonly kind: 'pipe'
  /** Its path. */
  readonly program: string
  readonly args: readonly Argument[]
  /** Its working directory. */
  readonly directory: string
  /** What is in its environment beside what the message puts there. */
  readonly environment: Readonly<Record<string, string>>
  readonly lineEnds: 'lf' | 'crlf'
  /** Whether the message gets the fields of final delivery. */
  readonly traceFields: boolean
  /** How long a copy may wait for its turn, and how long a program may then run. */
  readonly timeoutMs: number
  /** Processes at a time. */
  readonly maxProcesses: number
}

/** A Redis stream that mail is put into. */
export interface StreamConfig {
  readonly kind: 'stream'
  readonly redis: Pick<RedisStoreConfig, 'endpoint' | 'tls' | 'username' | 'password' | 'db'>
  readonly key: string
  /** Entries that it may hold. */
  readonly maxEntries: number
  /** In octets. */
  readonly maxMessageSize: number
  /** How many replicas must have an entry. */
  readonly waitReplicas: number
  /** For connecting, and for an answer. */
  readonly timeoutMs: number
}

/** A way to hand accepted mail on, with what it needs. */
export type DeliverySettings =
  | { readonly kind: 'maildir'; readonly path: string }
  | RelayConfig
  | PipeConfig
  | StreamConfig
  | { readonly kind: 'discard' }

export interface DeliveryConfig {
  /** The name of the delivery for lists that choose none, and whose domains choose none. */
  readonly default: string
  /** Every delivery by its name. */
  readonly named: Readonly<Record<string, DeliverySettings>>
}

export const EXPIRE_ACTIONS = ['discard', 'accept', 'reject'] as const
export type ExpireAction = (typeof EXPIRE_ACTIONS)[number]

/** The queue of messages that wait for a moderator. */
export interface HeldConfig {
  readonly path: string
  /** Of one list; 0 is no limit. */
  readonly maxMessages: number
  /** Of one list, in octets; 0 is no limit. */
  readonly maxSize: number
  /** How long a message waits; `undefined` is for ever. */
  readonly expireAfterMs: number | undefined
  readonly expireAction: ExpireAction
  /** The MTA that takes notices to senders; without it there are none. */
  readonly notices: Extract<Endpoint, { kind: 'tcp' }> | undefined
}

export interface TrialConfig {
  readonly enabled: boolean
  readonly listen: Endpoint
}

export interface ServeConfig {
  /** The processes that answer; 1 is this one alone. */
  readonly workers: number
}

export interface LogConfig {
  readonly format: 'text' | 'json'
  readonly level: LogLevel
  readonly addresses: 'full' | 'hashed'
  /** Holds the key of the hash. */
  readonly keyFile: string
}

export interface JournalConfig {
  readonly enabled: boolean
  /** What this host is called among those that share the journal. */
  readonly node: string
  readonly retention: Retention
  /** How people's addresses stand in it; hashes are made with the log's key. */
  readonly addresses: AddressChoice
}

export interface Config {
  /** The file it was read from; `undefined` where there is none and everything has its default. */
  readonly file: string | undefined
  readonly serve: ServeConfig
  readonly site: Site
  readonly store: StoreConfig
  readonly policy: PolicyConfig
  readonly milter: MilterConfig
  readonly lmtp: LmtpConfig
  readonly socketmap: SocketmapConfig
  readonly web: WebConfig
  readonly delivery: DeliveryConfig
  readonly held: HeldConfig
  readonly trial: TrialConfig
  readonly journal: JournalConfig
  readonly log: LogConfig
  /** What is allowed, and worth a word to the operator. */
  readonly warnings: readonly ConfigProblem[]
}
