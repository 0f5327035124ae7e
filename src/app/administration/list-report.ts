/** What there is to say about a list: its settings, its people and bans in numbers, and where its mail goes. */
import { type ChosenDelivery, chosenDelivery } from '../../core/chosen-delivery.ts'
import type { ListSettings, Preset } from '../../core/list.ts'
import type { Role } from '../../core/person.ts'
import type { ListAddress } from '../../core/transaction.ts'
import type { Directory } from '../ports.ts'
import { presetsOf, readableList, readListAddress } from './lists.ts'
import { done, type Outcome } from './problem.ts'

export interface ListReport {
  readonly address: ListAddress
  readonly settings: ListSettings
  readonly presets: readonly Preset[]
  /** How many hold each role; somebody with two is counted in both. */
  readonly roles: Readonly<Record<Role, number>>
  readonly people: {
    readonly total: number
    readonly withAction: number
    /** Records that cannot be understood. Mail of these people is deferred. */
    readonly unreadable: number
  }
  readonly bans: number
  /** Where its mail goes, if the list or its domain has chosen; else it goes where the site says. */
  readonly delivery: ChosenDelivery | undefined
}

/** Counts and reads; a long list is read once, from end to end. */
export async function reportOf(directory: Directory, text: string): Promise<Outcome<ListReport>> {
  const parsed = readListAddress(text)
  if (!parsed.ok) return parsed
  const list = await readableList(directory, parsed.value.key)
  if (!list.ok) return list
  const { address, settings } = list.value
  const roles: Record<Role, number> = { owner: 0, moderator: 0, member: 0, nonmember: 0 }
  const people = { total: 0, withAction: 0, unreadable: 0 }
  for await (const { person } of directory.people(address)) {
    people.total++
    if (!person.ok) people.unreadable++
    else {
      for (const role of person.value.roles) roles[role]++
      if (person.value.action !== undefined) people.withAction++
    }
  }
  let bans = 0
  for await (const _ of directory.bans(address)) bans++
  const delivery = chosenDelivery(settings, await directory.getDomain(parsed.value.domain))
  return done({ address, settings, presets: presetsOf(settings), roles, people, bans, delivery })
}
