/**
 * How the program ends: exit statuses by sysexits(3), which MTAs and scripts know, and the failure that carries one.
 */

/** 75 is for "try again later" only: MTAs queue on it. */
export const EXIT = {
  ok: 0,
  /** Refused: by the law (`ask`), or because what the store holds speaks against it. */
  refused: 1,
  /** The command line cannot be understood. */
  usage: 64,
  /** A document or a line of input cannot be understood. */
  data: 65,
  /** A file to read is not there or not readable. */
  noInput: 66,
  /** The store is away. */
  unavailable: 69,
  /** A bug of Postern's. */
  bug: 70,
  /** Output could not be written. */
  io: 74,
  /** Deferred: later it may go otherwise. */
  deferred: 75,
  /** The user may not do that. */
  noPermission: 77,
  /** The configuration is wrong, or the store is not one that this version can use. */
  configuration: 78,
  /** Ended by SIGINT, as a shell counts it. */
  interrupted: 130,
} as const
export type ExitStatus = (typeof EXIT)[keyof typeof EXIT]

export interface FailureOptions extends ErrorOptions {
  /** What to do next, in one sentence without a full stop. */
  readonly advice?: string
  /** Lines that belong to the message, such as each problem of a configuration. */
  readonly details?: readonly string[]
}

/** A command cannot go on. The message is one sentence without a full stop. */
export class Failure extends Error {
  readonly code = 'POSTERN_COMMAND_FAILED'
  override readonly name = 'Failure'
  readonly status: ExitStatus
  readonly advice: string | undefined
  readonly details: readonly string[]

  constructor(status: ExitStatus, sentence: string, options: FailureOptions = {}) {
    super(sentence, options)
    this.status = status
    this.advice = options.advice
    this.details = options.details ?? []
  }
}
