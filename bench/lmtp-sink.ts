/**
 * The sink alone, for the LMTP benchmark: everything but the decision, which is always the same. Takes what was built,
 * as `postern serve` is run. Arguments: the port, and the root of the Maildirs or nothing to discard.
 */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NO_LOG } from '../src/app/log.ts'
import { parseNetwork } from '../src/core/network.ts'
import { replyFor } from '../src/core/reason.ts'
import type { ListAddress } from '../src/core/transaction.ts'
import type { Verdict } from '../src/core/verdict.ts'

const reason = 'sender-permitted'
const list = 'team@lists.example.org' as ListAddress
const verdict: Verdict = { kind: 'accept', reason, rule: 'no-rule', reply: replyFor(reason), list }

async function built<T>(path: string): Promise<T> {
  return (await import(new URL(`../dist/${path}.js`, import.meta.url).href)) as T
}

const { createLmtpFront } = await built<typeof import('../src/lmtp/server.ts')>('lmtp/server')
const { createMaildirDelivery } = await built<typeof import('../src/delivery/maildir.ts')>('delivery/maildir')
const { createDiscardDelivery } = await built<typeof import('../src/delivery/discard.ts')>('delivery/discard')

const [port, root] = process.argv.slice(2)
const hostname = 'sink.example.org'
const delivery = root === undefined ? createDiscardDelivery() : createMaildirDelivery({ root, hostname })
const loopback = parseNetwork('127.0.0.0/8')
const networks = loopback.ok ? [loopback.value] : []
const front = createLmtpFront({
  gate: { ask: () => verdict },
  deliveryFor: () => delivery,
  log: NO_LOG,
  settings: {
    hostname,
    maxSize: 10_000_000,
    maxRecipients: 1000,
    maxConnections: 1000,
    idleTimeoutMs: 300_000,
    allow: networks,
    xforward: networks,
    spoolDirectory: join(tmpdir(), 'bench-lmtp-spool'),
  },
})
front.newServer().listen(Number(port), '127.0.0.1')
