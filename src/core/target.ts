/**
 * What a recipient turns out to be, once the facts are there.
 */
import type { Address } from './address.ts'
import type { Facts, ListFacts } from './facts.ts'
import { type ListSettings, SETTINGS } from './list.ts'
import { candidatesOf, resolveCandidate } from './recipient.ts'
import type { ListAddress } from './transaction.ts'

export type Target =
  /** In no list domain. */
  | { readonly kind: 'elsewhere' }
  /** A list domain's postmaster (RFC 5321 §4.5.1), who is the MTA's to find. */
  | { readonly kind: 'postmaster' }
  /** In a list domain, and nothing there. `name` is the address in canonical form. */
  | { readonly kind: 'unknown'; readonly name: ListAddress }
  /** A list whose settings, or whose domain's, cannot be understood. */
  | { readonly kind: 'unreadable'; readonly list: ListFacts; readonly problem: string }
  /** In a list domain whose settings cannot be understood: whether there is such a list cannot be said. */
  | { readonly kind: 'uncertain'; readonly name: ListAddress; readonly problem: string }
  /** A list's posting address. */
  | { readonly kind: 'posting'; readonly list: ListFacts; readonly settings: ListSettings }
  /** One of a list's service addresses. */
  | {
      readonly kind: 'service'
      readonly list: ListFacts
      readonly settings: ListSettings
      readonly service: string
    }

/** Finds out what the recipient is. */
export function targetOf(recipient: Address, facts: Facts): Target {
  const { domain } = facts
  if (domain === undefined) return { kind: 'elsewhere' }
  const candidate = resolveCandidate(candidatesOf(recipient), address => {
    const list = facts.lists.get(address)
    if (list === undefined) return undefined
    return list.settings.ok ? list.settings.value.flavour : SETTINGS.flavour.initial
  })
  const list = candidate === undefined ? undefined : facts.lists.get(candidate.list)
  if (candidate === undefined || list === undefined) {
    if (recipient.localPart.toLowerCase() === 'postmaster') return { kind: 'postmaster' }
    return domain.ok
      ? { kind: 'unknown', name: recipient.key }
      : { kind: 'uncertain', name: recipient.key, problem: domain.problem }
  }
  if (!domain.ok) return { kind: 'unreadable', list, problem: domain.problem }
  if (!list.settings.ok) return { kind: 'unreadable', list, problem: list.settings.problem }
  const settings = list.settings.value
  return candidate.service === undefined
    ? { kind: 'posting', list, settings }
    : { kind: 'service', list, settings, service: candidate.service }
}
