/**
 * The attributes of a policy request (Postfix SMTPD_POLICY_README) in the order in which Postfix sends them, each with
 * the version that it came in. Other MTAs send some of them in any order; attributes that are not listed are kept
 * by name and used for nothing.
 */
export const ATTRIBUTES = {
  request: '2.1',
  protocol_state: '2.1',
  protocol_name: '2.1',
  client_address: '2.1',
  client_name: '2.1',
  client_port: '3.0',
  reverse_client_name: '2.1',
  server_address: '3.2',
  server_port: '3.2',
  helo_name: '2.1',
  sender: '2.1',
  recipient: '2.1',
  recipient_count: '2.3',
  queue_id: '2.1',
  instance: '2.1',
  size: '2.2',
  etrn_domain: '2.3',
  stress: '2.5',
  sasl_method: '2.2',
  sasl_username: '2.2',
  sasl_sender: '2.2',
  ccert_subject: '2.2',
  ccert_issuer: '2.2',
  ccert_fingerprint: '2.2',
  ccert_pubkey_fingerprint: '2.9',
  encryption_protocol: '2.3',
  encryption_cipher: '2.3',
  encryption_keysize: '2.3',
  policy_context: '3.1',
  compatibility_level: '3.8',
  mail_version: '3.8',
} as const satisfies Record<string, string>

export type AttributeName = keyof typeof ATTRIBUTES

/** Every attribute's name; the position is what `attributeAt` gives. */
export const ATTRIBUTE_NAMES: readonly AttributeName[] = Object.keys(ATTRIBUTES) as AttributeName[]

/** Each name's position in `ATTRIBUTE_NAMES`. */
export const ATTRIBUTE_POSITIONS: Readonly<Record<AttributeName, number>> = Object.freeze(
  Object.fromEntries(ATTRIBUTE_NAMES.map((name, position) => [name, position])),
) as Record<AttributeName, number>

/** Where `hashByte` begins. */
export const NO_HASH = 0

/** Adds a byte of a name to its hash, so that a reader that passes over the bytes anyway needs no string of them. */
export function hashByte(hash: number, byte: number): number {
  return (Math.imul(hash, 31) + byte) | 0
}

const NAMES_IN_BYTES = ATTRIBUTE_NAMES.map(name => Buffer.from(name, 'latin1'))
const POSITIONS_BY_HASH = new Map(
  NAMES_IN_BYTES.map((name, position) => [name.reduce(hashByte, NO_HASH), position]),
)

/** The position of the attribute whose name stands in `bytes` from `start` to `end`, or -1 if it is not listed. */
export function attributeAt(bytes: Uint8Array, start: number, end: number, hash: number): number {
  const position = POSITIONS_BY_HASH.get(hash)
  const name = position === undefined ? undefined : NAMES_IN_BYTES[position]
  if (position === undefined || name === undefined || name.length !== end - start) return -1
  for (let i = 0; i < name.length; i++) if (bytes[start + i] !== name[i]) return -1
  return position
}
