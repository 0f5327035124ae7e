/** The entries of a document that hold for the whole site: each is added to what is there. */
import type { MtaKey } from '../core/mta.ts'
import type { Who } from '../core/who.ts'
import type { Change, Directory } from './ports.ts'

/** The kinds of entries that hold for the whole site. */
export const SITE_ENTRY_KINDS = ['ban', 'forbidden', 'known-mta', 'refused-mta'] as const
export type SiteEntryKind = (typeof SITE_ENTRY_KINDS)[number]

/** What became of the entries of one kind, all that have been read. */
export interface ImportedSiteEntries {
  readonly kind: 'site-entries'
  readonly of: SiteEntryKind
  readonly added: number
  readonly unchanged: number
}

/** How many changes are on their way at a time. */
const TOGETHER = 100

function listed(directory: Directory, kind: SiteEntryKind): AsyncIterable<string> {
  switch (kind) {
    case 'ban':
      return directory.bans('site')
    case 'forbidden':
      return directory.forbidden()
    case 'known-mta':
      return directory.mtas('known')
    case 'refused-mta':
      return directory.mtas('refused')
  }
}

async function add(directory: Directory, kind: SiteEntryKind, entry: string): Promise<Change> {
  switch (kind) {
    case 'ban':
      return (await directory.addBan('site', entry as Who)) ?? 'unchanged'
    case 'forbidden':
      return directory.addForbidden(entry as Who)
    case 'known-mta':
      return directory.addMta('known', entry as MtaKey)
    case 'refused-mta':
      return directory.addMta('refused', entry as MtaKey)
  }
}

export class SiteEntries {
  readonly #directory: Directory
  readonly #dryRun: boolean
  /** In a dry run: what is there, read when it is first needed, and what would be. */
  readonly #there = new Map<SiteEntryKind, Set<string>>()
  readonly #counts = new Map<SiteEntryKind, { added: number; unchanged: number }>()
  #waiting: Promise<void>[] = []

  constructor(directory: Directory, options: { readonly dryRun: boolean }) {
    this.#directory = directory
    this.#dryRun = options.dryRun
  }

  /** Adds an entry; to be awaited only if it gives a promise. */
  add(kind: SiteEntryKind, entry: Who | MtaKey): Promise<void> | undefined {
    if (this.#dryRun) return this.#pretend(kind, entry)
    const adding = add(this.#directory, kind, entry).then(change => this.#count(kind, change !== 'unchanged'))
    // A failure is met in `flush`, and until then it is nobody's unhandled rejection.
    adding.catch(() => {})
    this.#waiting.push(adding)
    return this.#waiting.length < TOGETHER ? undefined : this.flush()
  }

  /** Waits until everything that was added is in place. */
  async flush(): Promise<void> {
    const waiting = this.#waiting
    this.#waiting = []
    await Promise.all(waiting)
  }

  /** What was done so far, for each kind of which there was anything. */
  *done(): Iterable<ImportedSiteEntries> {
    for (const kind of SITE_ENTRY_KINDS) {
      const counts = this.#counts.get(kind)
      if (counts !== undefined) yield { kind: 'site-entries', of: kind, ...counts }
    }
  }

  async #pretend(kind: SiteEntryKind, entry: string): Promise<void> {
    let there = this.#there.get(kind)
    if (there === undefined) {
      there = new Set()
      for await (const each of listed(this.#directory, kind)) there.add(each)
      this.#there.set(kind, there)
    }
    this.#count(kind, !there.has(entry))
    there.add(entry)
  }

  #count(kind: SiteEntryKind, isNew: boolean): void {
    const counts = this.#counts.get(kind) ?? { added: 0, unchanged: 0 }
    if (isNew) counts.added++
    else counts.unchanged++
    this.#counts.set(kind, counts)
  }
}
