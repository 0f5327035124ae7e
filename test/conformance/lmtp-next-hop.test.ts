/**
 * What a client of LMTP must get right where mail hangs on it, tried on the relay and on nodemailer's client, which
 * `docs/decisions.md` says why the relay does not use: that fails the cases named below, and the day it passes one
 * shows here.
 */
import SMTPConnection from 'nodemailer/lib/smtp-connection'
import { describe, expect, test } from 'vitest'
import { createRelayDelivery } from '../../src/delivery/relay.ts'
import { ENVELOPE, message, relaySettings, team } from '../delivery/mail.ts'
import { CLOSE, type NextHop, type Script, startNextHop } from '../support/next-hop.ts'

/** Whether each of three recipients, of whom the first two are the same, is said to have its copy. */
type Told = readonly boolean[]
type Client = (hop: NextHop, text: string) => Promise<Told>

const NAMES = 'aab'
const POST = 'Subject: x\r\n\r\nHello.\r\n'

const relay: Client = async (hop, text) => {
  const delivery = createRelayDelivery(relaySettings(hop.endpoint, { timeoutMs: 400 }))
  const outcomes = await delivery.deliver(ENVELOPE, message(text), team(NAMES))
  await delivery.close?.()
  return outcomes.map(({ kind }) => kind === 'delivered')
}

const nodemailer: Client = async (hop, text) => {
  const to = [...NAMES].map(name => `${name}@lists.example.org`)
  const { host, port } = hop.endpoint
  const client = new SMTPConnection({ lmtp: true, host, port, ignoreTLS: true, socketTimeout: 400 })
  const accepted = await new Promise<readonly unknown[]>(resolve => {
    client.on('error', () => resolve([]))
    client.connect(() => {
      client.send({ from: 'alice@example.net', to, use8BitMime: true }, text, (_error, info) => {
        resolve(info?.accepted ?? [])
      })
    })
  })
  client.close()
  const left = [...accepted]
  return to.map(recipient => {
    const at = left.indexOf(recipient)
    if (at !== -1) left.splice(at, 1)
    return at !== -1
  })
}

interface Case {
  readonly name: string
  readonly script: Script
  readonly text?: string
  readonly holds: (told: Told, hop: NextHop) => boolean
}

const CASES: readonly Case[] = [
  { name: 'delivers to a good next hop', script: {}, holds: told => told.every(Boolean) },
  {
    name: 'takes a 221 in place of a reply for no delivery',
    script: { dot: () => '250 Ok\r\n221 Bye\r\n250 Ok\r\n' },
    holds: told => told[2] === false,
  },
  {
    name: 'takes replies that come before the final dot for no delivery',
    script: { DATA: () => '354 Go on\r\n250 Ok\r\n250 Ok\r\n250 Ok\r\n', dot: () => [] },
    holds: told => !told.includes(true),
  },
  {
    name: 'tells who got a reply before the next hop died',
    script: { dot: () => ['250 Ok\r\n', CLOSE] },
    holds: told => told[0] === true && told[2] === false,
  },
  {
    name: 'sends nothing that is not ASCII where 8BITMIME is not offered',
    script: { LHLO: () => '250-hop\r\n250 PIPELINING\r\n' },
    text: 'Subject: x\r\n\r\nä\r\n',
    holds: (told, hop) => !told.includes(true) && hop.messages.length === 0,
  },
  {
    name: 'tries those again whom the next hop had no room for',
    script: { RCPT: ({ taken }) => (taken.length < 1 ? '250 Ok\r\n' : '452 4.5.3 Too many\r\n') },
    holds: told => told.every(Boolean),
  },
]

const NODEMAILER_FAILS = CASES.map(({ name }) => name).slice(1)

describe.each<[string, Client, readonly string[]]>([
  ['the relay', relay, []],
  ['nodemailer', nodemailer, NODEMAILER_FAILS],
])('%s', (_name, client, fails) => {
  test.each(CASES)('$name', async ({ name, script, text, holds }) => {
    const hop = await startNextHop(script)
    try {
      expect(holds(await client(hop, text ?? POST), hop)).toBe(!fails.includes(name))
    } finally {
      await hop.stop()
    }
  })
})
