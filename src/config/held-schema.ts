/** `[held]`: the queue of messages that wait for a moderator. */
import { z } from 'zod'
import { type Endpoint, parseEndpoint } from '../app/endpoint.ts'
import { type Parsed, problem } from '../core/parsed.ts'
import { EXPIRE_ACTIONS, type HeldConfig } from './config.ts'

const SMTP = /^smtp:\/\/([^/?#@\s]+)\/?$/

const DAY_MS = 86_400_000

/** The schema of the section. */
export function heldSchema({ path }: { readonly path: z.ZodType<string, string> }) {
  const mta = z.string().transform((text, context): HeldConfig['notices'] => {
    if (text === '') return undefined
    const [, place] = SMTP.exec(text) ?? []
    const hasPort = place !== undefined && /:\d+$/.test(place)
    const result: Parsed<Endpoint> =
      place === undefined
        ? problem('expected smtp://host:port')
        : parseEndpoint(hasPort ? place : `${place}:25`)
    if (result.ok && result.value.kind === 'tcp') return result.value
    context.addIssue({
      code: 'custom',
      message: result.ok ? 'expected smtp://host:port' : result.problem,
      input: text,
    })
    return z.NEVER
  })
  return z
    .strictObject({
      path: path.prefault('./var/held'),
      max_messages: z.int().min(0).max(1_000_000).prefault(10_000),
      max_size: z.int().min(0).max(1_000_000_000_000).prefault(1_073_741_824),
      expire_days: z.int().min(0).max(3650).prefault(0),
      expire_action: z.enum(EXPIRE_ACTIONS).prefault('discard'),
      notices: mta.prefault(''),
    })
    .prefault({})
}

/** The settings of a section that was checked. */
export function heldConfig(file: z.output<ReturnType<typeof heldSchema>>): HeldConfig {
  return {
    path: file.path,
    maxMessages: file.max_messages,
    maxSize: file.max_size,
    expireAfterMs: file.expire_days === 0 ? undefined : file.expire_days * DAY_MS,
    expireAction: file.expire_action,
    notices: file.notices,
  }
}
