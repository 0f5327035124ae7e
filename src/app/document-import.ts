/**
 * Puts a document into the store. A list that the document names is replaced whole, all at once; domains, site bans,
 * forbidden senders and MTAs are added to what is there; whatever is not named stays. What the document holds before
 * something wrong in it has been put in place by then, except the list that was being read.
 */
import type { Address } from '../core/address.ts'
import type { Domain } from '../core/domain.ts'
import { type Flavour, INITIAL_SETTINGS, type ListSettings } from '../core/list.ts'
import type { ListDomain } from '../core/list-domain.ts'
import type { ListAddress } from '../core/transaction.ts'
import type { Who } from '../core/who.ts'
import { plannedDomain, putDomain } from './administration/domains.ts'
import { type SettingChange, settingChanges } from './administration/lists.ts'
import { type Overlap, overlapsOf } from './administration/service-overlap.ts'
import { type DocumentEntry, type ListEntry, readDocument } from './document.ts'
import { type ImportedSiteEntries, SiteEntries } from './document-import-site.ts'
import { DocumentError } from './document-text.ts'
import type { Change, Directory, PeopleChange, PersonEntry, StagedPeople } from './ports.ts'

/** The import was asked to stop. */
export class ImportInterrupted extends Error {
  readonly code = 'POSTERN_IMPORT_INTERRUPTED'
  override readonly name = 'ImportInterrupted'
}

/** The chunks until the signal comes, even if it comes while the next chunk is waited for. */
async function* until(
  signal: AbortSignal | undefined,
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (signal === undefined) {
    yield* chunks
    return
  }
  const reader = chunks[Symbol.asyncIterator]()
  const interrupted = new Promise<'interrupted'>(resolve => {
    signal.addEventListener('abort', () => resolve('interrupted'), { once: true })
  })
  try {
    for (;;) {
      const next = signal.aborted ? 'interrupted' : await Promise.race([reader.next(), interrupted])
      if (next === 'interrupted') throw new ImportInterrupted('the import was interrupted')
      if (next.done === true) return
      yield next.value
    }
  } finally {
    // Not waited for: it would wait for the chunk that may never come.
    reader.return?.()?.catch(() => {})
  }
}

/** What became of one list. In a dry run: what would have become of it. */
export interface ImportedList {
  readonly kind: 'list'
  readonly address: ListAddress
  /** Whether there was no such list. */
  readonly isNew: boolean
  /** For a list that was there; `undefined` if its settings could not be understood before. */
  readonly settings: readonly SettingChange[] | undefined
  readonly people: PeopleChange
  /** Entries whose person stands in the document more than once; the last one counts. */
  readonly repeated: number
  readonly bans: { readonly added: number; readonly removed: number }
  readonly overlaps: readonly Overlap[]
  /** The name of the delivery that the list chooses now. */
  readonly delivery: string | undefined
}

/** What is said while a document is put in place. */
export type ImportNews =
  | { readonly kind: 'domain'; readonly domain: Domain; readonly record: ListDomain; readonly change: Change }
  /** People of a list that is not in place yet have been read. */
  | { readonly kind: 'progress'; readonly address: ListAddress; readonly people: number }
  | ImportedList
  | ImportedSiteEntries

export interface ImportOptions {
  /** Reads and compares, and changes nothing. */
  readonly dryRun: boolean
  readonly report: (news: ImportNews) => void
  readonly signal?: AbortSignal
}

/** How many people are handed to the store at a time. */
const BATCH = 1_000

interface ListInProgress {
  readonly address: Address
  readonly settings: ListSettings
  readonly staged: StagedPeople
  batch: PersonEntry[]
  people: number
}

class Import {
  readonly #directory: Directory
  readonly #options: ImportOptions
  /** The domains that the document has named so far. */
  readonly #domains = new Map<Domain, Flavour>()
  readonly #site: SiteEntries
  #list: ListInProgress | undefined

  constructor(directory: Directory, options: ImportOptions) {
    this.#directory = directory
    this.#options = options
    this.#site = new SiteEntries(directory, options)
  }

