/**
 * The import document (docs/import-format.md): domains, lists with their people, bans, forbidden senders and MTAs in one
 * JSON text. Read here into entries, one after the other, checked as far as the document itself goes.
 *
 * The order matters where the reader needs it: `postern` first, `domains` before `lists`, and in a list `address` and
 * `settings` before `people`. Everything else may come in any order, or be left out.
 */
import type { Address } from '../core/address.ts'
import type { Domain } from '../core/domain.ts'
import type { ListSettings } from '../core/list.ts'
import type { ListDomain } from '../core/list-domain.ts'
import { type MtaKey, parseMtaKey } from '../core/mta.ts'
import type { Parsed } from '../core/parsed.ts'
import { parseWho, type Who } from '../core/who.ts'
import { parseListAddress } from './administration/list-address.ts'
import {
  type ArrayShape,
  type JsonScalar,
  type ObjectShape,
  quoted,
  type Shape,
  Wrong,
} from './document-json.ts'
import { domainShape, known, parsedBy, personShape, settingsShape } from './document-shapes.ts'
import { followJson, type Place } from './document-text.ts'
import type { MtaList, PersonEntry } from './ports.ts'

/** The version of the format that is read and written. */
export const DOCUMENT_VERSION = 1

/** The beginning of a list. */
export interface ListEntry {
  readonly kind: 'list'
  readonly address: Address
  /** The settings that the document names. */
  readonly settings: Partial<ListSettings>
  /** Where the address stands. */
  readonly place: Place
}

/** One entry of a document. A list is a `list`, its people, and a `list-end`. */
export type DocumentEntry =
  /** A domain, with the settings that the document names. */
  | { readonly kind: 'domain'; readonly domain: Domain; readonly settings: Partial<ListDomain> }
  | ListEntry
  | { readonly kind: 'person'; readonly entry: PersonEntry }
  | { readonly kind: 'list-end'; readonly bans: readonly Who[] }
  | { readonly kind: 'ban' | 'forbidden'; readonly who: Who }
  | { readonly kind: 'mta'; readonly list: MtaList; readonly key: MtaKey }

const TOP_KEYS = ['postern', 'domains', 'lists', 'bans', 'forbidden', 'mtas'] as const
const LIST_KEYS = ['address', 'settings', 'bans', 'people'] as const
const MTA_KEYS = ['known', 'refused'] as const

/** The shapes of a document; what they find is in `entries` until it is taken. */
class DocumentShapes {
  readonly #here: () => Place
  readonly #entries: DocumentEntry[] = []
  readonly #lists = new Set<string>()
  readonly #seen = new Set<string>()

  constructor(here: () => Place) {
    this.#here = here
  }

  /** Takes what was found since the last time. */
  take(): readonly DocumentEntry[] {
    return this.#entries.splice(0)
  }

  readonly root: ObjectShape = {
    kind: 'object',
    member: key => {
      if (key !== 'postern') this.#versionFirst()
      return this.#member(known(key, TOP_KEYS))
    },
    end: () => this.#versionFirst(),
  }

  #versionFirst(): void {
    if (!this.#seen.has('postern')) {
      throw new Wrong(`not an import document: its first key must be "postern": ${DOCUMENT_VERSION}`)
    }
  }

  #member(key: (typeof TOP_KEYS)[number]): Shape {
    if (key === 'domains' && this.#seen.has('lists')) throw new Wrong('"domains" must come before "lists"')
    this.#seen.add(key)
    switch (key) {
      case 'postern':
        return { kind: 'scalar', expected: `version ${DOCUMENT_VERSION}`, take: this.#version }
      case 'domains':
        return { kind: 'array', element: () => domainShape(this.#domain) }
      case 'lists':
        return { kind: 'array', element: () => this.#list() }
      case 'bans':
        return this.#each(parseWho, who => this.#entries.push({ kind: 'ban', who }))
      case 'forbidden':
        return this.#each(parseWho, who => this.#entries.push({ kind: 'forbidden', who }))
      case 'mtas':
        return { kind: 'object', member: list => this.#mtas(known(list, MTA_KEYS)) }
    }
  }

  /** An array of strings that a parser takes. One shape does for all of them: it keeps nothing. */
  #each<T>(parse: (text: string) => Parsed<T>, take: (value: T) => void): ArrayShape {
    const shape = parsedBy(parse, take)
    return { kind: 'array', element: () => shape }
  }

  readonly #version = (version: JsonScalar): void => {
    if (version !== DOCUMENT_VERSION) {
      throw new Wrong(`expected version ${DOCUMENT_VERSION} of the format, not ${quoted(version)}`)
    }
  }

  readonly #domain = (domain: Domain, settings: Partial<ListDomain>): void => {
    this.#entries.push({ kind: 'domain', domain, settings })
  }

  readonly #person = (entry: PersonEntry): void => {
    this.#entries.push({ kind: 'person', entry })
  }

  #mtas(list: MtaList): ArrayShape {
    return this.#each(parseMtaKey, key => this.#entries.push({ kind: 'mta', list, key }))
  }

  #list(): ObjectShape {
    const bans: Who[] = []
    let settings: Partial<ListSettings> = {}
    let head: Pick<ListEntry, 'address' | 'place'> | undefined
    let begun = false
    const begin = (): void => {
      if (head === undefined) throw new Wrong('the key "address" is missing, or comes after "people"')
      if (!begun) this.#entries.push({ kind: 'list', ...head, settings })
      begun = true
    }
    const member = (key: string): Shape => {
      switch (known(key, LIST_KEYS)) {
        case 'address':
          return parsedBy(parseListAddress, address => {
            head = { address: this.#newList(address), place: this.#here() }
          })
        case 'settings':
          if (begun) throw new Wrong('"settings" must come before "people"')
          return settingsShape(given => {
            settings = given
          })
        case 'bans':
          return this.#each(parseWho, who => bans.push(who))
        case 'people':
          begin()
          return { kind: 'array', element: () => personShape(this.#person) }
      }
    }
    const end = (): void => {
      begin()
      this.#entries.push({ kind: 'list-end', bans })
    }
    return { kind: 'object', member, end }
  }

  #newList(address: Address): Address {
    if (this.#lists.has(address.key)) throw new Wrong(`the list ${address.key} stands twice`)
    this.#lists.add(address.key)
    return address
  }
}

/**
 * Reads a document, giving its entries in batches as they come. Memory is bounded whatever the number of people.
 * @throws DocumentError with the place of what is wrong; the entries before it have been given.
 */
export async function* readDocument(
  chunks: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly DocumentEntry[], void, undefined> {
  let take: () => readonly DocumentEntry[] = () => []
  const rootShape = (here: () => Place): ObjectShape => {
    const shapes = new DocumentShapes(here)
    take = () => shapes.take()
    return shapes.root
  }
  try {
    for await (const _ of followJson(chunks, rootShape)) yield take()
  } catch (error) {
    yield take()
    throw error
  }
}
