/**
 * Standing: what a sender is to a list, and the action that follows. The most specific record counts (the address
 * before its domain before the domains above), a record's own action before its roles, and the first of its roles
 * before the others.
 */
import type { ListFacts } from './facts.ts'
import type { Action, ListSettings } from './list.ts'
import { type Parsed, parsed } from './parsed.ts'
import type { Role } from './person.ts'
import type { Who } from './who.ts'

/** What somebody is to a list. */
export type Standing = Role | 'banned' | 'stranger'

/** A standing, the record it rests on, and the action that the list has for it. */
export interface Position {
  readonly standing: Standing
  /** The entry that was found, if one was. */
  readonly by: Who | undefined
  readonly action: Action
}

const ACTION_OF_ROLE = {
  owner: 'owner_action',
  moderator: 'moderator_action',
  member: 'member_action',
  nonmember: 'nonmember_action',
} as const satisfies Record<Role, keyof ListSettings>

/**
 * The position of somebody with these keys on a list. A problem if the record that counts cannot be understood:
 * passing over it could permit what it forbids.
 */
export function positionOf(
  keys: readonly Who[],
  list: ListFacts,
  settings: ListSettings,
  siteBans: ReadonlySet<Who>,
): Parsed<Position> {
  const ban = keys.find(key => list.bans.has(key) || siteBans.has(key))
  if (ban !== undefined) return parsed({ standing: 'banned', by: ban, action: 'reject' })
  const by = keys.find(key => list.people.has(key))
  const record = by === undefined ? undefined : list.people.get(by)
  if (record === undefined) return parsed({ standing: 'stranger', by, action: settings.nonmember_action })
  if (!record.ok) return record
  const role = record.value.roles[0] ?? 'nonmember'
  return parsed({ standing: role, by, action: record.value.action ?? settings[ACTION_OF_ROLE[role]] })
}
