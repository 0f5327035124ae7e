/**
 * The LMTP conformance cases against Postern, which passes all of them, and against smtp-server, whose failures are
 * written down here and in docs/decisions.md: on the day that one passes, this says so.
 */
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { SMTPServer } from 'smtp-server'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Delivery } from '../../src/app/message.ts'
import { keepingDelivery, type Sink, startSink } from '../support/lmtp-sink.ts'
import { putAdmissions, type StateDocument } from '../support/vectors.ts'
import { ELSEWHERE, type LmtpServer, MAX_SIZE, OPEN, REFUSED, SMALL, TEAM } from './lmtp-case.ts'
import { LMTP_CASES } from './lmtp-cases.ts'

const ALICE = [{ who: 'alice@example.net', roles: ['member'] }] as const

const STATE: StateDocument = {
  postern: 1,
  domains: [{ domain: 'lists.example.org' }],
  lists: [
    { address: TEAM, settings: { nonmember_action: 'accept' }, people: ALICE },
    { address: OPEN, settings: { nonmember_action: 'accept' }, people: ALICE },
    { address: REFUSED },
    {
      address: SMALL,
      settings: { max_size: '1000' },
      people: ALICE,
    },
  ],
}

const CASES = LMTP_CASES.map(each => [each.name, each] as const)

/** A sink that keeps mail cannot answer at once. */
const KEEPING_MS = 5

describe('Postern', () => {
  let sink: Sink | undefined
  const server: { current?: LmtpServer } = {}

  beforeAll(async () => {
    const keeping = keepingDelivery()
    const delivery: Delivery = {
      name: 'keeping',
      async deliver(...given) {
        const outcomes = await keeping.deliver(...given)
        await setTimeout(KEEPING_MS)
        return outcomes
      },
    }
    const started = await startSink({ state: STATE, delivery, settings: { maxSize: MAX_SIZE } })
    // She may be told what becomes of her posts.
    await putAdmissions(started.store, {
      phase: 'RCPT',
      sender: 'alice@example.net',
      admitted: [TEAM, OPEN, SMALL],
    })
    sink = started
    server.current = {
      address: started.address,
      callout: started.callout,
      get messages() {
        const messages = new Map<string, { bytes: Buffer; recipients: string[] }>()
        for (const { envelope, bytes, recipient } of keeping.copies) {
          const message = messages.get(envelope.id) ?? { bytes, recipients: [] }
          message.recipients.push(recipient.text)
          messages.set(envelope.id, message)
        }
        return [...messages.values()]
      },
    }
  })

  afterAll(() => sink?.close())

  test.each(CASES)('%s', (_, { run }) => run(server.current!))
})

interface Peer {
  readonly server: LmtpServer
  close(): Promise<void>
}

/** smtp-server as an LMTP server, with every option that brings it nearer to one. */
async function startSmtpServer(codes: 'its own' | 'in the text'): Promise<Peer> {
  const inText = codes === 'in the text'
  const refusal = (code: number, enhanced: string, text: string): Error =>
    Object.assign(new Error(inText ? `${enhanced} ${text}` : text), { responseCode: code })
  const messages: { bytes: Buffer; recipients: string[] }[] = []
  const server = new SMTPServer({
    lmtp: true,
    name: 'peer.example.org',
    size: MAX_SIZE,
    rejectOversized: true,
    lenientAddressParsing: true,
    disableReverseLookup: true,
    authOptional: true,
    disabledCommands: ['AUTH', 'STARTTLS', 'WIZ', 'SHELL', 'KILL'],
    hideENHANCEDSTATUSCODES: inText,
    hideSMTPUTF8: false,
    onRcptTo(address, _session, callback) {
      if (address.address === ELSEWHERE) return callback(refusal(451, '4.3.5', 'Not here'))
      callback(address.address === REFUSED ? refusal(550, '5.7.2', 'You may not post here') : null)
    },
    onData(stream, session, callback) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('error', () => {})
      stream.on('end', () => {
        const bytes = Buffer.concat(chunks)
        if (stream.sizeExceeded) return callback(refusal(552, '5.3.4', 'Too big'))
        const recipients = session.envelope.rcptTo.map(each => each.address)
        messages.push({ bytes, recipients })
        const replies = recipients.map(each => {
          if (each === SMALL && bytes.length > 1000) return refusal(552, '5.3.4', 'Too big')
          return inText ? '2.0.0 Ok' : 'Ok'
        })
        void setTimeout(KEEPING_MS).then(() => callback(null, replies))
      })
    },
  })
  server.on('error', () => {})
  const listener = await new Promise<AddressInfo>(resolve => {
    const net = server.listen(0, '127.0.0.1', () => resolve(net.address() as AddressInfo))
  })
  return {
    server: { address: { port: listener.port }, messages },
    close: () => new Promise(resolve => server.close(() => resolve())),
  }
}

/** What smtp-server 3.21.6 fails, whichever way its enhanced codes are made. */
const FAILED_EITHER_WAY: readonly string[] = [
  'greets with 220 and its name, at once',
  'takes commands that were sent before the greeting',
  'gives as many replies to a recipient as it was named',
  'gives replies to two recipients that differ in case',
  'answers QUIT behind the dot after all recipients',
  'answers a client that has sent everything and closed its side',
  'refuses a parameter that it does not know with 555',
  'refuses a parameter of RCPT that it does not know with 555',
  'takes a sender with a space',
  'takes a sender with an @ in quotes',
  'takes a sender with a > in quotes',
  'refuses a sender that is not UTF-8',
  'takes out a dot at the beginning of any other line, too',
  'leaves a dot after a bare LF where it is',
  'reads stuffed lines about as fast as others',
  'does not obey commands that end in LF alone',
]

/** And what it fails for the codes: they are either offered and its own, or the list's and not offered. */
const FAILED: { readonly [C in 'its own' | 'in the text']: readonly string[] } = {
  'its own': [
    ...FAILED_EITHER_WAY,
    'refuses with the code of the reason: 550 5.7.2 and no other enhanced code',
  ],
  'in the text': [
    ...FAILED_EITHER_WAY,
    'offers ENHANCEDSTATUSCODES',
    'puts one enhanced code of the right class on every reply',
  ],
}

test('every failure that is expected is that of a case, and stands in docs/decisions.md', () => {
  const names = LMTP_CASES.map(each => each.name)
  expect(new Set(names).size).toBe(names.length)
  const page = readFileSync(new URL('../../docs/decisions.md', import.meta.url), 'utf8')
  for (const name of new Set([...FAILED['its own'], ...FAILED['in the text']])) {
    expect(names).toContain(name)
    expect(page).toContain(`| ${name} |`)
  }
})

describe.each(['its own', 'in the text'] as const)('smtp-server, enhanced codes %s', codes => {
  let peer: Peer | undefined

  beforeAll(async () => {
    peer = await startSmtpServer(codes)
  })

  afterAll(() => peer?.close())

  test.each(CASES)('%s', async (name, { run }) => {
    const failure = await run(peer!.server).then(
      () => undefined,
      (error: unknown) => error,
    )
    const expected = FAILED[codes].includes(name) ? 'fails' : 'passes'
    expect(failure === undefined ? 'passes' : 'fails', `${name}: ${String(failure)}`).toBe(expected)
  })
})
