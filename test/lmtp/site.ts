/** What tests of the sink over real sockets begin with: one sink a test, and clients at the place that matters. */
import { expect } from 'vitest'
import type { Delivery, DeliveryOutcome } from '../../src/app/message.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { type Sink, type SinkOptions, startSink } from '../support/lmtp-sink.ts'

let sink: Sink | undefined
const clients: LmtpClient[] = []

/** Starts the test's sink; it ends with the test. */
export async function start(options: SinkOptions = {}): Promise<Sink> {
  sink = await startSink(options)
  return sink
}

/** A client that has said LHLO. */
export async function greeted({ address }: Sink): Promise<LmtpClient> {
  return keep(await LmtpClient.greeted(address))
}

/** A client that has read nothing yet. */
export async function connected({ address }: Sink): Promise<LmtpClient> {
  return keep(await LmtpClient.connect(address))
}

/** A client that goes with the test. */
export function keep(client: LmtpClient): LmtpClient {
  clients.push(client)
  return client
}

/** Gives a client a transaction up to the 354. */
export async function inData(to: Sink, recipients: readonly string[] = ['team']): Promise<LmtpClient> {
  const client = await greeted(to)
  client.send(
    'MAIL FROM:<alice@example.net>',
    ...recipients.map(name => `RCPT TO:<${name}@lists.example.org>`),
    'DATA',
  )
  expect((await client.replies(recipients.length + 2)).at(-1)).toMatch(/^354 /)
  return client
}

/** A delivery that takes as long as the test says. */
export function slowDelivery(): Delivery & {
  finish: (outcome?: DeliveryOutcome) => void
  readonly begun: Promise<void>
} {
  let finish: (outcome?: DeliveryOutcome) => void = () => {}
  let begin: () => void = () => {}
  const begun = new Promise<void>(resolve => {
    begin = resolve
  })
  return {
    name: 'slow',
    begun,
    finish: outcome => finish(outcome),
    deliver: (_envelope, _message, recipients) => {
      begin()
      return new Promise(resolve => {
        finish = (outcome = { kind: 'delivered' }) => resolve(recipients.map(() => outcome))
      })
    },
  }
}

/** To be called after each test. */
export async function end(): Promise<void> {
  for (const client of clients.splice(0)) client.destroy()
  await sink?.close()
  sink = undefined
}
