/**
 * The operator's log: events and decisions, as text or JSON, on standard error. Its settings can change while it is
 * in use.
 */
import { fstatSync } from 'node:fs'
import type { Decided } from '../app/gate.ts'
import type { Log, LogFields } from '../app/log.ts'
import type { Clock } from '../app/ports.ts'
import { LOG_LEVELS, type LogConfig, type LogLevel } from '../config/config.ts'
import { type AddressCloak, hashingCloak, loadCloakKey, NO_CLOAK } from './address-cloak.ts'
import { LineSink, type LineTarget } from './line-sink.ts'
import { jsonEncoder } from './log-json.ts'
import { decisionLevel, decisionRecord, eventRecord, type LogRecord } from './log-record.ts'
import { encodeText } from './log-text.ts'

export interface LogParts {
  readonly target: LineTarget
  /** Whether systemd's journal reads the lines: see `readsJournal`. */
  readonly journal: boolean
  readonly clock: Clock
  /** The number of this process, where several write to the same log. */
  readonly worker?: number
}

/** Octets that a pipe takes in one piece, whoever else writes to it (pipe(7)). */
const PIPE_BUF = 4096

interface Form {
  readonly minimum: number
  readonly encode: (record: LogRecord) => string
  readonly cloak: AddressCloak
}

function formOf(config: LogConfig, journal: boolean): Form {
  return {
    minimum: LOG_LEVELS.indexOf(config.level),
    encode: config.format === 'json' ? jsonEncoder() : record => encodeText(record, { journal }),
    cloak: config.addresses === 'hashed' ? hashingCloak(loadCloakKey(config.keyFile)) : NO_CLOAK,
  }
}

export class DaemonLog implements Log {
  readonly #parts: LogParts
  readonly #sink: LineSink
  #form: Form

  /** Throws the system's error if the key of `addresses = "hashed"` cannot be read or made. */
  constructor(config: LogConfig, parts: LogParts) {
    this.#parts = parts
    // Lines of several processes stay whole in a pipe if each write is a small one.
    this.#sink = new LineSink(parts.target, parts.worker === undefined ? undefined : PIPE_BUF)
    this.#form = formOf(config, parts.journal)
  }

  /** Goes on with other settings; throws as the constructor does, and then goes on with the old ones. */
  configure(config: LogConfig): void {
    this.#form = formOf(config, this.#parts.journal)
  }

  debug(message: string, fields?: LogFields): void {
    this.#event('debug', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#event('info', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#event('warn', message, fields)
  }

  error(message: string, fields?: LogFields): void {
    this.#event('error', message, fields)
  }

  /** Logs a decision: one line. */
  decided(decision: Decided): void {
    const { encode, cloak, minimum } = this.#form
    // A decision does not change any more, so that making its line can wait.
    if (LOG_LEVELS.indexOf(decisionLevel(decision)) < minimum) return
    this.#sink.add(() => encode(decisionRecord(decision, cloak)))
  }

  /** Writes what has been logged. */
  flush(): void {
    this.#sink.flush()
  }

  #event(level: LogLevel, message: string, fields: LogFields = {}): void {
    const { encode, cloak, minimum } = this.#form
    if (LOG_LEVELS.indexOf(level) < minimum) return
    const { worker, clock } = this.#parts
    const shown = worker === undefined ? fields : { ...fields, worker }
    const line = encode(eventRecord(level, message, shown, { time: clock(), cloak }))
    this.#sink.add(() => line)
  }
}

/**
 * Whether systemd's journal reads standard error. The variable alone does not say so: shells started from a service
 * inherit it (systemd.exec(5), JOURNAL_STREAM).
 */
export function readsJournal(env: Readonly<Record<string, string | undefined>>, fd = 2): boolean {
  const stream = env['JOURNAL_STREAM']
  if (stream === undefined) return false
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true })
    return stream === `${dev}:${ino}`
  } catch {
    return false
  }
}
