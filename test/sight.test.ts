/** What each front sees of a message at its end, against the table of docs/law.md. */
import { readFileSync } from 'node:fs'
import { afterEach, expect, test } from 'vitest'
import type { Asking, Gate } from '../src/app/gate.ts'
import type { EndOfMessageTransaction, Transaction } from '../src/core/transaction.ts'
import { Messages } from '../src/policy/messages.ts'
import { PolicySession } from '../src/policy/session.ts'
import { type RunningMilter, startMilter } from './milter/milter-server.ts'
import { MtaClient } from './milter/mta-client.ts'
import { command } from './milter/mta-wire.ts'
import { gateOver } from './milter/world.ts'
import { LmtpClient } from './support/lmtp-client.ts'
import { type Sink, startSink } from './support/lmtp-sink.ts'
import { MemoryStore } from './support/memory-store.ts'
import { putState, type StateDocument } from './support/vectors.ts'

const STATE: StateDocument = {
  postern: 1,
  domains: [{ domain: 'lists.example.org' }],
  lists: [
    { address: 'team@lists.example.org', settings: { nonmember_action: 'accept', refused_parts: '.exe' } },
  ],
}
const MIXED = 'multipart/mixed; boundary=b'
const BODY = '--b\r\n\r\nx\r\n--b--\r\n'

let sink: Sink | undefined
let milter: RunningMilter | undefined
afterEach(async () => {
  await sink?.close()
  await milter?.stop()
})

function seenIn(tx: EndOfMessageTransaction): Readonly<Record<string, boolean>> {
  return {
    'size, as counted': tx.size > 0,
    authors: tx.authorship !== undefined,
    header: tx.content !== undefined,
    parts: tx.content?.parts !== undefined,
    'number of lists': tx.lists !== undefined,
  }
}

/** The column of the table. */
function inDoc(front: 'policy' | 'milter' | 'sink'): Readonly<Record<string, boolean>> {
  const page = readFileSync(new URL('../docs/law.md', import.meta.url), 'utf8')
  const table = /^\| at the end \|(.*\n)(?:\|.*\n)+/m.exec(page)?.[0].split('\n') ?? []
  const cells = table.map(row => row.split('|').map(cell => cell.trim()))
  const column = cells[0]?.indexOf(front) ?? -1
  return Object.fromEntries(cells.slice(2, -1).map(row => [row[1], row[column] === 'yes']))
}

/** A gate that keeps the last question about the end of a message. */
async function keepingGate(): Promise<Pick<Gate, 'ask'> & { last: EndOfMessageTransaction | undefined }> {
  const store = new MemoryStore()
  await putState(store, STATE)
  const gate = gateOver(store)
  const keeping = {
    last: undefined as EndOfMessageTransaction | undefined,
    ask: (tx: Transaction, asking?: Asking) => {
      if (tx.phase === 'END-OF-MESSAGE') keeping.last = tx
      return gate.ask(tx, asking)
    },
  }
  return keeping
}

function expectSeen(front: 'policy' | 'milter' | 'sink', tx: EndOfMessageTransaction | undefined): void {
  if (tx === undefined) expect.fail('the end of the message was not asked about')
  expect(seenIn(tx)).toEqual(inDoc(front))
}

test('the sink', async () => {
  sink = await startSink({ state: STATE })
  const client = await LmtpClient.greeted(sink.address)
  for (const line of ['MAIL FROM:<a@example.net>', 'RCPT TO:<team@lists.example.org>', 'DATA'])
    await client.ask(line)
  client.write(`From: a@example.net\r\nContent-Type: ${MIXED}\r\n\r\n${BODY}.\r\n`)
  expect((await client.reply()).code).toBe(250)
  client.destroy()
  const last = sink.decisions.at(-1)?.tx
  expectSeen('sink', last?.phase === 'END-OF-MESSAGE' ? last : undefined)
})

test('the milter', async () => {
  const gate = await keepingGate()
  milter = await startMilter('tcp', { gate })
  const client = await MtaClient.greeted(milter.endpoint)
  await client.ask(command.mail('<a@example.net>'))
  await client.ask(command.rcpt('<team@lists.example.org>'))
  await client.ask(command.header('Content-Type', MIXED), command.endOfHeaders())
  expect(gate.last).toMatchObject({ phase: 'END-OF-MESSAGE' })
  client.send(command.body(BODY))
  expect(await client.ask(command.endOfMessage())).toEqual(['c'])
  client.destroy()
  expectSeen('milter', gate.last)
})

test('a policy server', async () => {
  const gate = await keepingGate()
  const session = new PolicySession({ gate, onStoreFailure: 'defer' }, new Messages(Date.now))
  const values: Readonly<Record<string, string>> = {
    protocol_state: 'END-OF-MESSAGE',
    client_address: '192.0.2.1',
    sender: 'a@example.net',
    recipient: 'team@lists.example.org',
    recipient_count: '1',
    size: '100',
    instance: '1',
  }
  session.answer({ get: name => values[name] })
  expectSeen('policy', gate.last)
})
