/**
 * Takes a message's data, asks the last question, and hands the message to the sink. The client's reply is what the
 * sink says: nothing is kept here.
 */
import type { SMTPServerDataStream, SMTPServerSession } from 'smtp-server'
import type { Endpoint } from '../app/endpoint.ts'
import type { Log } from '../app/log.ts'
import { type Call, protocolOf } from './call.ts'
import { handOver, SinkRefused } from './hand-over.ts'
import { oneReplyOf, type RecipientReply, type WireReply } from './outcome.ts'
import { receivedLine } from './received.ts'

/** A message whose data has begun to flow. */
export interface Taken {
  readonly stream: SMTPServerDataStream
  readonly session: SMTPServerSession
  readonly call: Call
}

export interface TakeParts {
  readonly sink: Endpoint
  readonly hostname: string
  readonly log: Log
}

const TOO_BIG: WireReply = { code: 552, text: '5.3.4 The message is larger than the trial MTA takes' }
const SINK_AWAY: WireReply = { code: 451, text: '4.4.1 The LMTP sink does not answer' }
/** Nobody hears it: the client went away before its message was complete. */
const GONE: WireReply = { code: 451, text: '4.4.2 The message did not arrive in full' }

/** The whole message; its chunks are forgotten as soon as it is larger than smtp-server was told to take. */
async function readAll(stream: SMTPServerDataStream): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  for await (const chunk of stream) {
    if (stream.sizeExceeded) chunks.length = 0
    else chunks.push(chunk)
  }
  return stream.sizeExceeded ? undefined : Buffer.concat(chunks)
}

async function deliver(parts: TakeParts, { session, call }: Taken, body: Buffer): Promise<WireReply> {
  const { mailFrom, rcptTo, bodyType } = session.envelope
  const received = receivedLine({
    helo: session.hostNameAppearsAs,
    address: session.remoteAddress,
    protocol: protocolOf(session),
    by: parts.hostname,
    id: call.queueId,
    at: Date.now(),
  })
  const fields = { queueId: call.queueId, recipients: rcptTo.length }
  let replies: readonly RecipientReply[]
  try {
    replies = await handOver(parts.sink, parts.hostname, {
      sender: mailFrom === false ? '' : mailFrom.address,
      recipients: rcptTo.map(({ address }) => address),
      message: Buffer.concat([Buffer.from(received), body]),
      eightBit: bodyType === '8bitmime',
    })
  } catch (error) {
    if (!(error instanceof SinkRefused)) throw error
    parts.log.warn('trial message not taken by the sink', { ...fields, cause: error.cause })
    return error.reply ?? SINK_AWAY
  }
  const refused = replies.filter(({ code }) => code >= 300)
  if (refused.length === 0) parts.log.info('trial message delivered', fields)
  else parts.log.warn('trial message refused', { ...fields, refused: refused.length })
  return oneReplyOf(replies)
}

/** Disposes of a message and gives the client's reply. */
export async function take(parts: TakeParts, taken: Taken): Promise<WireReply> {
  const { stream, session, call } = taken
  let body: Buffer | undefined
  try {
    body = await readAll(stream)
  } catch {
    return GONE
  }
  if (body === undefined) return TOO_BIG
  const answer = await call.ask(session, { state: 'END-OF-MESSAGE', size: body.length })
  return answer.kind === 'refuse' ? answer : deliver(parts, taken, body)
}
