/**
 * The part of the configuration file that says where the sink hands on what passes: `[delivery]` with the default, and
 * below it a table for each delivery. `maildir` and `discard` are always there; of the other kinds there may be many,
 * each with a name: `[delivery.relay.NAME]`, `[delivery.pipe.NAME]`, `[delivery.stream.NAME]`.
 */
import { z } from 'zod'
import type { Endpoint } from '../app/endpoint.ts'
import { parseDeliveryName } from '../core/setting.ts'
import type { DeliveryConfig, DeliverySettings, StoreConfig } from './config.ts'
import { pipeSchema, pipeSettings } from './pipe-schema.ts'
import { streamSchema, streamSettings } from './stream-schema.ts'
import { tableOf } from './table-schema.ts'

/** Values that the whole schema reads alike. */
export interface DeliverySchemaParts {
  readonly path: z.ZodType<string, string>
  readonly endpoint: z.ZodType<Endpoint, string>
}

/** Names that are always there. */
const ALWAYS_THERE: readonly string[] = ['maildir', 'discard']

/** The kinds of which there may be many. */
const NAMED_KINDS = ['relay', 'pipe', 'stream'] as const

function relaySchema({ endpoint }: DeliverySchemaParts) {
  return z.strictObject({
    to: endpoint.refine(to => to.kind === 'unix' || to.port > 0, 'expected the port of an LMTP server'),
    max_connections: z.int().min(1).max(1000).prefault(10),
    max_recipients: z.int().min(1).max(100_000).prefault(1000),
    idle_timeout: z.int().min(1).max(3600).prefault(60),
    connect_timeout: z.int().min(1).max(300).prefault(30),
    reply_timeout: z.int().min(1).max(3600).prefault(300),
    timeout: z.int().min(10).max(86_400).prefault(570),
    xforward: z.boolean().prefault(false),
  })
}

/** The schema of `[delivery]`. */
export function deliverySchema(parts: DeliverySchemaParts) {
  return z
    .strictObject({
      default: z.string().prefault('maildir'),
      maildir: z.strictObject({ path: parts.path.prefault('./var/mail') }).prefault({}),
      relay: tableOf(relaySchema(parts)).prefault({}),
      pipe: tableOf(pipeSchema(parts)).prefault({}),
      stream: tableOf(streamSchema()).prefault({}),
    })
    .superRefine((delivery, context) => {
      const taken = new Map<string, string>()
      for (const kind of NAMED_KINDS) {
        for (const name of Object.keys(delivery[kind])) {
          const valid = parseDeliveryName(name)
          const other = ALWAYS_THERE.includes(name) ? `delivery.${name}` : taken.get(name)
          const message = valid.ok ? `the name is taken by ${other}` : valid.problem
          if (valid.ok && other === undefined) taken.set(name, `delivery.${kind}.${name}`)
          else context.addIssue({ code: 'custom', path: [kind, name], message, input: name })
        }
      }
      const names = [...taken.keys(), ...ALWAYS_THERE]
      if (names.includes(delivery.default)) return
      const message = `expected the name of a delivery: ${names.join(', ')}`
      context.addIssue({ code: 'custom', path: ['default'], message, input: delivery.default })
    })
    .prefault({})
}

type DeliveryFile = z.output<ReturnType<typeof deliverySchema>>

type RelayFile = DeliveryFile['relay'][string]

function relaySettings(file: RelayFile): DeliverySettings {
  return {
    kind: 'relay',
    to: file.to,
    maxConnections: file.max_connections,
    maxRecipients: file.max_recipients,
    idleTimeoutMs: file.idle_timeout * 1000,
    connectTimeoutMs: file.connect_timeout * 1000,
    replyTimeoutMs: file.reply_timeout * 1000,
    timeoutMs: file.timeout * 1000,
    xforward: file.xforward,
  }
}

/** Gives the settings of each entry of a kind's table. */
function each<T>(
  table: Readonly<Record<string, T>>,
  settings: (file: T, name: string) => DeliverySettings | undefined,
): Readonly<Record<string, DeliverySettings>> {
  return Object.fromEntries(
    Object.entries(table).flatMap(([name, file]) => {
      const made = settings(file, name)
      return made === undefined ? [] : [[name, made] as const]
    }),
  )
}

/** The names of the streams of which nobody says where their Redis is. */
export function streamsWithoutRedis(file: DeliveryFile, store: StoreConfig): readonly string[] {
  return Object.entries(file.stream).flatMap(([name, stream]) =>
    streamSettings(name, stream, store) === undefined ? [name] : [],
  )
}

/** The deliveries of a file that was checked, each by its name. */
export function deliveryConfig(file: DeliveryFile, store: StoreConfig): DeliveryConfig {
  return {
    default: file.default,
    named: {
      ...each(file.relay, relaySettings),
      ...each(file.pipe, pipeSettings),
      ...each(file.stream, (stream, name) => streamSettings(name, stream, store)),
      maildir: { kind: 'maildir', ...file.maildir },
      discard: { kind: 'discard' },
    },
  }
}
