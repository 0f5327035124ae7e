/**
 * A server that takes mail and remembers it: the next hop of a Postfix under test, where every bounce would end, or
 * an LMTP sink that is nobody's.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { SMTPServer } from 'smtp-server'
import type { Endpoint } from '../../src/app/endpoint.ts'

export interface TrappedMessage {
  readonly sender: string
  readonly recipients: readonly string[]
  readonly content: Buffer
}

export interface Trap {
  readonly endpoint: Extract<Endpoint, { kind: 'tcp' }>
  /** Every message so far. */
  readonly messages: readonly TrappedMessage[]
  stop(): Promise<void>
}

export interface TrapOptions {
  readonly lmtp?: boolean
  /** The reply to a recipient, like `550 5.7.2 No`; `undefined` takes it. */
  readonly onRcpt?: (recipient: string) => string | undefined
  /** LMTP only: the reply for a recipient after the data. */
  readonly afterData?: (recipient: string) => string
}

function replyError(reply: string): Error {
  return Object.assign(new Error(reply.slice(4)), { responseCode: Number(reply.slice(0, 3)) })
}

export async function startTrap(options: TrapOptions = {}): Promise<Trap> {
  const messages: TrappedMessage[] = []
  const server = new SMTPServer({
    lmtp: options.lmtp === true,
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS'],
    disableReverseLookup: true,
    lenientAddressParsing: true,
    logger: false,
    onRcptTo: (address, _session, done) => {
      const refusal = options.onRcpt?.(address.address)
      done(refusal === undefined ? undefined : replyError(refusal))
    },
    onData: (stream, session, done) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const recipients = session.envelope.rcptTo.map(({ address }) => address)
        const { mailFrom } = session.envelope
        messages.push({
          sender: mailFrom === false ? '' : mailFrom.address,
          recipients,
          content: Buffer.concat(chunks),
        })
        if (options.lmtp !== true) return done(null)
        const replies = recipients.map(recipient => options.afterData?.(recipient) ?? '250 2.1.5 Ok')
        done(
          null,
          replies.map(reply => (reply.startsWith('2') ? reply.slice(4) : replyError(reply))),
        )
      })
    },
  })
  server.on('error', () => {})
  const listening = server.listen({ host: '127.0.0.1', port: 0 })
  await once(listening, 'listening')
  const { port } = listening.address() as AddressInfo
  return {
    endpoint: { kind: 'tcp', host: '127.0.0.1', port },
    messages,
    stop: () =>
      new Promise(resolve => {
        server.close(() => resolve())
        for (const connection of [...server.connections]) connection.close()
      }),
  }
}
