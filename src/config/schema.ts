/**
 * The configuration file's shape: every key with its type, limits and default. The defaults stand here and nowhere
 * else, written as a file would write them; `docs/configuration.md` is compared with this by a test.
 */
import { resolve } from 'node:path'
import { z } from 'zod'
import { type Endpoint, formatEndpoint, parseEndpoint } from '../app/endpoint.ts'
import { type Address, parseAddress } from '../core/address.ts'
import { parseDomain } from '../core/domain.ts'
import { INITIAL_SITE } from '../core/facts.ts'
import { contains, type Network, parseIpAddress, parseNetwork } from '../core/network.ts'
import type { Parsed } from '../core/parsed.ts'
import { LOG_LEVELS, MILTER_ENGINES, STORE_FAILURE_MODES } from './config.ts'
import { deliverySchema } from './delivery-schema.ts'
import { heldSchema } from './held-schema.ts'
import { journalSchema, whyUrl } from './journal-schema.ts'
import { formatKey } from './problems.ts'
import { parseRedisUrl } from './redis-url.ts'
import { sendersSchema } from './sender-schema.ts'
import { serveSchema } from './serve-schema.ts'

/** What the meaning of some values depends on. */
export interface SchemaContext {
  /** Relative paths are relative to this directory. */
  readonly base: string
  /** What the system calls itself. */
  readonly hostname: string
}

const LOOPBACK = ['127.0.0.0/8', '::1']
const LOOPBACK_NETWORKS = LOOPBACK.flatMap(text => {
  const network = parseNetwork(text)
  return network.ok ? [network.value] : []
})

/** Whether only this host can reach the endpoint. */
export function isLocal(endpoint: Endpoint): boolean {
  if (endpoint.kind === 'unix' || endpoint.host === 'localhost') return true
  const address = parseIpAddress(endpoint.host)
  return address.ok && LOOPBACK_NETWORKS.some(network => contains(network, address.value))
}

/** A string that one of our own parsers reads. */
function read<T>(parse: (text: string) => Parsed<T>) {
  return z.string().transform((text, context): T => {
    const result = parse(text)
    if (result.ok) return result.value
    context.addIssue({ code: 'custom', message: result.problem, input: text })
    return z.NEVER
  })
}

/** A string that one of our own parsers understands, kept as a string. */
function understood(parse: (text: string) => Parsed<unknown>) {
  return z.string().superRefine((text, context) => {
    const result = parse(text)
    if (!result.ok) context.addIssue({ code: 'custom', message: result.problem, input: text })
  })
}

const network = read<Network>(parseNetwork)

const socketMode = z
  .string()
  .regex(/^0?[67][0-7]{2}$/, 'expected an octal mode of a socket in quotes, such as "0660"')
  .transform(text => Number.parseInt(text, 8))

const prefix = z
  .string()
  .max(100)
  .regex(/^[\x21-\x7a\x7c]*$/, 'expected printable ASCII characters without spaces, { and }')

const probeLocalPart = z
  .string()
  .regex(/^[^@\s]{1,255}$/, 'expected the part of an address before the @')
  .transform(text => text.toLowerCase())

const transport = z
  .string()
  .max(300)
  .regex(/^(?:[\w.-]+:[\x21-\x7e]*)?$/, 'expected transport:nexthop, such as lmtp:inet:127.0.0.1:10042')

const nonEmpty = z.string().min(1)

function endpointSchema(base: string) {
  return read<Endpoint>(text =>
    text.startsWith('unix:') && text !== 'unix:'
      ? parseEndpoint(`unix:${resolve(base, text.slice('unix:'.length))}`)
      : parseEndpoint(text),
  )
}

function pathSchema(base: string) {
  return nonEmpty.transform(text => resolve(base, text))
}

