/** Stores for policy tests: the world of the transcripts, at hand, late or away. */
import type { FactsStore } from '../../src/app/ports.ts'
import { StoreUnavailable } from '../../src/app/ports.ts'
import { NO_FACTS } from '../../src/core/facts.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { putState, type StateDocument } from '../support/vectors.ts'
import world from './world.json' with { type: 'json' }

export type StateName = keyof typeof world

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

/** A store that cannot be reached: at once, or a turn of the event loop later. */
export function away(when: 'at once' | 'late'): FactsStore {
  const fail = (): never => {
    throw new StoreUnavailable('the store is away')
  }
  return {
    load: when === 'at once' ? fail : async () => fail(),
    countPost: async () => fail(),
    admit: async () => fail(),
  }
}

/** A store that answers when it is told to. */
export function heldStore(): { store: FactsStore; asked: Promise<void>; release: () => void } {
  let release = (): void => {}
  let noticed = (): void => {}
  const asked = new Promise<void>(resolve => {
    noticed = resolve
  })
  const released = new Promise<void>(resolve => {
    release = resolve
  })
  const load = async (): Promise<typeof NO_FACTS> => {
    noticed()
    await released
    return NO_FACTS
  }
  return { store: { load, countPost: async () => {}, admit: async () => {} }, asked, release }
}
