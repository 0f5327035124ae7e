/**
 * The milter alone, for the milter benchmark: everything but the decision, which goes by the recipient's name. Takes
 * what was built, as `postern serve` is run. With several processes they share one listening socket.
 * Usage: milter-front.ts PATH|PORT PROCESSES [trace]
 */
import cluster from 'node:cluster'
import { NO_LOG } from '../src/app/log.ts'
import { type Reason, replyFor } from '../src/core/reason.ts'
import type { Transaction } from '../src/core/transaction.ts'
import type { Verdict } from '../src/core/verdict.ts'

function verdictOf(kind: 'accept' | 'reject', reason: Reason, list?: string): Verdict {
  return { kind, reason, rule: 'no-rule', reply: replyFor(reason, list === undefined ? {} : { list }) }
}

const nothing = verdictOf('accept', 'nothing-to-object')
const permitted = verdictOf('accept', 'sender-permitted')
const refused = verdictOf('reject', 'sender-not-permitted', 'closed@lists.example.org')

function ask(tx: Transaction): Verdict {
  if (tx.phase !== 'RCPT') return nothing
  return tx.recipient.text.startsWith('closed@') ? refused : permitted
}

const built = new URL('../dist/milter/server.js', import.meta.url).href
const { createMilterFront } = (await import(built)) as typeof import('../src/milter/server.ts')

const [where = '', processes = '1', trace] = process.argv.slice(2)
if (processes !== '1' && cluster.isPrimary) {
  // Whoever is free takes the next connection: handing it over would cost more than most of a session.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  for (let i = 0; i < Number(processes); i++) cluster.fork()
} else {
  const front = createMilterFront({
    gate: { ask },
    log: NO_LOG,
    onStoreFailure: 'defer',
    settings: { hold: 'sink', traceHeader: trace === 'trace', countBodies: true, maxConnections: 1000 },
  })
  front
    .newServer()
    .listen(where.startsWith('/') ? { path: where } : { host: '127.0.0.1', port: Number(where) })
}
