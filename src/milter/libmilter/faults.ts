/** How the engine on Sendmail's libmilter can fail to work, each with a stable code and a sentence for the operator. */

export const LIBMILTER_FAULTS = [
  'libmilter-missing',
  'libmilter-once',
  'libmilter-endpoint',
  'libmilter-listen',
  'libmilter-ended',
] as const

export type LibmilterFault = (typeof LIBMILTER_FAULTS)[number]

export class LibmilterError extends Error {
  override readonly name = 'LibmilterError'
  readonly code: LibmilterFault

  constructor(code: LibmilterFault, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}
