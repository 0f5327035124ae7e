/**
 * Hands a message to the LMTP sink with nodemailer, and reads what the sink says about each recipient.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import type { Endpoint } from '../app/endpoint.ts'
import { type RecipientReply, readReply, type WireReply } from './outcome.ts'

export interface HandedOver {
  readonly sender: string
  readonly recipients: readonly string[]
  readonly message: Buffer
  readonly eightBit: boolean
}

/** The sink took no transaction at all; `reply` is what it said, if it said anything. */
export class SinkRefused extends Error {
  readonly code = 'POSTERN_TRIAL_SINK_REFUSED'
  override readonly name = 'SinkRefused'
  readonly reply: WireReply | undefined

  constructor(reply: WireReply | undefined, cause: unknown) {
    super('the LMTP sink took no transaction', { cause })
    this.reply = reply
  }
}

/** In milliseconds: for connecting, and for every wait on the sink. */
const SINK_TIMEOUT = 60_000

/** In octets: replies to a transaction of as many recipients as the trial MTA takes stay far below. */
const MAX_REPLIES = 1_000_000

async function connectTo(endpoint: Endpoint): Promise<Socket> {
  const socket =
    endpoint.kind === 'unix' ? connect(endpoint.path) : connect({ host: endpoint.host, port: endpoint.port })
  const timer = setTimeout(() => socket.destroy(new Error('connecting took too long')), SINK_TIMEOUT)
  try {
    await once(socket, 'connect')
    return socket
  } finally {
    clearTimeout(timer)
  }
}

/**
 * nodemailer names those whom the sink refused, but not in which words it took the others. They are read from the same
 * socket, which is ours: after the data come as many reply lines as recipients were accepted, in order.
 */
function recordReplies(socket: Socket): () => readonly WireReply[] {
  let text = ''
  socket.on('data', chunk => {
    if (text.length < MAX_REPLIES) text += chunk.toString('latin1')
  })
  return () =>
    text
      .split('\r\n')
      .filter(line => /^\d\d\d /.test(line))
      .flatMap(line => readReply(line) ?? [])
}

function open(connection: SMTPConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.on('error', reject)
    connection.connect(error => (error === undefined ? resolve() : reject(error)))
  })
}

type SendInfo = Parameters<Parameters<SMTPConnection['send']>[2]>[1]

function send(connection: SMTPConnection, mail: HandedOver): Promise<NonNullable<SendInfo>> {
  const envelope = {
    from: mail.sender,
    to: [...mail.recipients],
    size: mail.message.length,
    use8BitMime: mail.eightBit,
  }
  return new Promise((resolve, reject) => {
    connection.send(envelope, mail.message, (error, info) => (info ? resolve(info) : reject(error)))
  })
}

interface RefusedRecipient {
  readonly recipient?: string | undefined
  readonly response?: string | undefined
}

function refusals(errors: readonly RefusedRecipient[]): RecipientReply[] {
  return errors.flatMap(({ recipient, response }) => {
    const reply = readReply(response ?? '')
    return recipient === undefined || reply === undefined ? [] : [{ recipient, ...reply }]
  })
}

/**
 * Hands a message over and gives the sink's reply for each recipient, in no particular order.
 * @throws SinkRefused
 */
export async function handOver(sink: Endpoint, name: string, mail: HandedOver): Promise<RecipientReply[]> {
  let connection: SMTPConnection | undefined
  try {
    const socket = await connectTo(sink)
    const replies = recordReplies(socket)
    connection = new SMTPConnection({
      lmtp: true,
      connection: socket,
      name,
      ignoreTLS: true,
      greetingTimeout: SINK_TIMEOUT,
      socketTimeout: SINK_TIMEOUT,
    })
    await open(connection)
    const info = await send(connection, mail)
    const atRcpt = (info.rejectedErrors ?? []).filter(({ command }) => command === 'RCPT TO')
    const refusedAtRcpt = new Set(atRcpt.map(({ recipient }) => recipient))
    const judged = mail.recipients.filter(recipient => !refusedAtRcpt.has(recipient))
    const last = replies().slice(-judged.length)
    if (last.length !== judged.length) throw new Error('the sink did not answer for every recipient')
    const afterData = judged.flatMap((recipient, index) => {
      const reply = last[index]
      return reply === undefined ? [] : [{ recipient, ...reply }]
    })
    return [...refusals(atRcpt), ...afterData]
  } catch (error) {
    const { rejectedErrors, response } = error as {
      rejectedErrors?: readonly RefusedRecipient[]
      response?: string
    }
    const refused = refusals(rejectedErrors ?? [])
    if (refused.length === mail.recipients.length) return refused
    throw new SinkRefused(readReply(response ?? ''), error)
  } finally {
    connection?.quit()
  }
}
