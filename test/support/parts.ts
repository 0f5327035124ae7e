/**
 * Parts that tests start for real and that a machine may not have. A suite without its part is left out, and the run
 * says so in a line at its end; in CI nothing may be left out.
 */
import { appendFileSync, existsSync } from 'node:fs'

/** Says that a suite is left out, and why; in CI it fails instead. Without a `why` there is nothing to say. */
export function leaveOut(name: string, why: string | undefined): string | undefined {
  if (why === undefined) return undefined
  if (process.env['CI'] === 'true') throw new Error(`${name}: ${why}, and in CI nothing may be left out`)
  const file = process.env['POSTERN_LEFT_OUT']
  if (file !== undefined && file !== '') appendFileSync(file, `left out: ${name}: ${why}\n`)
  return why
}

/** Why the suite `name` cannot run here: nothing, if the program at `path` is there. */
export function requirePart(name: string, path: string): string | undefined {
  return leaveOut(name, existsSync(path) ? undefined : `there is no ${path}`)
}
