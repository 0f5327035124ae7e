/** The gate and senders' forms: whose posts are counted, and what an explanation tells. */
import { expect, test } from 'vitest'
import { Gate } from '../../src/app/gate.ts'
import { INITIAL_SITE, type Site } from '../../src/core/facts.ts'
import { INITIAL_SENDERS, type SenderSettings } from '../../src/core/sender-forms/settings.ts'
import type { RcptTransaction } from '../../src/core/transaction.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { address, putState } from '../support/vectors.ts'

const DETAIL: SenderSettings = { ...INITIAL_SENDERS, detail: { 'example.net': '+' } }

async function gateWith(senders: SenderSettings): Promise<Gate> {
  const store = new MemoryStore(() => 1_000)
  await putState(store, {
    postern: 1,
    domains: [{ domain: 'lists.example.org' }],
    lists: [{ address: 'open@lists.example.org', settings: { nonmember_action: 'accept', rate: '2/1h' } }],
  })
  const site: Site = { ...INITIAL_SITE, senders }
  const recorder = { decided: () => {}, storeState: () => {}, internalError: () => {} }
  return new Gate({ store, site, recorder, clock: () => 1_000 })
}

function rcpt(sender: string, message: string): RcptTransaction {
  return {
    phase: 'RCPT',
    front: 'policy',
    client: {},
    sender: address(sender),
    recipient: address('open@lists.example.org'),
    recipientsBefore: 0,
    message,
  }
}

async function reasons(gate: Gate, senders: readonly string[]): Promise<readonly string[]> {
  const found: string[] = []
  for (const [index, sender] of senders.entries()) {
    found.push((await gate.ask(rcpt(sender, `m${index}`))).reason)
  }
  return found
}

test.each<[name: string, senders: readonly string[]]>([
  ['details', ['ann+1@example.net', 'Ann+2@example.net', 'ann@example.net']],
  ['a detail that is not for her', ['ann@example.net', 'ann+1@example.net', 'ann+x=y@example.net']],
  [
    'BATV tags, new each day',
    ['prvs=0001aaaaaa=ann@example.net', 'prvs=0002bbbbbb=ann@example.net', 'prvs=0003cccccc=ann@example.net'],
  ],
])('a rate is not evaded by %s', async (_, senders) => {
  expect(await reasons(await gateWith(DETAIL), senders)).toEqual([
    'sender-permitted',
    'sender-permitted',
    'rate-exceeded',
  ])
})

test('what an untrusted forwarder writes is not counted as somebody else’s post', async () => {
  const forged = ['1', '2', '3'].map(hash => `SRS0=${hash}=T=example.net=ann@evil.example`)
  expect(await reasons(await gateWith(DETAIL), [...forged, 'ann@example.net'])).toEqual(
    Array(4).fill('sender-permitted'),
  )
})

test('an explanation has the forms', async () => {
  const gate = await gateWith(DETAIL)
  const { forms } = await gate.explain(rcpt('prvs=0001aaaaaa=ann+x@example.net', 'm'))
  expect(forms.map(({ form }) => form.text)).toEqual([
    'prvs=0001aaaaaa=ann+x@example.net',
    'ann+x@example.net',
    'ann@example.net',
  ])
  const nobody = await gate.explain({ phase: 'CONNECT', front: 'policy', client: {} })
  expect(nobody.forms).toEqual([])
})
