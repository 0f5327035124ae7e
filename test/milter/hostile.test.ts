/** Messages that are made to cost whoever looks at them, through the milter: a clear refusal as soon as it is known. */
import { afterEach, describe, expect, test } from 'vitest'
import { HOSTILE_MESSAGES } from '../support/hostile-messages.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { putState } from '../support/vectors.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { MtaClient } from './mta-client.ts'
import { command } from './mta-wire.ts'
import { gateOver } from './world.ts'

const TEAM = 'team@lists.example.org'

let server: RunningMilter | undefined
afterEach(async () => {
  await server?.stop()
  server = undefined
})

async function start(countBodies: boolean): Promise<MtaClient> {
  const store = new MemoryStore()
  await putState(store, {
    postern: 1,
    domains: [{ domain: 'lists.example.org' }],
    lists: [
      {
        address: TEAM,
        settings: { refused_parts: 'video/* .exe', max_destinations: '100', max_size: '1000000000' },
        people: [{ who: 'alice@example.net', roles: ['member'] }],
      },
    ],
  })
  server = await startMilter('tcp', { gate: gateOver(store), settings: { countBodies } })
  const client = await MtaClient.greeted(server.endpoint)
  await client.ask(command.mail('<alice@example.net>'))
  expect(await client.ask(command.rcpt(`<${TEAM}>`))).toEqual(['c'])
  return client
}

const REPLIES = {
  'too-many-parts': 'y 554 5.6.0 The message has more parts than are looked at here',
  'header-too-large': 'y 554 5.6.0 The header of the message is larger than is looked at here',
  'too-many-destinations': `y 550 5.5.3 A message to ${TEAM} may not have more than 100 addresses in To: and Cc:`,
} as const

/** In octets, of one frame. */
const PIECE = 65_000

async function sendHeader(client: MtaClient, header: readonly string[]): Promise<readonly string[]> {
  const frames = header.map(line => {
    const colon = line.indexOf(':')
    return command.header(line.slice(0, colon), line.slice(colon + 2).replaceAll('\r\n', '\n'))
  })
  await client.pour(Buffer.concat(frames))
  return client.ask(command.endOfHeaders())
}

describe('hostile messages', () => {
  test.each(HOSTILE_MESSAGES)('$name', { timeout: 60_000 }, async ({ header, body, reason }) => {
    const client = await start(true)
    const headed = await sendHeader(client, header)
    if (reason === 'too-many-parts') {
      expect(headed).toEqual(['c'])
      for (let at = 0; at < body.length; at += PIECE) {
        await client.pour(command.body(body.slice(at, at + PIECE)))
      }
      expect(await client.ask(command.endOfMessage())).toEqual([REPLIES[reason]])
    } else {
      expect(headed).toEqual([REPLIES[reason]])
    }
    client.destroy()
  })
})

describe('parts', () => {
  test('of a message that has one are known when the header is there', async () => {
    const client = await start(true)
    expect(await sendHeader(client, ['Content-Type: video/mp4'])).toEqual([
      `y 554 5.6.1 The list ${TEAM} does not take this kind of content: video/mp4`,
    ])
    client.destroy()
  })

  test('may come with the end of the message', async () => {
    const client = await start(true)
    expect(await sendHeader(client, ['Content-Type: multipart/mixed; boundary=b'])).toEqual(['c'])
    client.send(command.body('--b\r\n\r\nx\r\n--'))
    expect(await client.ask(command.endOfMessage('b\r\nContent-Type: video/mp4\r\n\r\n'))).toEqual([
      `y 554 5.6.1 The list ${TEAM} does not take this kind of content: video/mp4`,
    ])
    client.destroy()
  })

  test('are the sink’s to look at where bodies are not counted', async () => {
    const client = await start(false)
    expect(await sendHeader(client, ['Content-Type: video/mp4'])).toEqual(['c'])
    expect(await client.ask(command.endOfMessage())).toEqual(['c'])
    client.destroy()
  })

  test('of one message are not another one’s', async () => {
    const client = await start(true)
    expect(await sendHeader(client, ['Content-Type: multipart/mixed; boundary=b'])).toEqual(['c'])
    client.send(command.body('--b\r\nContent-Type: video/mp4\r\n\r\n'), command.abort())
    await client.ask(command.mail('<alice@example.net>'))
    await client.ask(command.rcpt(`<${TEAM}>`))
    expect(await sendHeader(client, ['Content-Type: multipart/mixed; boundary=b'])).toEqual(['c'])
    client.send(command.body('--b\r\nContent-Type: text/plain\r\n\r\n'))
    expect(await client.ask(command.endOfMessage())).toEqual(['c'])
    client.destroy()
  })
})
