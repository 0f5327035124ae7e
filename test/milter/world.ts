/** Stores and gates for milter tests: the world of the transcripts, at hand, late or away. */
import { Gate, type Recorder } from '../../src/app/gate.ts'
import { type FactsStore, StoreUnavailable } from '../../src/app/ports.ts'
import { INITIAL_SITE, type Site } from '../../src/core/facts.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { putState, type StateDocument } from '../support/vectors.ts'
import world from './world.json' with { type: 'json' }

export type StateName = keyof typeof world
export type When = 'at once' | 'late'

/** A store in memory that holds a state of `world.json`. */
export async function storeOf(state: StateName): Promise<MemoryStore> {
  const store = new MemoryStore()
  await putState(store, world[state] as StateDocument)
  return store
}

/** The same facts, a turn of the event loop later. */
export function late(store: FactsStore): FactsStore {
  return {
    load: query =>
      new Promise(resolve => {
        setImmediate(() => resolve(store.load(query)))
      }),
    countPost: post => store.countPost(post),
    admit: admission => store.admit(admission),
  }
}

/** A store that cannot be reached. */
export function away(when: When): FactsStore {
  const fail = (): never => {
    throw new StoreUnavailable('the store is away')
  }
  return {
    load: when === 'at once' ? fail : async () => fail(),
    countPost: async () => fail(),
    admit: async () => fail(),
  }
}

const SILENT: Recorder = { decided: () => {}, storeState: () => {}, internalError: () => {} }

/** A gate over a store. */
export function gateOver(
  store: FactsStore,
  given: { readonly site?: Partial<Site>; readonly recorder?: Partial<Recorder> } = {},
): Gate {
  const recorder = { ...SILENT, ...given.recorder }
  return new Gate({ store, site: { ...INITIAL_SITE, ...given.site }, recorder, clock: Date.now })
}

/** A gate over a state of the world, with its answers at hand or late. */
export async function gateOf(
  state: StateName | 'away',
  when: When = 'at once',
  given: Parameters<typeof gateOver>[1] = {},
): Promise<Gate> {
  const site = state === 'refuse-at-connect' ? { refuseMtasAt: 'CONNECT' as const } : {}
  if (state === 'away') return gateOver(away(when), given)
  const store = await storeOf(state)
  return gateOver(when === 'late' ? late(store) : store, { ...given, site: { ...site, ...given.site } })
}
