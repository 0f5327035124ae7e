/** Why a program did not take a message, for the log. */
export class PipeError extends Error {
  readonly code = 'POSTERN_PIPE'
  override readonly name = 'PipeError'
}
