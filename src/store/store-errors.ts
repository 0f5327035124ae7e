/**
 * What can be wrong with a store besides its being away (`StoreUnavailable`), and what may be shown of an error that a
 * driver threw.
 */
import { StoreUnavailable } from '../app/ports.ts'

/** What is stored cannot be understood, or a key holds another kind of value than it should. */
export class StoredDataError extends Error {
  readonly code = 'POSTERN_STORED_DATA'
  override readonly name = 'StoredDataError'
}

/** The store was written by a version of Postern whose layout this one does not know. */
export class StoreSchemaError extends Error {
  readonly code = 'POSTERN_STORE_SCHEMA'
  override readonly name = 'StoreSchemaError'
}

/** The path of the embedded store cannot be used: no directory, no permission, no store of Postern's, damage. */
export class StoreUnusable extends Error {
  readonly code = 'POSTERN_STORE_UNUSABLE'
  override readonly name = 'StoreUnusable'
}

/** Staged people were forgotten because nothing was added to them for too long. Nothing was changed. */
export class StagingLost extends Error {
  readonly code = 'POSTERN_STAGING_LOST'
  override readonly name = 'StagingLost'
}

/** The layout that this version reads and writes, in Redis and in the embedded store alike. */
export const SCHEMA_VERSION = 1

/** An error for a layout that is not ours. `found` is what stands where the version should. */
export function schemaError(found: string): StoreSchemaError {
  const newer = /^\d{1,9}$/.test(found) && Number(found) > SCHEMA_VERSION
  return new StoreSchemaError(
    newer
      ? `the store has schema version ${found}, this version of Postern knows ${SCHEMA_VERSION}: it is too old for this store`
      : `the store's schema version should be ${SCHEMA_VERSION} and is ${JSON.stringify(found.slice(0, 40))}`,
  )
}

/** What an error says, in one line. Node gives an AggregateError, without a text, where a name has two addresses. */
export function messageOf(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join('; ')
  const text = error instanceof Error ? error.message : String(error)
  return (text.split('\n')[0] ?? '').trim() || 'unknown error'
}

/**
 * A driver's error without what the driver hung on it: ioredis keeps the command with its arguments, and the command
 * may be AUTH.
 */
function bare(error: unknown): Error {
  const plain = new Error(messageOf(error))
  if (error instanceof Error) {
    plain.name = error.name
    if (error.stack !== undefined) plain.stack = error.stack
  }
  return plain
}

/** The store is away; `what` names it, `error` is why. */
export function unavailable(what: string, error: unknown): StoreUnavailable {
  if (error instanceof StoreUnavailable) return error
  const kept = error instanceof StoreSchemaError || error instanceof StoredDataError ? error : bare(error)
  return new StoreUnavailable(`${what}: ${messageOf(error)}`, { cause: kept })
}
