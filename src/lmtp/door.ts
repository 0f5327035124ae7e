/**
 * What a port of the sink is for. Through the `delivery` door comes mail that an MTA has taken, so that a refusal is a
 * bounce; through the `callout` door come questions while a client is on the line, and no message. The protocol does not
 * tell the two apart (RFC 5321 §3.3 lets a client leave after RCPT), so each has a port of its own.
 */
export type Door = 'delivery' | 'callout'
