/** `[journal]`: what is kept of decisions, and for how long; and of `[site]`, the reason ids. */
import { z } from 'zod'
import type { JournalConfig } from './config.ts'

/** Leaves room for the reply before it. */
const MAX_URL = 200

/** The URL that a reply names: what `{id}` stands for is put in there. */
export const whyUrl = z
  .string()
  .max(MAX_URL)
  .regex(/^(?:https?:\/\/[\x21-\x7e]*\{id\}[\x21-\x7e]*)?$/, 'expected an http or https URL with {id} in it')

/** The schema of the section. */
export function journalSchema() {
  return z
    .strictObject({
      enabled: z.boolean().prefault(true),
      node: z
        .string()
        .regex(/^[\x21-\x7e]{0,100}$/, 'expected printable ASCII without spaces')
        .prefault(''),
      max_events: z.int().min(1000).max(100_000_000).prefault(100_000),
      keep_minutes: z.int().min(60).max(100_000).prefault(1440),
      keep_hours: z.int().min(24).max(100_000).prefault(2160),
      keep_days: z.int().min(1).max(10_000).prefault(730),
      addresses: z.enum(['full', 'hashed', 'none']).prefault('full'),
    })
    .prefault({})
}

/** The section's values as the rest of the program has them. */
export function journalConfig(
  journal: z.output<ReturnType<typeof journalSchema>>,
  hostname: string,
): JournalConfig {
  return {
    enabled: journal.enabled,
    node: journal.node || hostname,
    retention: {
      maxEvents: journal.max_events,
      keep: { minute: journal.keep_minutes, hour: journal.keep_hours, day: journal.keep_days },
    },
    addresses: journal.addresses,
  }
}
