/**
 * What a person (or a whole domain) is to a list: roles, and an action of its own that goes before the list's. As
 * text, in Redis and in the import document: `member`, `owner member`, `nonmember action=hold`, `member seen`,
 * `member linked=ann@example.org`.
 *
 * A linked record is another address of somebody who is on the list. It has a copy of that person's roles and action, so
 * that a decision need not look up anybody else; administration keeps the copy like the original.
 */
import { type AddressKey, mailboxOf, parseAddress } from './address.ts'
import { ACTIONS, type Action } from './list.ts'
import { type Parsed, parsed, problem } from './parsed.ts'

/** Roles, the one that decides first standing first. */
export const ROLES = ['owner', 'moderator', 'member', 'nonmember'] as const
export type Role = (typeof ROLES)[number]

/** A record of somebody on a list. At least one role, in the order of `ROLES`. */
export interface Person {
  readonly roles: readonly Role[]
  readonly action?: Action
  /** A moderator has let through a post of theirs. */
  readonly seen?: true
  /** The person whose other address this is. */
  readonly linked?: AddressKey
}

/** Comes before the address that a record is linked to, which is its last word and may hold spaces. */
const LINKED = ' linked='

/** Makes a person of roles in any order, repeated or not. No role is no person. */
export function makePerson(roles: readonly Role[], action?: Action): Parsed<Person> {
  const ordered = ROLES.filter(role => roles.includes(role))
  if (ordered.length === 0) return problem(`expected a role: ${ROLES.join(', ')}`)
  return parsed(action === undefined ? { roles: ordered } : { roles: ordered, action })
}

/** Reads a person's text. */
export function parsePerson(text: string): Parsed<Person> {
  const roles: Role[] = []
  let action: Action | undefined
  let seen = false
  const [own, ...rest] = text.split(LINKED)
  const linked = rest.length === 0 ? undefined : parseAddress(rest.join(LINKED))
  if (linked?.ok === false) return problem(`linked=: ${linked.problem}`)
  for (const word of (own ?? '').split(' ').filter(word => word !== '')) {
    const role = ROLES.find(candidate => candidate === word)
    const said = ACTIONS.find(candidate => `action=${candidate}` === word)
    if (role !== undefined) roles.push(role)
    else if (said !== undefined) action = said
    else if (word === 'seen') seen = true
    else
      return problem(`expected roles, and at most action=…, seen and linked=…, not ${JSON.stringify(word)}`)
  }
  const person = makePerson(roles, action)
  if (!person.ok) return person
  return parsed({
    ...person.value,
    ...(seen && { seen }),
    ...(linked !== undefined && { linked: linked.value.key }),
  })
}

/** Writes a person's text; `parsePerson` gives the same person back. */
export function formatPerson(person: Person): string {
  const { roles, action, seen, linked } = person
  const words = [
    ...roles,
    ...(action === undefined ? [] : [`action=${action}`]),
    ...(seen === true ? ['seen'] : []),
  ]
  return `${words.join(' ')}${linked === undefined ? '' : `${LINKED}${mailboxOf(linked)}`}`
}
