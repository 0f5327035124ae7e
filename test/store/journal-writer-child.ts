/**
 * A node of the journal's load test, in a process of its own: decides so many questions, by a list of its own making, and says
 * what it counted itself.
 */
import { randomUUID } from 'node:crypto'
import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises'
import type { Decided } from '../../src/app/gate.ts'
import { JournalWriter } from '../../src/app/journal-writer.ts'
import { NO_LOG } from '../../src/app/log.ts'
import { type Reason, replyFor } from '../../src/core/reason.ts'
import type { VerdictKind } from '../../src/core/verdict.ts'
import { NO_CLOAK } from '../../src/daemon/address-cloak.ts'
import { openRedisJournal } from '../../src/store/redis-journal.ts'
import { address, reversePath } from '../support/vectors.ts'

/** What the parent asks for. */
export interface Order {
  readonly socket: string
  readonly node: string
  readonly decisions: number
  /** Milliseconds between a hundred decisions and the next; 0 is as fast as the journal takes them. */
  readonly pause: number
}

/** What came of it. */
export interface Counted {
  readonly noted: Readonly<Record<string, number>>
  readonly repeated: number
  readonly written: number
  readonly lost: number
  /** The longest that one `record` took, in milliseconds. */
  readonly longest: number
}

const KINDS: readonly (readonly [VerdictKind, Reason])[] = [
  ['accept', 'sender-permitted'],
  ['reject', 'sender-not-permitted'],
  ['reject', 'sender-banned'],
  ['hold', 'sender-moderated'],
  ['defer', 'rate-exceeded'],
  ['accept', 'existence-only'],
]
const LISTS = Array.from({ length: 20 }, (_, at) => address(`list${at}@lists.example.org`))
const SENDERS = Array.from({ length: 500 }, (_, at) => reversePath(`user${at}@d${at % 30}.example.net`))

async function work({ socket, node, decisions, pause }: Order): Promise<Counted> {
  const journal = openRedisJournal({ endpoint: { kind: 'unix', path: socket }, timeoutMs: 1000 })
  const writer = new JournalWriter({
    sink: journal,
    node,
    version: '0',
    pid: process.pid,
    writer: randomUUID(),
    retention: { maxEvents: 2_000_000, keep: { minute: 100, hour: 48, day: 10 } },
    addresses: NO_CLOAK,
    clock: Date.now,
    log: NO_LOG,
  })
  writer.start()
  const noted: Record<string, number> = {}
  let repeated = 0
  let longest = 0
  for (let at = 0; at < decisions; at++) {
    const [kind, reason] = KINDS[(at * 7) % KINDS.length]!
    const list = LISTS[(at * 13) % LISTS.length]!
    const decided: Decided = {
      tx: {
        phase: 'RCPT',
        front: 'policy',
        client: {},
        sender: SENDERS[(at * 31) % SENDERS.length]!,
        recipient: list,
        recipientsBefore: 0,
        message: `${node}.${at}`,
      },
      verdict: {
        kind,
        reason,
        rule: 'a-rule',
        reply: replyFor(reason, { list: list.key }),
        list: list.key,
      } as Decided['verdict'],
      at: Date.now(),
      latency: at % 30,
      queueId: undefined,
    }
    const name = `${list.key} ${kind}:${reason}`
    noted[name] = (noted[name] ?? 0) + 1
    const begin = performance.now()
    writer.record(decided)
    longest = Math.max(longest, performance.now() - begin)
    if (at % 10 === 0) {
      // As Postfix asks again.
      writer.record(decided)
      repeated++
    }
    if (at % 100 !== 99) continue
    if (pause > 0) await wait(pause)
    else await turn()
    while (writer.heartbeat().waiting > 10_000) await wait(5)
  }
  while (writer.heartbeat().waiting > 0) await wait(20)
  await writer.close()
  await journal.close()
  const { written, lost } = writer.heartbeat()
  return { noted, repeated, written, lost, longest }
}

process.once('message', (order: Order) => {
  void work(order).then(counted => {
    process.send?.(counted)
    process.disconnect()
  })
})
