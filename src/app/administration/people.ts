/**
 * The people of a list. Adding a role keeps the roles that somebody has, and an action stays until another one is given;
 * removing somebody without naming a role removes the whole record.
 *
 * Somebody's other addresses are linked to theirs: records with a copy of what they are, kept alike. The copies change
 * before the person, so that a change that was interrupted is carried on by making it again.
 */
import { type AddressKey, mailboxOf, parseAddress } from '../../core/address.ts'
import { ACTIONS, type Action } from '../../core/list.ts'
import { type Parsed, parsed, problem } from '../../core/parsed.ts'
import { formatPerson, makePerson, type Person, parsePerson, ROLES, type Role } from '../../core/person.ts'
import type { ListAddress } from '../../core/transaction.ts'
import { formatWho, isAboutDomain, parseWho, type Who, whoIs } from '../../core/who.ts'
import type { Change, Directory } from '../ports.ts'
import { inOrder } from './in-order.ts'
import { Links } from './links.ts'
import { readListAddress } from './lists.ts'
import { done, type Outcome, outcomeOf, refused } from './problem.ts'

/** What somebody becomes. Without a role, somebody new becomes a member. */
export interface PersonRequest {
  readonly roles?: readonly string[]
  /** One of the actions, or `none` for no action of one's own. */
  readonly action?: string | undefined
}

/** Reads the address of the person to whom another address is linked. */
export function readLinkTarget(text: string): Outcome<Who> {
  const address = parseAddress(text)
  return address.ok ? done(whoIs(address.value)) : outcomeOf(address, 'who-invalid', text)
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
  /** Other addresses of theirs that were changed with them. */
  readonly linked: readonly Who[]
}

export interface RemovedPerson {
  readonly who: Who
  /** What is left of the record, if only a role was removed. */
  readonly left: Person | undefined
  /** Other addresses of theirs that went with them, or have become what is left. */
  readonly linked: readonly Who[]
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
  const person = makePerson([...(before?.roles ?? []), ...added], action === 'none' ? undefined : action)
  return person.ok && before?.seen === true ? parsed({ ...person.value, seen: true }) : person
}

/** What somebody is without a role; undefined if it was the only one. */
function without(before: Person, role: Role): Person | undefined {
  const { action, seen } = before
  const left = makePerson(
    before.roles.filter(held => held !== role),
    action,
  )
  if (!left.ok) return undefined
  return seen === undefined ? left.value : { ...left.value, seen }
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

function isLinked(who: Who, to: AddressKey): Outcome<never> {
  return refused(
    'person-linked',
    `${formatWho(who)} is another address of ${mailboxOf(to)}, who is to be changed instead; or remove it first`,
  )
}

function unreadable(who: Who, why: string): Outcome<never> {
  return refused('person-unreadable', `the record of ${formatWho(who)} cannot be understood: ${why}`)
}

export class People {
  readonly #directory: Directory

  constructor(directory: Directory) {
    this.#directory = directory
  }

  /** The list that people are to be added to or taken from. */
  async list(text: string): Promise<Outcome<ListAddress>> {
    const address = readListAddress(text)
    if (!address.ok) return address
    const { key } = address.value
    return (await this.#directory.getList(key)) === undefined
      ? refused('list-unknown', `there is no list ${key}`)
      : done(key)
  }

  /** A list's linked addresses, read once for as many changes as they are given to. */
  links(list: ListAddress): Links {
    return new Links(this.#directory, list)
  }

  /** Adds somebody to a list, or adds to what they are. A record that cannot be understood is replaced. */
  async add(
    list: ListAddress,
    who: Who,
    grant: Grant,
    links: Links = this.links(list),
  ): Promise<Outcome<ChangedPerson>> {
    const found = await this.#directory.getPerson(list, who)
    const before = found?.ok === true ? found.value : undefined
    if (before?.linked !== undefined) return isLinked(who, before.linked)
    const person = granted(before, grant)
    if (!person.ok) return refused('role-invalid', person.problem)
    return this.#put(list, who, person.value, found, links)
  }

  /** Notes that a moderator has let through a post of somebody's who is on the list, in all their records. */
  async letThrough(list: ListAddress, who: Who): Promise<Outcome<ChangedPerson>> {
    const found = await this.#directory.getPerson(list, who)
    if (found === undefined) return refused('person-unknown', `${formatWho(who)} is not on ${list}`)
    if (!found.ok) return unreadable(who, found.problem)
    return this.#put(list, who, { ...found.value, seen: true }, found, this.links(list))
  }

  /** Makes an address another one of somebody who is on the list. */
  async link(list: ListAddress, who: Who, to: Who): Promise<Outcome<ChangedPerson>> {
    if (isAboutDomain(who)) return refused('who-invalid', `${who}: only an address can be linked to another`)
    const linked = to as string as AddressKey
    if (who === to) return refused('who-invalid', `${formatWho(who)} is that address already`)
    const person = await this.#directory.getPerson(list, to)
    if (person === undefined) return refused('person-unknown', `${formatWho(to)} is not on ${list}`)
    if (!person.ok) return unreadable(to, person.problem)
    if (person.value.linked !== undefined) return isLinked(to, person.value.linked)
    const before = await this.#directory.getPerson(list, who)
    if (before?.ok === true && before.value.linked !== linked) {
      return before.value.linked === undefined
        ? refused('person-known', `${formatWho(who)} is on ${list} in their own right; remove that first`)
        : isLinked(who, before.value.linked)
    }
    return this.#put(list, who, { ...person.value, linked }, undefined, this.links(list))
  }

  /** Puts a record, and that of every address linked to it. */
  async #put(
    list: ListAddress,
    who: Who,
    person: Person,
    before: Parsed<Person> | undefined,
    links: Links,
  ): Promise<Outcome<ChangedPerson>> {
    // Somebody new has no other addresses, and what stays as it is changes none.
    const isSame = before?.ok === true && formatPerson(before.value) === formatPerson(person)
    const linked = before === undefined || isSame ? [] : await links.of(who)
    for (const other of linked) {
      await this.#directory.putPerson(list, {
        who: other,
        person: { ...person, linked: who as string as AddressKey },
      })
    }
    const change = await this.#directory.putPerson(list, { who, person })
    return change === undefined
      ? refused('list-unknown', `there is no list ${list}`)
      : done({ who, change, person, linked })
  }

  /** Removes somebody's record, or one of their roles; with the last role goes the record. */
  async remove(
    list: ListAddress,
    who: Who,
    roleText?: string,
    links: Links = this.links(list),
  ): Promise<Outcome<RemovedPerson>> {
    const role = roleText === undefined ? done(undefined) : readRole(roleText)
    if (!role.ok) return role
    const unknown = refused('person-unknown', `${formatWho(who)} is not on ${list}`)
    const before = await this.#directory.getPerson(list, who)
    if (before === undefined) return unknown
    if (role.value !== undefined) {
      if (!before.ok) return unreadable(who, before.problem)
      const { roles, linked } = before.value
      if (linked !== undefined) return isLinked(who, linked)
      if (!roles.includes(role.value)) {
        return refused('role-unheld', `${formatWho(who)} does not have the role ${role.value} on ${list}`)
      }
      const left = without(before.value, role.value)
      if (left !== undefined) {
        const put = await this.#put(list, who, left, before, links)
        return put.ok ? done({ who, left, linked: put.value.linked }) : put
      }
    }
    const linked = before.ok && before.value.linked !== undefined ? [] : await links.of(who)
    for (const other of linked) await this.#directory.removePerson(list, other)
    return (await this.#directory.removePerson(list, who)) ? done({ who, left: undefined, linked }) : unknown
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
