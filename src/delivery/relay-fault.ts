/**
 * What can go wrong between the relay and a next hop. None of it is ever permanent: the mail stays with the MTA.
 */

/**
 * `unreachable`: no connection came about. `turned-away`: the next hop does not serve us. `lost`: it has closed the
 * connection, or said that it is about to. `late`: it took too long. `nonsense`: it does not speak LMTP as it
 * should. `unsuited`: it does not offer what this message needs. `ours`: the message could not be read.
 */
export type RelayFaultKind =
  | 'unreachable'
  | 'turned-away'
  | 'lost'
  | 'late'
  | 'nonsense'
  | 'unsuited'
  | 'ours'

/** Why a message, or a copy, was not handed over. The message is for the operator's log. */
export class RelayFault extends Error {
  override readonly name = 'RelayFault'
  readonly code = 'POSTERN_RELAY_FAULT'
  readonly kind: RelayFaultKind

  constructor(kind: RelayFaultKind, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.kind = kind
  }
}

/** Whatever was thrown, as a fault. */
export function asFault(error: unknown): RelayFault {
  return error instanceof RelayFault ? error : new RelayFault('ours', 'handing over failed', error)
}
