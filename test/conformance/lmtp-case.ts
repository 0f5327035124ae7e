/** What a conformance case of LMTP is, what the server under test must know, and how cases speak to it. */
import { expect } from 'vitest'
import { type LmtpAddress, LmtpClient } from '../support/lmtp-client.ts'

/** A server under test. It takes messages of up to `MAX_SIZE`. */
export interface LmtpServer {
  readonly address: LmtpAddress
  /** Where it refuses senders and recipients, if it does not where it takes messages. */
  readonly callout?: LmtpAddress
  /** Messages that were taken, with the recipients of each, since the server began. */
  readonly messages: readonly { readonly bytes: Buffer; readonly recipients: readonly string[] }[]
}

/** Recipients that every server under test knows. */
export const TEAM = 'team@lists.example.org'
export const OPEN = 'open@lists.example.org'
/** Refused at RCPT with `550 5.7.2`, by a server that is asked. */
export const REFUSED = 'refused@lists.example.org'
/** Refused at RCPT by a server that takes messages. */
export const ELSEWHERE = 'bob@elsewhere.example'
/** Taken at RCPT, and refused with a 552 after a message of more than 1000 octets. */
export const SMALL = 'small@lists.example.org'
/** The server takes no larger message. */
export const MAX_SIZE = 1_500_000

export interface LmtpCase {
  readonly name: string
  readonly source: string
  readonly run: (server: LmtpServer) => Promise<void>
}

export const FROM = 'MAIL FROM:<alice@example.net>'
export const MESSAGE = 'Subject: x\r\n\r\nHello.\r\n'

export const to = (recipient: string): string => `RCPT TO:<${recipient}>`

/** Which of its places a server is spoken to at. */
export type Place = 'address' | 'callout'

/** Runs a session in which every command is sent after the reply to the one before. Greeted, LHLO said. */
export async function session<T>(
  server: LmtpServer,
  use: (client: LmtpClient) => Promise<T>,
  place: Place = 'address',
): Promise<T> {
  const client = await LmtpClient.connect(server[place] ?? server.address)
  try {
    await client.reply()
    await client.ask('LHLO mx.example.org')
    return await use(client)
  } finally {
    client.destroy()
  }
}

/** Sends a transaction in one packet up to DATA, and then the message with QUIT behind it; gives what came after 354. */
export async function afterDot(
  server: LmtpServer,
  recipients: readonly string[],
  message: string | Buffer = MESSAGE,
): Promise<readonly string[]> {
  return session(server, async client => {
    client.send(FROM, ...recipients.map(to), 'DATA')
    const replies = await client.replies(recipients.length + 2)
    expect(replies.at(-1)).toMatch(/^354/)
    client.write(message)
    client.write('.\r\nQUIT\r\n')
    return (await client.rest()).split('\r\n').slice(0, -1)
  })
}

/** The reply to each command, one after the other. */
export async function asked(
  server: LmtpServer,
  commands: readonly string[],
  place: Place = 'address',
): Promise<readonly string[]> {
  const each = async (client: LmtpClient): Promise<readonly string[]> => {
    const replies: string[] = []
    for (const command of commands) replies.push((await client.ask(command)).text)
    return replies
  }
  return session(server, each, place)
}

export const codes = (lines: readonly string[]): readonly string[] => lines.map(line => line.slice(0, 3))

export async function lastMessage(server: LmtpServer, message: string): Promise<string | undefined> {
  const before = server.messages.length
  await afterDot(server, [TEAM], Buffer.from(message, 'latin1'))
  return server.messages[before]?.bytes.toString('latin1')
}

/** A case in which a command, said after a proper LHLO, is answered with a code like this. */
export function answered(
  name: string,
  source: string,
  commands: readonly string[],
  want: RegExp,
  place: Place = 'address',
): LmtpCase {
  return {
    name,
    source,
    run: async server => expect((await asked(server, commands, place)).at(-1)).toMatch(want),
  }
}