  async run(chunks: AsyncIterable<Uint8Array>): Promise<void> {
    try {
      for await (const entries of readDocument(until(this.#options.signal, chunks))) {
        for (const entry of entries) {
          const waiting = this.#take(entry)
          if (waiting !== undefined) await waiting
        }
        await this.#site.flush()
      }
    } finally {
      // What went wrong first is what counts, not that the store could not forget either.
      await this.#list?.staged.abandon().catch(() => {})
      for (const news of this.#site.done()) this.#options.report(news)
    }
  }

  #take(entry: DocumentEntry): Promise<void> | undefined {
    switch (entry.kind) {
      case 'person':
        return this.#person(entry.entry)
      case 'domain':
        return this.#domain(entry.domain, entry.settings)
      case 'list':
        return this.#begin(entry)
      case 'list-end':
        return this.#end(entry.bans)
      case 'ban':
      case 'forbidden':
        return this.#site.add(entry.kind, entry.who)
      case 'mta':
        return this.#site.add(`${entry.list}-mta`, entry.key)
    }
  }

  async #domain(domain: Domain, given: Partial<ListDomain>): Promise<void> {
    const { dryRun, report } = this.#options
    const put = dryRun ? plannedDomain : putDomain
    const { record, change } = await put(this.#directory, domain, given)
    this.#domains.set(domain, record.flavour)
    report({ kind: 'domain', domain, record, change })
  }

  async #begin({ address, settings, place }: ListEntry): Promise<void> {
    const flavour =
      this.#domains.get(address.domain) ?? (await this.#directory.getDomain(address.domain))?.flavour
    if (flavour === undefined) {
      throw new DocumentError(
        `there is no list domain ${address.domain}, in the document or in the store`,
        place,
      )
    }
    const staged = await this.#directory.stagePeople(address.key)
    const complete = { ...INITIAL_SETTINGS, flavour, ...settings }
    this.#list = { address, settings: complete, staged, batch: [], people: 0 }
  }

  #person(entry: PersonEntry): Promise<void> | undefined {
    const list = this.#list
    if (list === undefined) throw new Error('a person outside a list')
    list.people++
    return list.batch.push(entry) < BATCH ? undefined : this.#hand(list)
  }

  async #hand(list: ListInProgress): Promise<void> {
    const { batch } = list
    list.batch = []
    await list.staged.add(batch)
    this.#options.report({ kind: 'progress', address: list.address.key, people: list.people })
  }

  async #end(bans: readonly Who[]): Promise<void> {
    const list = this.#list
    if (list === undefined) throw new Error('the end of no list')
    const { address, settings, staged } = list
    if (list.batch.length > 0) await this.#hand(list)
    const before = await this.#directory.getList(address.key)
    const oldBans = new Set<Who>()
    if (before !== undefined) for await (const who of this.#directory.bans(address.key)) oldBans.add(who)
    const newBans = new Set(bans)
    const { dryRun, report } = this.#options
    const overlaps = before === undefined ? await overlapsOf(this.#directory, address, settings.flavour) : []
    const people = await staged.commit({ address: address.key, settings, bans: [...newBans] }, { dryRun })
    if (dryRun) await staged.abandon()
    this.#list = undefined
    const added = bans.length === 0 ? 0 : [...newBans].filter(who => !oldBans.has(who)).length
    report({
      kind: 'list',
      address: address.key,
      isNew: before === undefined,
      settings: before?.settings.ok === true ? settingChanges(before.settings.value, settings) : undefined,
      people,
      repeated: list.people - people.added - people.changed - people.unchanged,
      bans: { added, removed: oldBans.size - (newBans.size - added) },
      overlaps,
      delivery: settings.delivery,
    })
  }
}

/**
 * Puts a document into the store, saying what changes as it goes.
 * @throws DocumentError, ImportInterrupted, StoreUnavailable; what was reported before is in place.
 */
export function importDocument(
  directory: Directory,
  chunks: AsyncIterable<Uint8Array>,
  options: ImportOptions,
): Promise<void> {
  return new Import(directory, options).run(chunks)
}
