/**
 * The import document (docs/import-format.md): domains, lists with their people, bans, forbidden senders and MTAs in one
 * JSON text. Read here into entries, one after the other, checked as far as the document itself goes.
 *
 * The order matters where the reader needs it: `postern` first, `domains` before `lists`, and in a list `address` and
 * `settings` before `people`. Everything else may come in any order, or be left out.
 */
import type { Address } from '../core/address.ts'
import type { Domain } from '../core/domain.ts'
import { ACTIONS, FLAVOURS, type Flavour, type ListSettings, SETTING_NAMES, SETTINGS } from '../core/list.ts'
import { type MtaKey, parseMtaKey } from '../core/mta.ts'
import type { Parsed } from '../core/parsed.ts'
import { makePerson, ROLES } from '../core/person.ts'
import { parseWho, type Who } from '../core/who.ts'
import { readDomain } from './administration/domains.ts'
import { parseListAddress } from './administration/list-address.ts'
import {
  type ArrayShape,
  type JsonObject,
  type JsonValue,
  kindOf,
  type ObjectShape,
  quoted,
  type Shape,
  Wrong,
} from './document-json.ts'
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
  | { readonly kind: 'domain'; readonly domain: Domain; readonly flavour: Flavour | undefined }
  | ListEntry
  | { readonly kind: 'person'; readonly entry: PersonEntry }
  | { readonly kind: 'list-end'; readonly bans: readonly Who[] }
  | { readonly kind: 'ban' | 'forbidden'; readonly who: Who }
  | { readonly kind: 'mta'; readonly list: MtaList; readonly key: MtaKey }

const TOP_KEYS = ['postern', 'domains', 'lists', 'bans', 'forbidden', 'mtas'] as const
const DOMAIN_KEYS = ['domain', 'flavour'] as const
const LIST_KEYS = ['address', 'settings', 'bans', 'people'] as const
const PERSON_KEYS = ['who', 'roles', 'action'] as const
const MTA_KEYS = ['known', 'refused'] as const

/** One of the keys that are known here. */
function known<K extends string>(key: string, keys: readonly K[]): K {
  const found = keys.find(candidate => candidate === key)
  if (found === undefined) throw new Wrong(`unknown key ${quoted(key)}; expected ${keys.join(', ')}`)
  return found
}

function read<T>(value: JsonValue, parse: (text: string) => Parsed<T>, ...part: readonly string[]): T {
  if (typeof value !== 'string') throw new Wrong(`expected a string, not ${kindOf(value)}`, ...part)
  const result = parse(value)
  if (!result.ok) throw new Wrong(`${quoted(value)}: ${result.problem}`, ...part)
  return result.value
}

function oneOf<T extends string>(
  value: JsonValue | undefined,
  choices: readonly T[],
  ...part: readonly (string | number)[]
): T {
  const found = choices.find(choice => choice === value)
  if (found === undefined) {
    throw new Wrong(`expected one of ${choices.join(', ')}, not ${kindOf(value ?? null)}`, ...part)
  }
  return found
}

function members(value: JsonValue, keys: readonly string[]): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new Wrong(`expected an object, not ${kindOf(value)}`)
  }
  for (const key of Object.keys(value)) known(key, keys)
  return value as JsonObject
}

function required(object: JsonObject, key: string): JsonValue {
  const value = object[key]
  if (value === undefined) throw new Wrong(`the key ${quoted(key)} is missing`)
  return value
}

function readPerson(value: JsonValue): PersonEntry {
  const object = members(value, PERSON_KEYS)
  const who = read(required(object, 'who'), parseWho, 'who')
  const rolesValue = required(object, 'roles')
  if (!Array.isArray(rolesValue)) throw new Wrong(`expected an array, not ${kindOf(rolesValue)}`, 'roles')
  const roles = rolesValue.map((role: JsonValue, index) => oneOf(role, ROLES, 'roles', index))
  const action = object['action'] === undefined ? undefined : oneOf(object['action'], ACTIONS, 'action')
  const person = makePerson(roles, action)
  if (!person.ok) throw new Wrong(person.problem, 'roles')
  return { who, person: person.value }
}

function readSettings(value: JsonValue): Partial<ListSettings> {
  const object = members(value, SETTING_NAMES)
  const settings = SETTING_NAMES.filter(name => object[name] !== undefined).map(name => {
    const given = object[name] ?? null
    const text = typeof given === 'number' ? String(given) : given
    return [name, read<unknown>(text, SETTINGS[name].parse, name)] as const
  })
  return Object.fromEntries(settings) as Partial<ListSettings>
}

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
        return { kind: 'value', take: version => this.#version(version) }
      case 'domains':
        return this.#each(value => this.#entries.push(this.#domain(value)))
      case 'lists':
        return { kind: 'array', element: () => this.#list() }
      case 'bans':
        return this.#each(value => this.#entries.push({ kind: 'ban', who: read(value, parseWho) }))
      case 'forbidden':
        return this.#each(value => this.#entries.push({ kind: 'forbidden', who: read(value, parseWho) }))
      case 'mtas':
        return { kind: 'object', member: list => this.#mtas(known(list, MTA_KEYS)) }
    }
  }

  #each(take: (value: JsonValue) => void): ArrayShape {
    return { kind: 'array', element: () => ({ kind: 'value', take }) }
  }

  #version(version: JsonValue): void {
    if (version !== DOCUMENT_VERSION) {
      throw new Wrong(`expected version ${DOCUMENT_VERSION} of the format, not ${kindOf(version)}`)
    }
  }

  #domain(value: JsonValue): DocumentEntry {
    const object = members(value, DOMAIN_KEYS)
    const domain = read(
      required(object, 'domain'),
      text => {
        const outcome = readDomain(text)
        return outcome.ok ? outcome : { ok: false, problem: outcome.problem.sentence }
      },
      'domain',
    )
    const flavour =
      object['flavour'] === undefined ? undefined : oneOf(object['flavour'], FLAVOURS, 'flavour')
    return { kind: 'domain', domain, flavour }
  }

  #mtas(list: MtaList): ArrayShape {
    return this.#each(value => this.#entries.push({ kind: 'mta', list, key: read(value, parseMtaKey) }))
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
          return {
            kind: 'value',
            take: value => {
              head = { address: this.#newList(read(value, parseListAddress)), place: this.#here() }
            },
          }
        case 'settings':
          if (begun) throw new Wrong('"settings" must come before "people"')
          return {
            kind: 'value',
            take: value => {
              settings = readSettings(value)
            },
          }
        case 'bans':
          return this.#each(value => bans.push(read(value, parseWho)))
        case 'people':
          begin()
          return this.#each(value => this.#entries.push({ kind: 'person', entry: readPerson(value) }))
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
