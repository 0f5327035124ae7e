/**
 * Looking up what an address or a domain is to the lists, without a sender and without a judgement: for MTAs that ask
 * which addresses there are. Exact keys and one round trip, as at every question.
 */
import type { Address } from '../core/address.ts'
import type { Domain } from '../core/domain.ts'
import type { Facts, FactsQuery } from '../core/facts.ts'
import { candidatesOf } from '../core/recipient.ts'
import { type Target, targetOf } from '../core/target.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { Recorder } from './gate.ts'
import { type FactsStore, type PromiseOr, StoreUnavailable } from './ports.ts'

export interface LookupParts {
  readonly store: Pick<FactsStore, 'load'>
  readonly recorder: Pick<Recorder, 'storeState'>
}

function queryAbout(domain: Domain, lists: readonly ListAddress[]): FactsQuery {
  const nobody = { provenMtas: [], claimedMtas: [], sender: [], authors: [], message: undefined }
  return { ...nobody, domain, lists }
}

/** Synchronous wherever the facts are at hand. What is found is `undefined` if the store is away. */
export class Lookup {
  readonly #parts: LookupParts

  constructor(parts: LookupParts) {
    this.#parts = parts
  }

  /** Whether the domain is a list domain. */
  isListDomain(domain: Domain): PromiseOr<boolean | undefined> {
    return this.#find(queryAbout(domain, []), facts => facts.domain !== undefined)
  }

  /** What the address is. */
  target(address: Address): PromiseOr<Target | undefined> {
    const lists = new Set(candidatesOf(address).map(({ list }) => list))
    return this.#find(queryAbout(address.domain, [...lists]), facts => targetOf(address, facts))
  }

  #find<T>(query: FactsQuery, read: (facts: Facts) => T): PromiseOr<T | undefined> {
    const found = (facts: Facts): T => {
      this.#parts.recorder.storeState('up')
      return read(facts)
    }
    try {
      const facts = this.#parts.store.load(query)
      return facts instanceof Promise ? facts.then(found, error => this.#away(error)) : found(facts)
    } catch (error) {
      return this.#away(error)
    }
  }

  #away(error: unknown): undefined {
    if (!(error instanceof StoreUnavailable)) throw error
    this.#parts.recorder.storeState('down', error)
  }
}
