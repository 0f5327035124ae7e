/** `[delivery.stream.NAME]`: a Redis stream that mail is put into, in the store's Redis or in another one. */
import { z } from 'zod'
import type { StoreConfig, StreamConfig } from './config.ts'
import { parseRedisUrl } from './redis-url.ts'

const url = z.string().superRefine((text, context) => {
  const result = parseRedisUrl(text)
  if (!result.ok) context.addIssue({ code: 'custom', message: result.problem, input: text })
})

/** The prefix of keys in a Redis that is not the store's. */
const PREFIX = 'postern:'

/** The schema of one stream. */
export function streamSchema() {
  return z.strictObject({
    url: url.optional(),
    key: z.string().min(1).max(1000).optional(),
    max_entries: z.int().min(1).max(100_000_000).prefault(10_000),
    // Redis takes no value that is larger than this (proto-max-bulk-len).
    max_message_size: z.int().min(1024).max(536_870_912).prefault(52_428_800),
    wait_replicas: z.int().min(0).max(100).prefault(0),
    timeout: z.int().min(1).max(300).prefault(30),
  })
}

type StreamFile = z.output<ReturnType<typeof streamSchema>>

/** The settings of a stream that was checked; `undefined` if neither it nor the store says where Redis is. */
export function streamSettings(name: string, file: StreamFile, store: StoreConfig): StreamConfig | undefined {
  const own = file.url === undefined ? undefined : parseRedisUrl(file.url)
  const place = own?.ok === true ? { ...own.value, prefix: PREFIX } : store
  if (!('endpoint' in place)) return undefined
  const { endpoint, tls, db, username, password, prefix } = place
  return {
    kind: 'stream',
    redis: { endpoint, tls, db, username, password },
    key: file.key ?? `${prefix}stream:${name}`,
    maxEntries: file.max_entries,
    maxMessageSize: file.max_message_size,
    waitReplicas: file.wait_replicas,
    timeoutMs: file.timeout * 1000,
  }
}
