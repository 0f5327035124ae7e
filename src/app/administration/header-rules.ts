/** A list's header rules, one at a time: their order is their meaning. */
import {
  formatHeaderRule,
  type HeaderRule,
  MAX_HEADER_RULES,
  parseHeaderRule,
} from '../../core/header-rules.ts'
import type { ListAddress } from '../../core/transaction.ts'
import type { Directory } from '../ports.ts'
import { readableList, readListAddress } from './lists.ts'
import { done, type Outcome, refused } from './problem.ts'

/** A rule and its place, from 1. */
export interface PlacedRule {
  readonly place: number
  readonly rule: HeaderRule
}

export interface ChangedRule extends PlacedRule {
  readonly address: ListAddress
}

/** A rule as it is written. */
export const ruleInWords = ({ rule }: PlacedRule): string => formatHeaderRule(rule)

export class HeaderRules {
  readonly #directory: Directory

  constructor(directory: Directory) {
    this.#directory = directory
  }

  async #read(text: string): Promise<Outcome<{ address: ListAddress; rules: readonly HeaderRule[] }>> {
    const parsed = readListAddress(text)
    if (!parsed.ok) return parsed
    const list = await readableList(this.#directory, parsed.value.key)
    if (!list.ok) return list
    return done({ address: list.value.address, rules: list.value.settings.header_rules })
  }

  async #write(address: ListAddress, rules: readonly HeaderRule[]): Promise<Outcome<undefined>> {
    return (await this.#directory.updateList(address, { header_rules: rules })) === undefined
      ? refused('list-unknown', `there is no list ${address}`)
      : done(undefined)
  }

  /** The rules in their order. */
  async all(text: string): Promise<Outcome<readonly PlacedRule[]>> {
    const list = await this.#read(text)
    return list.ok ? done(list.value.rules.map((rule, index) => ({ place: index + 1, rule }))) : list
  }

  /** Adds a rule at the end, or before the one in a place. */
  async add(text: string, ruleText: string, before?: number): Promise<Outcome<ChangedRule>> {
    const rule = parseHeaderRule(ruleText)
    if (!rule.ok) return refused('rule-invalid', `${JSON.stringify(ruleText)}: ${rule.problem}`)
    const list = await this.#read(text)
    if (!list.ok) return list
    const { address, rules } = list.value
    const place = before ?? rules.length + 1
    if (before !== undefined && rules[before - 1] === undefined) return noRule(address, before)
    if (rules.length >= MAX_HEADER_RULES) {
      return refused('rule-invalid', `a list has at most ${MAX_HEADER_RULES} header rules`)
    }
    const written = await this.#write(address, rules.toSpliced(place - 1, 0, rule.value))
    return written.ok ? done({ address, place, rule: rule.value }) : written
  }

  /** Removes the rule in a place. */
  async remove(text: string, place: number): Promise<Outcome<ChangedRule>> {
    const list = await this.#read(text)
    if (!list.ok) return list
    const { address, rules } = list.value
    const rule = rules[place - 1]
    if (rule === undefined) return noRule(address, place)
    const written = await this.#write(address, rules.toSpliced(place - 1, 1))
    return written.ok ? done({ address, place, rule }) : written
  }
}

function noRule(address: ListAddress, place: number): Outcome<never> {
  return refused('rule-unknown', `${address} has no header rule ${place}`)
}
