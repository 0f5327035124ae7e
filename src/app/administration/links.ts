/** The other addresses of a list's people: which records are linked to whose. */
import type { ListAddress } from '../../core/transaction.ts'
import type { Who } from '../../core/who.ts'
import type { Directory } from '../ports.ts'

/** Reads the list's people when it is first asked, and once: to be made anew for each change, or for many at once. */
export class Links {
  readonly #directory: Directory
  readonly #list: ListAddress
  #read: Promise<ReadonlyMap<Who, readonly Who[]>> | undefined

  constructor(directory: Directory, list: ListAddress) {
    this.#directory = directory
    this.#list = list
  }

  /** The addresses that are linked to somebody's, in order. */
  async of(who: Who): Promise<readonly Who[]> {
    this.#read ??= this.#readAll()
    return (await this.#read).get(who) ?? []
  }

  async #readAll(): Promise<ReadonlyMap<Who, readonly Who[]>> {
    const links = new Map<Who, Set<Who>>()
    for await (const { who, person } of this.#directory.people(this.#list)) {
      if (!person.ok || person.value.linked === undefined) continue
      const to = person.value.linked as string as Who
      links.set(to, (links.get(to) ?? new Set()).add(who))
    }
    return new Map([...links].map(([to, from]) => [to, [...from].sort()]))
  }
}
