/**
 * Reads the configuration: finds the file, parses it, checks it, and adds the secrets that stand elsewhere. What is
 * wrong with it is returned, all of it at once, and never thrown.
 */
import { readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parse, TomlError } from 'smol-toml'
import type { Config, EmbeddedStoreConfig, StoreConfig } from './config.ts'
import { deliveryConfig, streamsWithoutRedis } from './delivery-schema.ts'
import { heldConfig } from './held-schema.ts'
import { journalConfig } from './journal-schema.ts'
import { Positions } from './positions.ts'
import { type ConfigProblem, formatKey, schemaProblems, sentenceFor } from './problems.ts'
import { type RedisResolution, resolveRedis } from './redis.ts'
import { type ConfigFile, configSchema, usableHostname } from './schema.ts'
import { senderSettings } from './sender-schema.ts'
import { serveConfig } from './serve-schema.ts'
import { findWarnings } from './warnings.ts'

/** Where to look. */
export interface LoadOptions {
  /** The file that the operator named, if one was named. */
  readonly file?: string | undefined
  /** What is in the file, if somebody has read it already; it is then not read again. */
  readonly text?: string | undefined
  readonly cwd: string
  readonly env: Readonly<Record<string, string | undefined>>
}

export type ConfigResult =
  | { readonly ok: true; readonly value: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] }

/** What was read: `text` is what is in the file, empty where there is none. */
export type ReadConfig =
  | { readonly ok: true; readonly value: Config; readonly text: string }
  | Extract<ConfigResult, { ok: false }>

/** Where the file is looked for when none is named, in this order; relative to the working directory. */
export const CONFIG_FILES = ['postern.toml', '/etc/postern/postern.toml'] as const

/** A configuration is never this large, in bytes; what is is something else. */
const MAX_FILE_SIZE = 4 * 1024 * 1024

type Source =
  | { readonly kind: 'none' }
  | { readonly kind: 'text'; readonly name: string; readonly path: string; readonly text: string }
  | { readonly kind: 'unreadable'; readonly name: string; readonly message: string }

function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}

const FILE_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
  EISDIR: 'it is a directory',
}

