/**
 * A value that takes some work to find, found again when it is asked for and the last one is too old. Who asks while it is
 * being found gets the same.
 */
import type { Clock } from '../app/ports.ts'

/** `maxAge` is in milliseconds. What fails is not kept. */
export function lately<T>(find: () => Promise<T>, maxAge: number, clock: Clock): () => Promise<T> {
  let found: { readonly at: number; readonly value: Promise<T> } | undefined
  return () => {
    if (found !== undefined && clock() - found.at < maxAge) return found.value
    const value = find()
    const made = { at: clock(), value }
    found = made
    value.catch(() => {
      if (found === made) found = undefined
    })
    return value
  }
}
