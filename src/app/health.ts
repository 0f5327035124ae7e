/**
 * Whether the daemon can do its work: the store answers, every front listens, and it is not about to end. What the
 * gate has just heard of the store counts; where nobody has asked it lately it is asked, so that the answer turns
 * without a question from an MTA, in both directions.
 */
import type { Recorder } from './gate.ts'
import type { Meters } from './meters.ts'
import type { Clock, Store } from './ports.ts'

/** What is in the way. */
export type Hindrance =
  | { readonly reason: 'stopping' | 'store-unavailable' }
  | { readonly reason: 'not-listening'; readonly front: string }

export interface HealthParts {
  readonly store: Pick<Store, 'check'>
  /** Hears what the store says to being asked. */
  readonly recorder: Pick<Recorder, 'storeState'>
  readonly meters: Pick<Meters, 'store'>
  readonly clock: Clock
  /** Whether the daemon is about to end. */
  readonly isStopping: () => boolean
  /** The fronts that should listen and do not. */
  readonly deaf: () => readonly string[]
  /** For the store to answer, in milliseconds; the store's own time may be shorter. `PATIENCE` unless said. */
  readonly patience?: number
}

/** What was heard of the store is believed for so many milliseconds. */
const FRESH = 1000
const PATIENCE = 5000

export class Health {
  readonly #parts: HealthParts
  #asking: Promise<void> | undefined

  constructor(parts: HealthParts) {
    this.#parts = parts
  }

  /** What is in the way of working, the first that matters first; nothing if all is well. */
  async hindrances(): Promise<readonly Hindrance[]> {
    const { isStopping, deaf } = this.#parts
    const isStoreUp = await this.isStoreUp()
    return [
      ...(isStopping() ? [{ reason: 'stopping' } as const] : []),
      ...(isStoreUp ? [] : [{ reason: 'store-unavailable' } as const]),
      ...deaf().map(front => ({ reason: 'not-listening', front }) as const),
    ]
  }

  /** Whether the store answers: as was heard within the last second, or as it says now. */
  async isStoreUp(): Promise<boolean> {
    const { meters, clock, patience = PATIENCE } = this.#parts
    if (clock() - meters.store.heardAt < FRESH) return meters.store.isUp
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined
    })
    let timer: NodeJS.Timeout | undefined
    const tooLong = new Promise<'too long'>(resolve => {
      timer = setTimeout(() => resolve('too long'), patience)
    })
    const end = await Promise.race([this.#asking, tooLong])
    clearTimeout(timer)
    return end !== 'too long' && meters.store.isUp
  }

  async #ask(): Promise<void> {
    const { store, recorder } = this.#parts
    try {
      await store.check()
      recorder.storeState('up')
    } catch (error) {
      recorder.storeState('down', error)
    }
  }
}
