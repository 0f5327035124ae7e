/** `[serve]`: in how many processes the daemon answers. */
import { availableParallelism } from 'node:os'
import { z } from 'zod'
import type { ServeConfig } from './config.ts'

/** More than any machine has a use for. */
const MAX_WORKERS = 64

/** The schema of the section. */
export function serveSchema() {
  return z
    .strictObject({
      workers: z
        .union(
          [z.int().min(1).max(MAX_WORKERS), z.literal('auto')],
          `expected a whole number from 1 to ${MAX_WORKERS}, or "auto"`,
        )
        .prefault(1),
    })
    .prefault({})
}

/** The section's values as the rest of the program has them: `auto` is as many as there are cores for this process. */
export function serveConfig({ workers }: z.output<ReturnType<typeof serveSchema>>): ServeConfig {
  return { workers: workers === 'auto' ? Math.min(availableParallelism(), MAX_WORKERS) : workers }
}
