/**
 * What a person (or a whole domain) is to a list: roles, and an action of its own that goes before the list's. As
 * text, in Redis and in the import document: `member`, `owner member`, `nonmember action=hold`.
 */
import { ACTIONS, type Action } from './list.ts'
import { type Parsed, parsed, problem } from './parsed.ts'

/** Roles, the one that decides first standing first. */
export const ROLES = ['owner', 'moderator', 'member', 'nonmember'] as const
export type Role = (typeof ROLES)[number]

/** A record of somebody on a list. At least one role, in the order of `ROLES`. */
export interface Person {
  readonly roles: readonly Role[]
  readonly action?: Action
}

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
  for (const word of text.split(' ').filter(word => word !== '')) {
    const role = ROLES.find(candidate => candidate === word)
    const own = ACTIONS.find(candidate => `action=${candidate}` === word)
    if (role !== undefined) roles.push(role)
    else if (own !== undefined) action = own
    else return problem(`expected roles and at most one action=…, not ${JSON.stringify(word)}`)
  }
  return makePerson(roles, action)
}

/** Writes a person's text; `parsePerson` gives the same person back. */
export function formatPerson(person: Person): string {
  return [...person.roles, ...(person.action === undefined ? [] : [`action=${person.action}`])].join(' ')
}
