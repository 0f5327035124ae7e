/** The process of `libmilter-host.ts`. */
import type { Decided, Gate, Recorder } from '../../src/app/gate.ts'
import type { Log, LogFields } from '../../src/app/log.ts'
import { LibmilterError } from '../../src/milter/libmilter/faults.ts'
import { createLibmilterFront, type LibmilterFront } from '../../src/milter/libmilter/front.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { putState } from '../support/vectors.ts'
import type { HostOptions, Order, Word, World } from './libmilter-host.ts'
import { scriptedGate } from './oracle/scripted-gate.ts'
import { gateOf, gateOver, late } from './world.ts'

const say = (word: Word): void => void process.send?.(word)

const recorder: Partial<Recorder> = {
  decided: ({ tx, verdict: { kind, reason } }: Decided) =>
    say({ kind: 'decided', phase: tx.phase, verdict: { kind, reason } }),
}

async function gateIn(world: World): Promise<Pick<Gate, 'ask'>> {
  switch (world.kind) {
    case 'named':
      return gateOf(world.state, world.when, { recorder })
    case 'given': {
      const store = new MemoryStore()
      await putState(store, world.state)
      return gateOver(world.when === 'late' ? late(store) : store, { site: world.site, recorder })
    }
    case 'scripted':
      return scriptedGate
    case 'stuck':
      return { ask: () => new Promise(() => {}) }
    case 'throws':
      return {
        ask: () => {
          throw new Error('a gate never throws')
        },
      }
  }
}

let gate: Pick<Gate, 'ask'> = scriptedGate
let front: LibmilterFront | undefined

const note =
  (level: string) =>
  (message: string, fields: LogFields = {}): void =>
    say({
      kind: 'log',
      level,
      message,
      ...(fields['problem'] === undefined ? {} : { problem: fields['problem'] }),
    })
const log: Log = { debug: () => {}, info: note('info'), warn: note('warn'), error: note('error') }

function makeFront({
  conduct,
  maxConnections = 200,
  decisionTime,
  lookInterval,
}: Omit<HostOptions, 'endpoint'>): LibmilterFront {
  return createLibmilterFront({
    gate: { ask: (tx, asking) => gate.ask(tx, asking) },
    log,
    onStoreFailure: conduct?.onStoreFailure ?? 'defer',
    settings: { hold: 'sink', traceHeader: false, countBodies: true, ...conduct, maxConnections },
    failed: error => {
      throw error
    },
    ...(decisionTime === undefined ? {} : { decisionTime }),
    ...(lookInterval === undefined ? {} : { lookInterval }),
  })
}

async function carryOut(order: Order): Promise<void> {
  switch (order.kind) {
    case 'start':
      front = makeFront(order.options)
      await front.start(order.options.endpoint)
      say({ kind: 'started' })
      return
    case 'again':
      await makeFront({}).start(order.endpoint)
      say({ kind: 'started' })
      return
    case 'world':
      gate = await gateIn(order.world)
      say({ kind: 'ready' })
      return
    case 'drain':
      await front?.drain(order.graceMs)
      say({ kind: 'drained' })
      return
    case 'ping':
      say({ kind: 'ready' })
      return
    case 'count':
      say({ kind: 'counted', otherMessages: front?.counts.otherMessages ?? 0 })
      return
    case 'exit':
      process.exit(7)
      return
    case 'throw':
      setImmediate(() => {
        throw new Error('on purpose')
      })
      return
    case 'block':
      // Nothing is done any more once this is said.
      process.send?.({ kind: 'blocked' } satisfies Word, () => {
        for (;;);
      })
  }
}

process.on('message', (order: Order) => {
  carryOut(order).catch((error: unknown) => {
    const code = error instanceof LibmilterError ? error.code : 'unknown'
    say({ kind: 'failed', code, message: error instanceof Error ? error.message : String(error) })
  })
})

// As the daemon ends: drain, and leave when nothing is left to do.
process.on('SIGTERM', () => {
  void front?.drain(2_000).then(() => process.disconnect())
})

say({ kind: 'loaded' })
