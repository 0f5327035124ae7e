/**
 * Standing: what a sender is to a list, and the action that follows. The more literal form of the address counts before
 * what it hides; then the most specific record (the address before its domain before the domains above), a record's own
 * action before its roles, and the first of its roles before the others.
 */
import type { AddressKey } from './address.ts'
import type { ListFacts } from './facts.ts'
import type { Action, ListSettings } from './list.ts'
import { type Parsed, parsed } from './parsed.ts'
import type { Role } from './person.ts'
import { type FormStep, formAt, type SenderForms } from './sender-forms.ts'
import { formatWho, type Who } from './who.ts'

/** What somebody is to a list. */
export type Standing = Role | 'banned' | 'stranger'

/**
 * How the entry that counts was found: under the address as it was written, under another name that the site has for
 * the same mailbox (a detail dropped, an alias domain), or under what was taken out of a wrapping (BATV, SRS, VERP). A
 * rule that asks for proof of the sender must not take one that was `decoded`: what proves the address as it was written
 * proves nothing of what somebody wrote into it.
 */
export type Found = 'literal' | 'same-mailbox' | 'decoded'

/** A standing, the record it rests on, and the action that the list has for it. */
export interface Position {
  readonly standing: Standing
  /** The entry that was found, if one was. */
  readonly by: Who | undefined
  readonly action: Action
  readonly found: Found
  /** From the address to the form that the entry is about. */
  readonly steps: readonly FormStep[]
  /** The person whose other address the entry is about. */
  readonly linked?: AddressKey
  /** Whether a moderator has let through a post of theirs. */
  readonly seen: boolean
}

const ACTION_OF_ROLE = {
  owner: 'owner_action',
  moderator: 'moderator_action',
  member: 'member_action',
  nonmember: 'nonmember_action',
} as const satisfies Record<Role, keyof ListSettings>

function isSameMailbox({ kind }: FormStep): boolean {
  return kind === 'detail' || kind === 'alias-domain'
}

/** How an entry was found. */
function wayTo(forms: SenderForms, by: Who | undefined): Pick<Position, 'found' | 'steps'> {
  const steps = by === undefined || forms.forms.length === 1 ? [] : (formAt(forms, by)?.steps ?? [])
  if (steps.length === 0) return { found: 'literal', steps }
  return { found: steps.every(isSameMailbox) ? 'same-mailbox' : 'decoded', steps }
}

/**
 * The position of somebody with these forms on a list. A problem if the record that counts cannot be understood:
 * passing over it could permit what it forbids.
 */
export function positionOf(
  forms: SenderForms,
  list: ListFacts,
  settings: ListSettings,
  siteBans: ReadonlySet<Who>,
): Parsed<Position> {
  const ban = forms.keys.find(key => list.bans.has(key) || siteBans.has(key))
  if (ban !== undefined) {
    return parsed({ standing: 'banned', by: ban, action: 'reject', seen: false, ...wayTo(forms, ban) })
  }
  const by = forms.standing.find(key => list.people.has(key))
  const record = by === undefined ? undefined : list.people.get(by)
  const way = wayTo(forms, by)
  if (record === undefined) {
    return parsed({ standing: 'stranger', by, action: settings.nonmember_action, seen: false, ...way })
  }
  if (!record.ok) return record
  const role = record.value.roles[0] ?? 'nonmember'
  return parsed({
    standing: role,
    by,
    action: record.value.action ?? settings[ACTION_OF_ROLE[role]],
    seen: record.value.seen === true,
    ...way,
    ...(record.value.linked === undefined ? {} : { linked: record.value.linked }),
  })
}

/** The entry of a position and how it was found: `ann@example.org; detail +lists dropped`. */
export function entryInWords({ by, steps, linked }: Position): string {
  const words = [
    ...(by === undefined ? [] : [formatWho(by)]),
    ...steps.map(({ text }) => text),
    ...(linked === undefined ? [] : [`linked to ${linked}`]),
  ]
  return words.join('; ')
}
