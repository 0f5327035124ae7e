/**
 * The maps: for each name what its keys are, and what is answered. A key is what Postfix asks with: an address in internal
 * form or quoted, a domain, `*`. Any key may come, and one that a map has nothing to say about is not found.
 */
import type { Endpoint } from '../app/endpoint.ts'
import { type Address, internalForwardPath, mailboxOf } from '../core/address.ts'
import { type Domain, parseDomain } from '../core/domain.ts'
import type { Target } from '../core/target.ts'
import { found, NOT_FOUND, OWN_FAULT, type Reply, senseless } from './reply.ts'
import { transportTo } from './transport.ts'

/** What a site says of its maps. */
export interface MapSettings {
  /** What `transport` answers; without it, where the sink listens. */
  readonly transport: string | undefined
  /** Where the sink listens. */
  readonly sink: readonly Endpoint[]
  /** Who gets the mail to `postmaster@` and `abuse@` of the list domains. */
  readonly postmaster: Address | undefined
}

/** A question in our own words: a reply at once, or what has to be looked up for it. */
export type Question =
  | { readonly kind: 'settled'; readonly reply: Reply }
  | {
      readonly kind: 'domain'
      readonly domain: Domain
      readonly reply: (isListDomain: boolean) => Reply
    }
  | { readonly kind: 'address'; readonly address: Address; readonly reply: (target: Target) => Reply }

type MapQuestion = (key: string, settings: MapSettings) => Question

/** Local parts of a domain's own people, who are no list's (RFC 5321 §4.5.1, RFC 2142 §4). */
const OWN_PEOPLE = ['postmaster', 'abuse']

/** The restriction class of the snippets in `postfix/`. */
const RESTRICTION_CLASS = 'postern'

const settled = (reply: Reply): Question => ({ kind: 'settled', reply })
const NOTHING = settled(NOT_FOUND)

/** The address of a key that is one. In a list domain somebody has to say of every local part that nobody is there. */
function addressOf(key: string): Address | undefined {
  const address = internalForwardPath(key)
  return address.ok ? address.value : undefined
}

function domainOf(key: string): Domain | undefined {
  const domain = parseDomain(key)
  return domain.ok ? domain.value : undefined
}

function aboutDomain(domain: Domain | undefined, data: string): Question {
  if (domain === undefined) return NOTHING
  return { kind: 'domain', domain, reply: isListDomain => (isListDomain ? found(data) : NOT_FOUND) }
}

function isOwnPeople({ localPart }: Address): boolean {
  return OWN_PEOPLE.includes(localPart.toLowerCase())
}

/** Which addresses there are: whether or not a list takes posts now is a matter of the law. */
const recipient: MapQuestion = key => {
  const address = addressOf(key)
  if (address === undefined) return NOTHING
  return {
    kind: 'address',
    address,
    reply: target => {
      switch (target.kind) {
        case 'posting':
        case 'service':
        case 'unreadable':
          return found(mailboxOf(target.list.address))
        case 'uncertain':
          return OWN_FAULT
        case 'elsewhere':
        case 'postmaster':
        case 'unknown':
          return NOT_FOUND
      }
    },
  }
}

const domain: MapQuestion = key => {
  const asked = domainOf(key)
  return aboutDomain(asked, asked ?? '')
}

const transport: MapQuestion = (key, settings) => {
  const asked = key.includes('@') ? addressOf(key)?.domain : domainOf(key)
  if (asked === undefined) return NOTHING
  const data = settings.transport ?? transportTo(settings.sink)
  return data === undefined
    ? settled(senseless('the sink has no endpoint; socketmap.transport in the configuration may name one'))
    : aboutDomain(asked, data)
}

/** An alias in place of a list would hide it: only where there is no list of that name. */
function ownPeople(target: Target, address: Address, { postmaster }: MapSettings): Reply {
  switch (target.kind) {
    case 'postmaster':
    case 'unknown':
      // An alias that leads to itself leads nowhere.
      return postmaster === undefined || postmaster.key === address.key ? NOT_FOUND : found(postmaster.text)
    case 'uncertain':
      return OWN_FAULT
    case 'elsewhere':
    case 'posting':
    case 'service':
    case 'unreadable':
      return NOT_FOUND
  }
}

const alias: MapQuestion = (key, settings) => {
  const address = addressOf(key)
  if (address === undefined || !isOwnPeople(address)) return NOTHING
  return { kind: 'address', address, reply: target => ownPeople(target, address, settings) }
}

/** Whom the policy server is to be asked about: everybody in the list domains but those who have an alias. */
const restriction: MapQuestion = (key, settings) => {
  const address = addressOf(key)
  if (address === undefined) return NOTHING
  if (!isOwnPeople(address)) return aboutDomain(address.domain, RESTRICTION_CLASS)
  return {
    kind: 'address',
    address,
    reply: target => {
      if (target.kind === 'elsewhere') return NOT_FOUND
      const hasAlias = ownPeople(target, address, settings).kind === 'found'
      return hasAlias ? NOT_FOUND : found(RESTRICTION_CLASS)
    },
  }
}

/** Every map by its name. */
export const MAPS = { recipient, domain, transport, alias, restriction } as const satisfies Readonly<
  Record<string, MapQuestion>
>
export type MapName = keyof typeof MAPS

function isMapName(name: string): name is MapName {
  return Object.hasOwn(MAPS, name)
}

/** The map that a request is about; `undefined` if there is none of the name. */
export function mapOf(request: string): MapName | undefined {
  const name = request.split(' ', 1)[0] ?? ''
  return isMapName(name) ? name : undefined
}

/** Reads a request: `name SP key`. */
export function questionOf(request: string, settings: MapSettings): Question {
  const space = request.indexOf(' ')
  if (space === -1) return settled(senseless("expected a map's name, a space and a key"))
  const name = request.slice(0, space)
  if (!isMapName(name)) {
    return settled(senseless(`there is no map of that name; the maps are ${Object.keys(MAPS).join(', ')}`))
  }
  return MAPS[name](request.slice(space + 1), settings)
}
