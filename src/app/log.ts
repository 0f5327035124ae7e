/**
 * The operator's log, as a port. Messages are constant words; what varies stands in the fields, so that a line can be
 * found and counted. Nothing secret and no message body is ever a field.
 */

/** Values beside a message. `cause` may be anything that was thrown. */
export interface LogFields {
  readonly [name: string]: unknown
  readonly cause?: unknown
}

export interface Log {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

/** A log that keeps nothing. */
export const NO_LOG: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
