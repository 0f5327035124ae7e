/**
 * The shared vectors: state, question, expected answer. One file a subject in `test/vectors/`; every front runs the
 * same ones and must give the same verdict.
 *
 * A state is an import document (`docs/import-format.md`); a question names what an MTA would tell.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { HeaderReader } from '../../src/app/header-reader.ts'
import type { Store } from '../../src/app/ports.ts'
import { type Address, parseAddress, parseReversePath, type ReversePath } from '../../src/core/address.ts'
import { MAX_PARTS, type MessageParts } from '../../src/core/content.ts'
import { parseDomain } from '../../src/core/domain.ts'
import { INITIAL_SITE, type Site } from '../../src/core/facts.ts'
import type { Action } from '../../src/core/list.ts'
import { parseSettings } from '../../src/core/list.ts'
import { parseDomainSettings } from '../../src/core/list-domain.ts'
import { parseMtaKey } from '../../src/core/mta.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import type { Parsed } from '../../src/core/parsed.ts'
import { makePerson, type Role } from '../../src/core/person.ts'
import type { Reason } from '../../src/core/reason.ts'
import type { Client, ListAddress, Phase } from '../../src/core/transaction.ts'
import type { VerdictKind } from '../../src/core/verdict.ts'
import { parseWho, whoIs } from '../../src/core/who.ts'

/** An import document, as far as vectors use it. */
export interface StateDocument {
  readonly postern: 1
  readonly domains?: readonly {
    readonly domain: string
    readonly flavour?: string
    readonly delivery?: string
  }[]
  readonly lists?: readonly {
    readonly address: string
    readonly settings?: Readonly<Record<string, string>>
    readonly bans?: readonly string[]
    readonly people?: readonly {
      readonly who: string
      readonly roles: readonly Role[]
      readonly action?: Action
      readonly seen?: boolean
      readonly linked?: string
    }[]
  }[]
  readonly bans?: readonly string[]
  readonly forbidden?: readonly string[]
  readonly mtas?: { readonly known?: readonly string[]; readonly refused?: readonly string[] }
}

/** What an MTA would tell. `sender` and `recipients` are RFC 5321 mailboxes; `""` is the null sender. */
export interface Question {
  readonly phase: Phase
  readonly client?: { readonly ip?: string; readonly name?: string; readonly helo?: string }
  readonly sender?: string
  /** One at RCPT and END-OF-MESSAGE; at DATA all that were accepted at RCPT before. */
  readonly recipients?: readonly string[]
  /** At RCPT: recipients accepted before this one. */
  readonly recipientsBefore?: number
  readonly size?: number
  /** At END-OF-MESSAGE: the mailboxes of From:. */
  readonly authors?: readonly string[]
  /** At END-OF-MESSAGE: of Sender: and Reply-To: as well. */
  readonly otherAuthors?: readonly string[]
  /** At END-OF-MESSAGE: the header's fields, as lines without their ends; a folded one holds CR LF. */
  readonly header?: readonly string[]
  /** At END-OF-MESSAGE: the parts that hold data, by type and, after a space, the ending of the file's name. */
  readonly parts?: readonly string[]
  /** At END-OF-MESSAGE: to how many lists the message goes. */
  readonly lists?: number
  /** At RCPT and END-OF-MESSAGE: whether an MTA has taken the message already. */
  readonly afterAcceptance?: boolean
  /** Lists to which the sender was let in before, and under which address if not the sender's own. */
  readonly admitted?: readonly string[]
  readonly admittedAs?: string
}

export interface Vector {
  /** The file and its own name: unique. */
  readonly name: string
  readonly state: StateDocument
  readonly site: Site
  readonly ask: Question
  readonly expect: { readonly verdict: VerdictKind; readonly reason: Reason; readonly reply?: string }
}

interface VectorFile {
  readonly states: Readonly<Record<string, StateDocument>>
  readonly sites?: Readonly<Record<string, Partial<Site>>>
  readonly vectors: readonly {
    readonly name: string
    readonly state: string
    readonly site?: string
    readonly ask: Question
    readonly expect: Vector['expect']
  }[]
}

