/**
 * What the trial MTA asks the policy server: a request of Postfix's policy delegation protocol (SMTPD_POLICY_README),
 * with the attributes of Postfix 3.7 in its order, as Postfix fills them in at each phase.
 */
import type { Phase } from '../core/transaction.ts'

/** A phase as Postfix names it in a request: `HELO` where the client said HELO. */
export type ProtocolState = Phase | 'HELO'

/** What the trial MTA knows when it asks. */
export interface Situation {
  readonly state: ProtocolState
  readonly protocol: 'SMTP' | 'ESMTP'
  readonly client: { readonly address: string; readonly port: number }
  readonly server: { readonly address: string; readonly port: number }
  readonly helo: string
  /** Empty for the null sender, and before MAIL. */
  readonly sender: string
  /** At RCPT; later only where one recipient was accepted. */
  readonly recipient: string
  /** Recipients accepted; asked for at DATA and after. */
  readonly recipientCount: number
  readonly queueId: string
  /** Names the message from RCPT on; empty before. */
  readonly instance: string
  /** As declared by MAIL, 0 if it was not; at END-OF-MESSAGE as counted. In octets. */
  readonly size: number
}

/** A value as Postfix sends it: no control character can end it or begin another attribute. */
function value(text: string): string {
  return text.replace(/[\x00-\x1f\x7f]/g, ' ')
}

/** Writes a request, its empty last line included. */
export function formatRequest(situation: Situation): string {
  const attributes: readonly (readonly [string, string | number])[] = [
    ['request', 'smtpd_access_policy'],
    ['protocol_state', situation.state],
    ['protocol_name', situation.protocol],
    ['client_address', situation.client.address],
    ['client_name', 'unknown'],
    ['client_port', situation.client.port],
    ['reverse_client_name', 'unknown'],
    ['server_address', situation.server.address],
    ['server_port', situation.server.port],
    ['helo_name', situation.helo],
    ['sender', situation.sender],
    ['recipient', situation.recipient],
    ['recipient_count', situation.recipientCount],
    ['queue_id', situation.queueId],
    ['instance', situation.instance],
    ['size', situation.size],
    ['etrn_domain', ''],
    ['stress', ''],
    ['sasl_method', ''],
    ['sasl_username', ''],
    ['sasl_sender', ''],
    ['ccert_subject', ''],
    ['ccert_issuer', ''],
    ['ccert_fingerprint', ''],
    ['ccert_pubkey_fingerprint', ''],
    ['encryption_protocol', ''],
    ['encryption_cipher', ''],
    ['encryption_keysize', 0],
    ['policy_context', ''],
  ]
  return `${attributes.map(([name, text]) => `${name}=${value(String(text))}\n`).join('')}\n`
}
