/** Large and hostile messages to a list that looks at parts: what they cost the sink, and that it has an answer to each. */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { type Postern, startPostern } from '../support/daemon.ts'
import { HOSTILE_MESSAGES } from '../support/hostile-messages.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { type Sink, startSink } from '../support/lmtp-sink.ts'
import type { StateDocument } from '../support/vectors.ts'

const SIZE = 100 * 1024 * 1024
/** What the daemon's memory may grow by for one message more, in bytes, whatever its size. */
const GROWTH = 24 * 1024 * 1024

const TEAM = 'team@lists.example.org'
const STATE: StateDocument = {
  postern: 1,
  domains: [{ domain: 'lists.example.org' }],
  lists: [
    {
      address: TEAM,
      settings: { refused_parts: 'video/* .exe', max_destinations: '100' },
      people: [{ who: 'alice@example.net', roles: ['member'] }],
    },
  ],
}

let postern: Postern | undefined
let sink: Sink | undefined
afterEach(async () => {
  await postern?.remove()
  await sink?.close()
})

function memory(pid: number, what: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]) * 1024
}

/** Writes as fast as it is taken. */
async function pour(client: LmtpClient, bytes: Buffer): Promise<void> {
  if (!client.socket.write(bytes)) await new Promise(resolve => client.socket.once('drain', resolve))
}

async function upToData(client: LmtpClient): Promise<void> {
  expect((await client.ask('MAIL FROM:<alice@example.net>')).code).toBe(250)
  expect((await client.ask(`RCPT TO:<${TEAM}>`)).code).toBe(250)
  expect((await client.ask('DATA')).code).toBe(354)
}

test('a hundred megabytes cost no more than a few, whatever their parts', { timeout: 120_000 }, async () => {
  postern = await startPostern({
    sink: `max_size = ${3 * SIZE}`,
    config: '[delivery]\ndefault = "discard"\n',
  })
  await postern.load(STATE)
  const { lmtp } = postern
  const client = await LmtpClient.greeted(lmtp.kind === 'tcp' ? { port: lmtp.port } : { path: lmtp.path })
  const send = async (size: number): Promise<string> => {
    await upToData(client)
    await pour(
      client,
      Buffer.from('From: alice@example.net\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n'),
    )
    const part = `--b\r\nContent-Type: image/png; name=a.png\r\n\r\n${`${'QUJD'.repeat(19)}\r\n`.repeat(3000)}`
    const bytes = Buffer.from(part)
    for (let left = size; left > 0; left -= bytes.length) await pour(client, bytes)
    await pour(client, Buffer.from('--b--\r\n.\r\n'))
    return (await client.reply()).text
  }
  // Once, its buffers grow to what they are from then on.
  expect(await send(SIZE)).toMatch(/^250 2\.0\.0 /)
  const pid = postern.pid()
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  const before = memory(pid, 'VmRSS')
  expect(await send(2 * SIZE)).toMatch(/^250 2\.0\.0 /)
  expect(memory(pid, 'VmHWM') - before).toBeLessThan(GROWTH)
  client.destroy()
})

describe('hostile messages', () => {
  test.each(HOSTILE_MESSAGES)('$name', { timeout: 60_000 }, async ({ header, body, reason }) => {
    sink = await startSink({ state: STATE, settings: { maxSize: SIZE } })
    const client = await LmtpClient.greeted(sink.address)
    await upToData(client)
    await pour(client, Buffer.from(`${header.join('\r\n')}\r\n\r\n`))
    await pour(client, Buffer.from(body))
    client.write('.\r\n')
    const reply = await client.reply()
    const verdict = sink.decisions.at(-1)?.verdict
    // Nobody knows whether the return path is alice's: her post waits, and there is no bounce.
    expect([verdict?.kind, verdict?.inPlaceOf?.reason, reply.code]).toEqual(['hold', reason, 250])
    client.destroy()
  })
})