function redisSchema(base: string) {
  return z
    .strictObject({
      url: understood(parseRedisUrl).optional(),
      host: nonEmpty.optional(),
      port: z.int().min(1).max(65_535).optional(),
      socket: pathSchema(base).optional(),
      tls: z.boolean().optional(),
      username: nonEmpty.optional(),
      password: nonEmpty.optional(),
      password_file: pathSchema(base).optional(),
      db: z.int().min(0).max(99_999).optional(),
      prefix: prefix.prefault('postern:'),
      timeout: z.int().min(50).max(60_000).prefault(2000),
    })
    .superRefine((redis, context) => {
      const clash = (key: keyof typeof redis, other: keyof typeof redis): void => {
        if (redis[key] === undefined || redis[other] === undefined) return
        context.addIssue({
          code: 'custom',
          path: [key],
          message: `cannot stand beside ${other}`,
          input: redis,
        })
      }
      for (const key of ['host', 'port', 'socket', 'tls', 'db'] as const) clash(key, 'url')
      for (const key of ['host', 'port', 'tls'] as const) clash(key, 'socket')
      clash('password_file', 'password')
      const url = redis.url === undefined ? undefined : parseRedisUrl(redis.url)
      if (url?.ok !== true) return
      if (url.value.username !== undefined) clash('username', 'url')
      if (url.value.password === undefined) return
      clash('password', 'url')
      clash('password_file', 'url')
    })
}

