/**
 * The people of a list. Adding a role keeps the roles that somebody has, and an action stays until another one is given;
 * removing somebody without naming a role removes the whole record.
 */
import { ACTIONS, type Action } from '../../core/list.ts'
import { type Parsed, problem } from '../../core/parsed.ts'
import { formatPerson, makePerson, type Person, parsePerson, ROLES, type Role } from '../../core/person.ts'
import type { ListAddress } from '../../core/transaction.ts'
import { formatWho, parseWho, type Who } from '../../core/who.ts'
import type { Change, Directory } from '../ports.ts'
import { inOrder } from './in-order.ts'
import { readListAddress } from './lists.ts'
import { done, type Outcome, outcomeOf, refused } from './problem.ts'

/** What somebody becomes. Without a role, somebody new becomes a member. */
export interface PersonRequest {
  readonly roles?: readonly string[]
  /** One of the actions, or `none` for no action of one's own. */
  readonly action?: string | undefined
}

/** The same, understood. */
export interface Grant {
  readonly roles: readonly Role[]
  /** `undefined` leaves the action as it is. */
  readonly action: Action | 'none' | undefined
}

export interface PersonListing {
  readonly who: Who
  /** A problem if the record cannot be understood. */
  readonly person: Parsed<Person>
}

export interface ChangedPerson {
  readonly who: Who
  readonly change: Change
  readonly person: Person
}

export interface RemovedPerson {
  readonly who: Who
  /** What is left of the record, if only a role was removed. */
  readonly left: Person | undefined
}

/** Reads an address, `@domain` or `@.domain`. */
export function readWho(text: string): Outcome<Who> {
  return outcomeOf(parseWho(text), 'who-invalid', text)
}

function readRole(text: string): Outcome<Role> {
  const role = ROLES.find(candidate => candidate === text)
  return role === undefined
    ? refused('role-invalid', `${JSON.stringify(text)}: expected one of ${ROLES.join(', ')}`)
    : done(role)
}

/** Reads what somebody is to become. */
export function readGrant(request: PersonRequest): Outcome<Grant> {
  const roles: Role[] = []
  for (const text of request.roles ?? []) {
    const role = readRole(text)
    if (!role.ok) return role
    roles.push(role.value)
  }
  if (request.action === undefined) return done({ roles, action: undefined })
  const action = ([...ACTIONS, 'none'] as const).find(candidate => candidate === request.action)
  return action === undefined
    ? refused(
        'action-invalid',
        `${JSON.stringify(request.action)}: expected one of ${ACTIONS.join(', ')}, or none`,
      )
    : done({ roles, action })
}

/** What a record becomes by a grant. */
function granted(before: Person | undefined, grant: Grant): Parsed<Person> {
  // `--action hold` for an owner is about that owner's posts, and makes no member of them.
  const onlyAction = before !== undefined && grant.roles.length === 0 && grant.action !== undefined
  const added: readonly Role[] = grant.roles.length > 0 ? grant.roles : onlyAction ? [] : ['member']
  const action = grant.action ?? before?.action
  return makePerson([...(before?.roles ?? []), ...added], action === 'none' ? undefined : action)
}

/** Stands before a problem where else a person's text would stand. */
const UNREADABLE = '!'

/** A list's people by address. */
export function peopleInOrder(directory: Directory, list: ListAddress): AsyncIterable<PersonListing> {
  return inOrder<PersonListing>(() => directory.people(list), {
    key: ({ who }) => who,
    write: ({ person }) => (person.ok ? formatPerson(person.value) : UNREADABLE + person.problem),
    read: (who, text) => ({
      who: who as Who,
      person: text.startsWith(UNREADABLE) ? problem(text.slice(UNREADABLE.length)) : parsePerson(text),
    }),
  })
}

export class People {
  readonly #directory: Directory

  constructor(directory: Directory) {
    this.#directory = directory
  }

  /** The list that people are to be added to or taken from. */
  async list(text: string): Promise<Outcome<ListAddress>> {
    const parsed = readListAddress(text)
    if (!parsed.ok) return parsed
    const { key } = parsed.value
    return (await this.#directory.getList(key)) === undefined
      ? refused('list-unknown', `there is no list ${key}`)
      : done(key)
  }

  /** Adds somebody to a list, or adds to what they are. A record that cannot be understood is replaced. */
  async add(list: ListAddress, who: Who, grant: Grant): Promise<Outcome<ChangedPerson>> {
    const before = await this.#directory.getPerson(list, who)
    const person = granted(before?.ok === true ? before.value : undefined, grant)
    if (!person.ok) return refused('role-invalid', person.problem)
    const change = await this.#directory.putPerson(list, { who, person: person.value })
    return change === undefined
      ? refused('list-unknown', `there is no list ${list}`)
      : done({ who, change, person: person.value })
  }

  /** Removes somebody's record, or one of their roles; with the last role goes the record. */
  async remove(list: ListAddress, who: Who, roleText?: string): Promise<Outcome<RemovedPerson>> {
    const role = roleText === undefined ? done(undefined) : readRole(roleText)
    if (!role.ok) return role
    if (role.value !== undefined) {
      const before = await this.#directory.getPerson(list, who)
      if (before?.ok === false) {
        return refused(
          'person-unreadable',
          `the record of ${formatWho(who)} cannot be understood: ${before.problem}`,
        )
      }
      if (before !== undefined && !before.value.roles.includes(role.value)) {
        return refused('role-unheld', `${formatWho(who)} does not have the role ${role.value} on ${list}`)
      }
      const left = makePerson(
        before?.value.roles.filter(held => held !== role.value) ?? [],
        before?.value.action,
      )
      if (left.ok) {
        const change = await this.#directory.putPerson(list, { who, person: left.value })
        return change === undefined
          ? refused('list-unknown', `there is no list ${list}`)
          : done({ who, left: left.value })
      }
    }
    return (await this.#directory.removePerson(list, who))
      ? done({ who, left: undefined })
      : refused('person-unknown', `${formatWho(who)} is not on ${list}`)
  }

  /** A list's people by address, all of them or those with a role. Records not understood are always among them. */
  all(list: ListAddress, roleText?: string): Outcome<AsyncIterable<PersonListing>> {
    const role = roleText === undefined ? done(undefined) : readRole(roleText)
    if (!role.ok) return role
    return done(this.#listed(list, role.value))
  }

  async *#listed(list: ListAddress, role: Role | undefined): AsyncGenerator<PersonListing> {
    for await (const entry of peopleInOrder(this.#directory, list)) {
      if (role === undefined || !entry.person.ok || entry.person.value.roles.includes(role)) yield entry
    }
  }
}
