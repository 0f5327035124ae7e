/** The lists of known and of refused MTAs. */
import { type MtaKey, parseMtaKey } from '../../core/mta.ts'
import type { Change, Directory, MtaList } from '../ports.ts'
import { keysInOrder } from './in-order.ts'
import { done, type Outcome, outcomeOf, refused } from './problem.ts'

export interface AddedMta {
  readonly change: Change
  /** Whether this began a list of known MTAs: from now on all others are refused. */
  readonly begins: boolean
}

export interface RemovedMta {
  /** Whether this ended a list of known MTAs: from now on every MTA that is not refused may come. */
  readonly ends: boolean
}

/** Reads a network, a host, or `.domain` for every host of a domain. */
export function readMta(text: string): Outcome<MtaKey> {
  return outcomeOf(parseMtaKey(text), 'mta-invalid', text)
}

export class Mtas {
  readonly #directory: Directory

  constructor(directory: Directory) {
    this.#directory = directory
  }

  async #isEmpty(list: MtaList): Promise<boolean> {
    for await (const _ of this.#directory.mtas(list)) return false
    return true
  }

  /** Adds an entry. */
  async add(list: MtaList, key: MtaKey): Promise<AddedMta> {
    const begins = list === 'known' && (await this.#isEmpty(list))
    return { change: await this.#directory.addMta(list, key), begins }
  }

  /** Removes an entry. */
  async remove(list: MtaList, key: MtaKey): Promise<Outcome<RemovedMta>> {
    if (!(await this.#directory.removeMta(list, key))) {
      return refused('mta-unlisted', `${key} is not among the ${list} MTAs`)
    }
    return done({ ends: list === 'known' && (await this.#isEmpty(list)) })
  }

  /** The entries of a list, in order. */
  all(list: MtaList): AsyncIterable<MtaKey> {
    return keysInOrder(() => this.#directory.mtas(list))
  }
}
