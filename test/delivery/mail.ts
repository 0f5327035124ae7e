/** Messages, envelopes and recipients for tests of deliveries. */
import type { DeliveryOutcome, DeliveryRecipient, Envelope, Message } from '../../src/app/message.ts'
import { formatReply } from '../../src/core/reply.ts'
import type { RelaySettings } from '../../src/delivery/relay.ts'
import { RelayFault } from '../../src/delivery/relay-fault.ts'
import { address } from '../support/vectors.ts'

export const ENVELOPE: Envelope = {
  sender: address('alice@example.net'),
  client: {},
  id: 'ID1',
  receivedAt: Date.UTC(2026, 0, 2, 3, 4, 5),
  smtputf8: false,
  mta: { name: 'mx.example.org', address: '192.0.2.1' },
}

/** A message in pieces. */
export function message(text: string | Uint8Array, pieceOctets = 50_000): Message {
  const bytes = typeof text === 'string' ? Buffer.from(text) : text
  return {
    size: bytes.length,
    async *read() {
      for (let at = 0; at < bytes.length; at += pieceOctets) yield bytes.subarray(at, at + pieceOctets)
    },
  }
}

export const POST: Message = message('Subject: post\r\n\r\nHello.\r\n')

export function to(recipient: string, more: Partial<DeliveryRecipient> = {}): DeliveryRecipient {
  const parsed = address(recipient)
  return { recipient: parsed, list: parsed.key, service: undefined, disposition: 'deliver', ...more }
}

/** Recipients `a@`, `b@` … */
export function team(names: string): readonly DeliveryRecipient[] {
  return [...names].map(name => to(`${name}@lists.example.org`))
}

/** An outcome in a few words: what a table of outcomes has. */
export function told(outcome: DeliveryOutcome): string {
  switch (outcome.kind) {
    case 'delivered':
      return `delivered: ${outcome.reply === undefined ? '' : formatReply(outcome.reply)}`
    case 'refused':
      return `refused: ${formatReply(outcome.reply)}`
    case 'failed':
      return `failed: ${outcome.cause instanceof RelayFault ? outcome.cause.kind : String(outcome.cause)}`
  }
}

/** Settings with times that tests can wait for. */
export function relaySettings(to: RelaySettings['to'], more: Partial<RelaySettings> = {}): RelaySettings {
  return {
    name: 'hop',
    to,
    hostname: 'sink.example.org',
    maxConnections: 4,
    maxRecipients: 1000,
    idleTimeoutMs: 60_000,
    connectTimeoutMs: 5000,
    replyTimeoutMs: 5000,
    timeoutMs: 20_000,
    xforward: false,
    ...more,
  }
}
