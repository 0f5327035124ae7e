/** `postern import`: reads an import document into the store, and says what changed. */
import { overlapInWords } from '../../app/administration/service-overlap.ts'
import type { ImportedList, ImportNews } from '../../app/document-import.ts'
import type { SiteEntryKind } from '../../app/document-import-site.ts'
import type { Config } from '../../config/config.ts'
import { mailboxOf } from '../../core/address.ts'
import { type AddCommand, teach } from '../command.ts'
import { namedDelivery, unknownDeliveryInWords } from '../delivery-words.ts'
import { domainInWords } from '../domain-words.ts'
import { EXIT, Failure } from '../exit.ts'
import { inputOf } from '../input-file.ts'
import type { Session } from '../session.ts'

const SITE_WORDS: Readonly<Record<SiteEntryKind, string>> = {
  ban: 'bans from all lists',
  forbidden: 'forbidden senders',
  'known-mta': 'known MTAs',
  'refused-mta': 'refused MTAs',
}

/** In milliseconds: how often progress is told on a terminal. */
const PROGRESS_EVERY = 1_000

function listLine({ address, isNew, people, settings, bans, repeated }: ImportedList): string {
  const { added, changed, removed, unchanged } = people
  const parts = [
    isNew ? 'new list' : 'list replaced',
    `people: ${added} added, ${changed} changed, ${removed} removed, ${unchanged} unchanged`,
  ]
  if (settings === undefined && !isNew) parts.push('settings replaced, which could not be understood')
  if (settings !== undefined && settings.length > 0) {
    parts.push(`settings changed: ${settings.map(({ name }) => name).join(', ')}`)
  }
  if (bans.added + bans.removed > 0) parts.push(`bans: ${bans.added} added, ${bans.removed} removed`)
  if (repeated > 0) parts.push(`${repeated} entries for somebody named before; the later one counts`)
  return `${mailboxOf(address)}: ${parts.join('; ')}`
}

/** Says what an import does: what changed on stdout, progress and warnings on stderr. */
class Telling {
  readonly #session: Session
  readonly #config: Config
  /** Deliveries that the configuration does not have: who chose one first, and how many did after that. */
  readonly #unknown = new Map<string, { readonly first: string; others: number }>()
  #anythingDone = false
  #toldAt: number
  /** Lines on their way out, in order. */
  #telling: Promise<void> = Promise.resolve()

  constructor(session: Session, config: Config) {
    this.#session = session
    this.#config = config
    this.#toldAt = session.world.clock()
  }

  /** Whether anything of the document is in place (or would be). */
  get anythingDone(): boolean {
    return this.#anythingDone
  }

  /** Fulfilled when everything told has been written. */
  written(): Promise<void> {
    return this.#telling
  }

  tell(news: ImportNews): void {
    switch (news.kind) {
      case 'progress':
        this.#progress(news.address, news.people)
        return
      case 'domain':
        this.#data(domainInWords(news.domain, news.change, news.record))
        this.#chose(news.domain, news.record.delivery)
        return
      case 'list':
        this.#data(listLine(news))
        this.#chose(mailboxOf(news.address), news.delivery)
        for (const overlap of news.overlaps) this.#then(() => this.#session.warn(overlapInWords(overlap)))
        return
      case 'site-entries':
        this.#data(`${SITE_WORDS[news.of]}: ${news.added} added, ${news.unchanged} unchanged`)
    }
  }

  /** Says which names of deliveries the configuration does not have, and who has chosen each. */
  warnOfUnknownDeliveries(): void {
    for (const [name, { first, others }] of this.#unknown) {
      const whose = others === 0 ? first : `${first} and ${others} more`
      this.#then(() => this.#session.warn(unknownDeliveryInWords(whose, name)))
    }
  }

  #chose(whose: string, name: string | undefined): void {
    if (name === undefined || namedDelivery(this.#config, name) !== undefined) return
    const known = this.#unknown.get(name)
    if (known === undefined) this.#unknown.set(name, { first: whose, others: 0 })
    else known.others++
  }

  #progress(address: string, people: number): void {
    const { stderr, clock } = this.#session.world
    const now = clock()
    if (!stderr.isTerminal || now - this.#toldAt < PROGRESS_EVERY) return
    this.#toldAt = now
    this.#then(() => stderr.line(stderr.styled('dim', `${address}: ${people} people read …`)))
  }

  #data(line: string): void {
    this.#anythingDone = true
    this.#then(() => this.#session.world.stdout.line(line))
  }

  #then(write: () => Promise<void>): void {
    this.#telling = this.#telling.then(write)
    // Met in `written`.
    this.#telling.catch(() => {})
  }
}

async function importFile(session: Session, file: string, dryRun: boolean): Promise<void> {
  const [{ importDocument }, { DocumentError }] = await Promise.all([
    import('../../app/document-import.ts'),
    import('../../app/document-text.ts'),
  ])
  const chunks = await inputOf(session, file)
  const store = await session.store()
  const telling = new Telling(session, await session.config())
  const signal = session.world.interruption()
  try {
    await importDocument(store, chunks, { dryRun, signal, report: news => telling.tell(news) })
  } catch (error) {
    telling.warnOfUnknownDeliveries()
    await telling.written()
    const kept = telling.anythingDone
      ? 'what is listed above is in place, the rest is not'
      : 'nothing was changed'
    const state = dryRun ? 'nothing was changed: this was a dry run' : kept
    if (error instanceof DocumentError) {
      throw new Failure(EXIT.data, `${file === '-' ? 'standard input' : file}, ${error.message}`, {
        details: [state],
      })
    }
    await session.say(state)
    throw error
  }
  telling.warnOfUnknownDeliveries()
  await telling.written()
  if (dryRun) await session.say('nothing was changed: this was a dry run')
}

export const importCommand: AddCommand = (parent, session) => {
  teach(
    parent
      .command('import')
      .summary('read a JSON document of lists and people')
      .description(
        'Reads an import document (docs/import-format.md). A list that it names is replaced whole, all at once; domains, bans, forbidden senders and MTAs are added to what is there; whatever it does not name stays.',
      )
      .argument('<file>', 'the document; - is standard input')
      .option('--dry-run', 'change nothing, and say what would change')
      .action((file: string, options: { readonly dryRun?: true }) =>
        importFile(session, file, options.dryRun === true),
      ),
    [
      ['postern import --dry-run lists.json', 'what would change?'],
      ['postern import lists.json', 'change it'],
      ['postern export | ssh other postern import -', 'copy everything to another host'],
    ],
    `Of a document that is damaged, what stands before the damage is put in place,
except the list that was being read: that one stays as it was. Importing the
corrected document again does no harm.`,
  )
}
