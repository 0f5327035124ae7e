/**
 * Writes what the store holds as an import document, in a stable order, as it is read: one person a line, so that two
 * exports can be compared line by line. Importing it again changes nothing.
 */
import { type Address, mailboxOf } from '../core/address.ts'
import { formatSettings } from '../core/list.ts'
import { formatDomainSettings } from '../core/list-domain.ts'
import type { Person } from '../core/person.ts'
import type { ListAddress } from '../core/transaction.ts'
import { formatWho, type Who } from '../core/who.ts'
import { domainsInOrder } from './administration/domains.ts'
import { keysInOrder } from './administration/in-order.ts'
import { peopleInOrder } from './administration/people.ts'
import { DOCUMENT_VERSION } from './document.ts'
import type { Directory, ListRecord } from './ports.ts'

/** Something in the store cannot be understood, and an export without it would be no export. */
export class Unexportable extends Error {
  readonly code = 'POSTERN_EXPORT_UNREADABLE'
  override readonly name = 'Unexportable'
}

/** What to write: everything, or some lists and their domains. */
export type ExportScope = 'everything' | readonly Address[]

/** The elements of an array, one a line, each indented. */
async function* array(
  elements: AsyncIterable<string>,
  indent: string,
): AsyncGenerator<string, void, undefined> {
  let separator = '\n'
  for await (const element of elements) {
    yield `${separator}${indent}  ${element}`
    separator = ',\n'
  }
  if (separator !== '\n') yield `\n${indent}`
}

async function* each<T>(entries: AsyncIterable<T>, write: (entry: T) => string): AsyncGenerator<string> {
  for await (const entry of entries) yield write(entry)
}

function ordered<K extends string>(
  list: () => AsyncIterable<K>,
  write: (key: K) => string,
): AsyncIterable<string> {
  return each(keysInOrder(list), key => JSON.stringify(write(key)))
}

function personLine(who: Who, person: Person): string {
  const action = person.action === undefined ? '' : `, "action": ${JSON.stringify(person.action)}`
  const roles = person.roles.map(role => JSON.stringify(role)).join(', ')
  const linked = person.linked === undefined ? '' : `, "linked": ${JSON.stringify(mailboxOf(person.linked))}`
  const seen = person.seen === true ? ', "seen": true' : ''
  return `{ "who": ${JSON.stringify(formatWho(who))}, "roles": [${roles}]${action}${linked}${seen} }`
}

async function* people(directory: Directory, list: ListAddress): AsyncGenerator<string> {
  for await (const { who, person } of peopleInOrder(directory, list)) {
    if (!person.ok) {
      throw new Unexportable(`the record of ${who} on ${list} cannot be understood: ${person.problem}`)
    }
    yield personLine(who, person.value)
  }
}

async function* oneList(directory: Directory, { address, settings }: ListRecord): AsyncGenerator<string> {
  if (!settings.ok) {
    throw new Unexportable(`the settings of ${address} cannot be understood: ${settings.problem}`)
  }
  const lines = Object.entries(formatSettings(settings.value)).map(
    ([name, text]) => `        ${JSON.stringify(name)}: ${JSON.stringify(text)}`,
  )
  yield `{\n      "address": ${JSON.stringify(mailboxOf(address))},\n      "settings": {\n${lines.join(',\n')}\n      },\n`
  yield '      "bans": ['
  yield* array(
    ordered(() => directory.bans(address), formatWho),
    '      ',
  )
  yield '],\n      "people": ['
  yield* array(people(directory, address), '      ')
  yield ']\n    }'
}

/** Every list of the scope. `array` separates elements that are whole; lists come in parts. */
async function* lists(directory: Directory, records: AsyncIterable<ListRecord>): AsyncGenerator<string> {
  let separator = '\n    '
  for await (const record of records) {
    yield separator
    separator = ',\n    '
    yield* oneList(directory, record)
  }
  if (separator !== '\n    ') yield '\n  '
}

async function* records(directory: Directory, scope: ExportScope): AsyncGenerator<ListRecord> {
  if (scope === 'everything') yield* directory.lists()
  else {
    for (const { key } of scope) {
      const record = await directory.getList(key)
      if (record === undefined) throw new Unexportable(`there is no list ${key}`)
      yield record
    }
  }
}

async function* domains(directory: Directory, scope: ExportScope): AsyncGenerator<string> {
  const named = scope === 'everything' ? undefined : new Set(scope.map(({ domain }) => domain))
  for await (const { domain, record } of domainsInOrder(directory)) {
    if (named !== undefined && !named.has(domain)) continue
    const members = Object.entries({ domain, ...formatDomainSettings(record) }).map(
      ([name, text]) => `${JSON.stringify(name)}: ${JSON.stringify(text)}`,
    )
    yield `{ ${members.join(', ')} }`
  }
}

/**
 * Writes a document piece by piece. What changes meanwhile is in it or is not.
 * @throws Unexportable, and the document then ends in the middle, so that nobody takes it for whole
 */
export async function* exportDocument(
  directory: Directory,
  scope: ExportScope,
): AsyncGenerator<string, void, undefined> {
  yield `{\n  "postern": ${DOCUMENT_VERSION},\n  "domains": [`
  yield* array(domains(directory, scope), '  ')
  yield '],\n  "lists": ['
  yield* lists(directory, records(directory, scope))
  yield ']'
  if (scope === 'everything') {
    const sections = [
      ['bans', () => directory.bans('site')],
      ['forbidden', () => directory.forbidden()],
    ] as const
    for (const [name, list] of sections) {
      yield `,\n  "${name}": [`
      yield* array(ordered(list, formatWho), '  ')
      yield ']'
    }
    yield ',\n  "mtas": {\n    "known": ['
    yield* array(
      ordered(() => directory.mtas('known'), String),
      '    ',
    )
    yield '],\n    "refused": ['
    yield* array(
      ordered(() => directory.mtas('refused'), String),
      '    ',
    )
    yield ']\n  }'
  }
  yield '\n}\n'
}