/** The schema of the whole file. */
export function configSchema({ base, hostname }: SchemaContext) {
  const endpoint = endpointSchema(base)
  const path = pathSchema(base)
  return z
    .strictObject({
      serve: serveSchema(),
      site: z
        .strictObject({
          max_recipients: z.int().min(0).max(1_000_000).prefault(INITIAL_SITE.maxRecipients),
          refuse_mtas_at: z.enum(['CONNECT', 'EHLO']).prefault(INITIAL_SITE.refuseMtasAt),
          probe_local_parts: z
            .array(probeLocalPart)
            .max(100)
            .prefault([...INITIAL_SITE.probeLocalParts]),
          max_hops: z.int().min(0).max(1000).prefault(INITIAL_SITE.maxHops),
          late_refusal: z.enum(['hold', 'discard']).prefault(INITIAL_SITE.lateRefusal),
          admission_days: z.int().min(1).max(100).prefault(INITIAL_SITE.admissionDays),
          reason_ids: z.boolean().prefault(false),
          why_url: whyUrl.prefault(''),
        })
        .prefault({}),
      journal: journalSchema(),
      senders: sendersSchema(),
      store: z.strictObject({ path: path.prefault('./var/store') }).prefault({}),
      redis: redisSchema(base).optional(),
      policy: z
        .strictObject({
          listen: z.array(endpoint).max(100).prefault(['127.0.0.1:10040']),
          on_store_failure: z.enum(STORE_FAILURE_MODES).prefault('defer'),
          socket_mode: socketMode.prefault('0660'),
          max_connections: z.int().min(1).max(100_000).prefault(1000),
        })
        .prefault({}),
      milter: z
        .strictObject({
          engine: z.enum(MILTER_ENGINES).prefault('native'),
          listen: z.array(endpoint).max(100).prefault(['127.0.0.1:10041']),
          on_store_failure: z.enum(STORE_FAILURE_MODES).prefault('defer'),
          hold: z.enum(['sink', 'quarantine']).prefault('sink'),
          trace_header: z.boolean().prefault(false),
          count_bodies: z.boolean().prefault(true),
          socket_mode: socketMode.prefault('0660'),
          max_connections: z.int().min(1).max(100_000).prefault(1000),
        })
        .prefault({}),
      lmtp: z
        .strictObject({
          listen: z.array(endpoint).max(100).prefault(['127.0.0.1:10042']),
          callout_listen: z.array(endpoint).max(100).prefault(['127.0.0.1:10044']),
          allow: z
            .array(network)
            .max(10_000)
            .prefault([...LOOPBACK]),
          xforward: z
            .array(network)
            .max(10_000)
            .prefault([...LOOPBACK]),
          hostname: read<string>(text =>
            text === '' ? { ok: true, value: hostname } : parseDomain(text),
          ).prefault(''),
          max_size: z.int().min(1024).max(2_147_483_647).prefault(52_428_800),
          max_recipients: z.int().min(1).max(100_000).prefault(1000),
          max_connections: z.int().min(1).max(100_000).prefault(200),
          idle_timeout: z
            .int()
            .min(300, 'must be at least 300 (RFC 5321 §4.5.3.2.7)')
            .max(86_400)
            .prefault(300),
          socket_mode: socketMode.prefault('0660'),
        })
        .prefault({}),
      socketmap: z
        .strictObject({
          listen: z.array(endpoint).max(100).prefault(['127.0.0.1:10043']),
          transport: transport.prefault(''),
          postmaster: read<Address | undefined>(text =>
            text === '' ? { ok: true, value: undefined } : parseAddress(text),
          ).prefault(''),
          socket_mode: socketMode.prefault('0660'),
          max_connections: z.int().min(1).max(100_000).prefault(1000),
        })
        .prefault({}),
      web: z
        .strictObject({
          listen: z.array(endpoint).max(100).prefault(['127.0.0.1:10045']),
          hosts: z.array(read<string>(parseDomain)).max(100).prefault([]),
          socket_mode: socketMode.prefault('0660'),
          max_connections: z.int().min(1).max(10_000).prefault(100),
        })
        .prefault({}),
      delivery: deliverySchema({ path, endpoint }),
      held: heldSchema({ path }),
      trial: z
        .strictObject({
          enabled: z.boolean().optional(),
          listen: endpoint
            .refine(isLocal, 'the trial MTA listens on this host only: 127.0.0.1:PORT')
            .prefault('127.0.0.1:10025'),
        })
        .prefault({}),
      log: z
        .strictObject({
          format: z.enum(['text', 'json']).prefault('text'),
          level: z.enum(LOG_LEVELS).prefault('info'),
          addresses: z.enum(['full', 'hashed']).prefault('full'),
          key_file: path.prefault('./var/log-key'),
        })
        .prefault({}),
    })
    .superRefine((file, context) => {
      const taken = new Map<string, string>()
      const claim = (at: (string | number)[], claimed: Endpoint): void => {
        const text = formatEndpoint(claimed)
        const other = taken.get(text)
        const message = `${text} stands in ${other} too`
        if (other !== undefined) context.addIssue({ code: 'custom', path: at, message, input: text })
        // The system chooses another port each time.
        else if (claimed.kind === 'unix' || claimed.port !== 0) taken.set(text, formatKey(at))
      }
      for (const [index, each] of file.policy.listen.entries()) claim(['policy', 'listen', index], each)
      for (const [index, each] of file.milter.listen.entries()) claim(['milter', 'listen', index], each)
      for (const key of ['listen', 'callout_listen'] as const) {
        for (const [index, each] of file.lmtp[key].entries()) claim(['lmtp', key, index], each)
      }
      for (const [index, each] of file.socketmap.listen.entries()) claim(['socketmap', 'listen', index], each)
      for (const [index, each] of file.web.listen.entries()) claim(['web', 'listen', index], each)
      for (const [name, { to }] of Object.entries(file.delivery.relay)) {
        const own = taken.get(formatEndpoint(to))
        if (own === undefined) continue
        const message = `${formatEndpoint(to)} is this server's own: it stands in ${own}`
        context.addIssue({ code: 'custom', path: ['delivery', 'relay', name, 'to'], message, input: to })
      }
      if (file.milter.engine === 'libmilter' && file.milter.listen.length > 1) {
        const message = 'libmilter has one endpoint in the life of a process'
        context.addIssue({
          code: 'custom',
          path: ['milter', 'listen', 1],
          message,
          input: file.milter.listen,
        })
      }
      if (file.trial.enabled !== true) return
      claim(['trial', 'listen'], file.trial.listen)
      for (const front of ['policy', 'lmtp'] as const) {
        if (file[front].listen.length > 0) continue
        const message = `the trial MTA needs an endpoint in ${front}.listen`
        context.addIssue({ code: 'custom', path: ['trial', 'enabled'], message, input: true })
      }
    })
}

/** The file's values: checked, complete where there are defaults, in their own types. */
export type ConfigFile = z.output<ReturnType<typeof configSchema>>

/** A host name for the sink's greeting, from what the system calls itself. */
export function usableHostname(systemName: string): string {
  const domain = parseDomain(systemName)
  return domain.ok ? domain.value : 'localhost'
}