function readSource(name: string, path: string): Source {
  try {
    const { size } = statSync(path)
    if (size > MAX_FILE_SIZE) {
      return {
        kind: 'unreadable',
        name,
        message: `larger than a configuration may be (${MAX_FILE_SIZE} bytes)`,
      }
    }
    const bytes = readFileSync(path)
    return { kind: 'text', name, path, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (error) {
    if (error instanceof TypeError) return { kind: 'unreadable', name, message: 'not UTF-8 text' }
    const code = errorCode(error)
    return { kind: 'unreadable', name, message: `cannot read it: ${FILE_ERRORS[code] ?? code}` }
  }
}

function isMissing(path: string): boolean {
  try {
    statSync(path)
    return false
  } catch (error) {
    // A file that is there and out of reach is not passed over in silence.
    return ['ENOENT', 'ENOTDIR'].includes(errorCode(error))
  }
}

function findSource({ file, text, cwd }: LoadOptions): Source {
  if (file !== undefined && text !== undefined) {
    return { kind: 'text', name: file, path: resolve(cwd, file), text }
  }
  if (file !== undefined) return readSource(file, resolve(cwd, file))
  const name = CONFIG_FILES.find(candidate => !isMissing(resolve(cwd, candidate)))
  return name === undefined ? { kind: 'none' } : readSource(name, resolve(cwd, name))
}

function syntaxProblem(source: string, error: TomlError): ConfigProblem {
  // The rest of the parser's message repeats lines of the file, which may hold a password.
  const message = (error.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')
  return { source, position: { line: error.line, column: error.column }, key: '', message }
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}

function assemble(file: ConfigFile, store: StoreConfig, path: string | undefined): Omit<Config, 'warnings'> {
  const { site, policy, milter, lmtp, socketmap, web, delivery, held, trial, log } = file
  return {
    file: path,
    serve: serveConfig(file.serve),
    site: {
      maxRecipients: site.max_recipients,
      refuseMtasAt: site.refuse_mtas_at,
      probeLocalParts: site.probe_local_parts,
      maxHops: site.max_hops,
      lateRefusal: site.late_refusal,
      admissionDays: site.admission_days,
      reasonIds: site.reason_ids ? { url: site.why_url || undefined } : undefined,
      senders: senderSettings(file.senders),
    },
    store,
    policy: {
      listen: policy.listen,
      socketMode: policy.socket_mode,
      onStoreFailure: policy.on_store_failure,
      maxConnections: policy.max_connections,
    },
    milter: {
      engine: milter.engine,
      listen: milter.listen,
      socketMode: milter.socket_mode,
      onStoreFailure: milter.on_store_failure,
      maxConnections: milter.max_connections,
      hold: milter.hold,
      traceHeader: milter.trace_header,
      countBodies: milter.count_bodies,
    },
    lmtp: {
      listen: lmtp.listen,
      calloutListen: lmtp.callout_listen,
      socketMode: lmtp.socket_mode,
      allow: lmtp.allow,
      xforward: lmtp.xforward,
      hostname: lmtp.hostname,
      maxSize: lmtp.max_size,
      maxRecipients: lmtp.max_recipients,
      maxConnections: lmtp.max_connections,
      idleTimeoutMs: lmtp.idle_timeout * 1000,
    },
    socketmap: {
      listen: socketmap.listen,
      socketMode: socketmap.socket_mode,
      maxConnections: socketmap.max_connections,
      transport: socketmap.transport || undefined,
      postmaster: socketmap.postmaster,
    },
    web: {
      listen: web.listen,
      hosts: web.hosts,
      socketMode: web.socket_mode,
      maxConnections: web.max_connections,
    },
    delivery: deliveryConfig(delivery, store),
    held: heldConfig(held),
    // A configuration file means that a real MTA is there, or will be.
    trial: { enabled: trial.enabled ?? path === undefined, listen: trial.listen },
    journal: journalConfig(file.journal, usableHostname(hostname())),
    log: { format: log.format, level: log.level, addresses: log.addresses, keyFile: log.key_file },
  }
}

function storeOf(file: ConfigFile, redisUrl: string | undefined): EmbeddedStoreConfig | RedisResolution {
  return file.redis === undefined
    ? { kind: 'embedded', path: file.store.path }
    : resolveRedis(file.redis, redisUrl)
}

/** Loads the configuration. Without a file, everything has its default. */
export function loadConfig(options: LoadOptions): ReadConfig {
  const source = findSource(options)
  const name = source.kind === 'none' ? 'postern.toml' : source.name
  const fail = (...problems: readonly ConfigProblem[]): ReadConfig => ({ ok: false, problems })
  if (source.kind === 'unreadable') {
    return fail({ source: name, position: undefined, key: '', message: source.message })
  }
  const text = source.kind === 'text' ? source.text : ''
  const path = source.kind === 'text' ? source.path : undefined
  let document: Record<string, unknown>
  try {
    document = parse(text)
  } catch (error) {
    if (error instanceof TomlError) return fail(syntaxProblem(name, error))
    throw error
  }
  const redisUrl = options.env['POSTERN_REDIS_URL'] || undefined
  if (redisUrl !== undefined) document['redis'] ??= {}

  const positions = new Positions(text)
  const base = path === undefined ? options.cwd : dirname(path)
  const schema = configSchema({ base, hostname: usableHostname(hostname()) })
  const checked = schema.safeParse(document, { error: sentenceFor })
  if (!checked.success) return fail(...schemaProblems(name, schema, checked.error.issues, positions))
  const store = storeOf(checked.data, redisUrl)
  if (store.kind === 'problem') {
    if (store.source === 'environment') {
      return fail({ source: 'POSTERN_REDIS_URL', position: undefined, key: '', message: store.message })
    }
    const position = positions.ofValue(['redis', store.key])
    return fail({ source: name, position, key: `redis.${store.key}`, message: store.message })
  }
  const placeless = streamsWithoutRedis(checked.data.delivery, store).map((stream): ConfigProblem => {
    const at = ['delivery', 'stream', stream]
    const message = 'a stream needs a url where there is no [redis]'
    return { source: name, position: positions.ofValue(at), key: formatKey(at), message }
  })
  if (placeless.length > 0) return fail(...placeless)
  const config = assemble(checked.data, store, path)
  const warnings = findWarnings(checked.data, config, name, positions)
  return { ok: true, value: deepFreeze({ ...config, warnings }), text }
}
