/**
 * The trace line that every MTA puts on top of a message it takes (RFC 5321 §4.4).
 */

export interface Arrival {
  readonly helo: string
  readonly address: string
  readonly protocol: 'SMTP' | 'ESMTP'
  /** The name of this MTA. */
  readonly by: string
  readonly id: string
  /** Milliseconds since the epoch. */
  readonly at: number
}

/** A client's word, harmless in a header: nothing in it can open a comment or begin a line. */
function word(text: string): string {
  return text.replace(/[^\w.:[\]-]/g, '?').slice(0, 255) || 'unknown'
}

/** The whole field, folded, with its CRLF. */
export function receivedLine(arrival: Arrival): string {
  const date = new Date(arrival.at).toUTCString().replace('GMT', '+0000')
  return (
    `Received: from ${word(arrival.helo)} ([${word(arrival.address)}])\r\n` +
    `\tby ${word(arrival.by)} (Postern trial MTA) with ${arrival.protocol} id ${arrival.id};\r\n` +
    `\t${date}\r\n`
  )
}