/** Every vector of every file, in the order of the files' names. */
export function loadVectors(): readonly Vector[] {
  const folder = new URL('../vectors/', import.meta.url)
  return readdirSync(folder)
    .filter(name => name.endsWith('.json'))
    .sort()
    .flatMap(file => {
      const content = JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as VectorFile
      return content.vectors.map(vector => {
        const state = content.states[vector.state]
        if (state === undefined) throw new Error(`${file}: ${vector.name}: no state ${vector.state}`)
        const site = { ...INITIAL_SITE, ...(vector.site === undefined ? {} : content.sites?.[vector.site]) }
        return { ...vector, name: `${file.replace('.json', '')}: ${vector.name}`, state, site }
      })
    })
}

/** The value of a parser that must succeed. */
export function must<T>(result: Parsed<T>): T {
  if (!result.ok) throw new Error(result.problem)
  return result.value
}

/** A mailbox of a vector as an address. */
export function address(text: string): Address {
  return must(parseAddress(text))
}

/** A vector's sender; absent and empty are the null sender. */
export function reversePath(text: string | undefined): ReversePath {
  return must(parseReversePath(`<${text ?? ''}>`))
}

/** A vector's client. */
export function clientOf(question: Question): Client {
  const { ip, ...names } = question.client ?? {}
  return ip === undefined ? names : { ...names, ip: must(parseIpAddress(ip)) }
}

/** Puts a state into an empty store, through the port. */
export async function putState(store: Store, state: StateDocument): Promise<void> {
  for (const { domain, ...settings } of state.domains ?? []) {
    await store.putDomain(must(parseDomain(domain)), must(parseDomainSettings(settings)))
  }
  for (const list of state.lists ?? []) {
    const key: ListAddress = address(list.address).key
    const staged = await store.stagePeople(key)
    await staged.add(
      (list.people ?? []).map(({ who, roles, action, seen, linked }) => ({
        who: must(parseWho(who)),
        person: {
          ...must(makePerson(roles, action)),
          ...(seen === true && { seen }),
          ...(linked !== undefined && { linked: address(linked).key }),
        },
      })),
    )
    const replacement = {
      address: key,
      settings: must(parseSettings(list.settings ?? {})),
      bans: (list.bans ?? []).map(who => must(parseWho(who))),
    }
    await staged.commit(replacement, { dryRun: false })
  }
  for (const who of state.bans ?? []) await store.addBan('site', must(parseWho(who)))
  for (const who of state.forbidden ?? []) await store.addForbidden(must(parseWho(who)))
  for (const key of state.mtas?.known ?? []) await store.addMta('known', must(parseMtaKey(key)))
  for (const key of state.mtas?.refused ?? []) await store.addMta('refused', must(parseMtaKey(key)))
}

/** Lets a question's sender in to the lists to which they were let in before. */
export async function putAdmissions(store: Store, { admitted, admittedAs, sender }: Question): Promise<void> {
  for (const list of admitted ?? []) {
    const who = whoIs(address(admittedAs ?? sender ?? ''))
    await store.admit({ list: address(list).key, sender: who, seconds: 3600 })
  }
}

/** Whether a question tells of what the message says: a policy server does not see it. */
export function tellsOfContent({ header, parts, lists, authors, otherAuthors }: Question): boolean {
  return [header, parts, lists, authors, otherAuthors].some(told => told !== undefined)
}

/** A vector's header, read as a front reads one; `undefined` if it has none. */
export function headerOf({ header }: Question): HeaderReader | undefined {
  if (header === undefined) return undefined
  const reader = new HeaderReader()
  for (const line of header) {
    const colon = line.indexOf(':')
    reader.add(line.slice(0, colon), line.slice(colon + 1))
  }
  return reader
}

/** A vector's parts; `undefined` if nobody looked at them. */
export function partsOf({ parts }: Question): MessageParts | undefined {
  return (
    parts && {
      parts: parts.slice(0, MAX_PARTS).map(text => {
        const [type = '', extension] = text.split(' .')
        return extension === undefined ? { type } : { type, extension }
      }),
      tooMany: parts.length > MAX_PARTS,
    }
  )
}
