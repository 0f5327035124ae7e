/**
 * A list's own rules over a message's header, one a line: what happens, the field's name, and a pattern for its value:
 *
 *     hold Subject: \[urgent\]
 *     reject X-Spam-Flag: ^yes
 *
 * The first one that fits counts. `*` is any field.
 */

import { CONTENT_ACTIONS, type ContentAction, type HeaderField } from './content.ts'
import { type Parsed, parsed, problem } from './parsed.ts'
import { type Pattern, parsePattern } from './pattern.ts'

export interface HeaderRule {
  readonly action: ContentAction
  /** In lower case, or `*`. */
  readonly field: string
  readonly pattern: Pattern
}

/** Rules of one list. */
export const MAX_HEADER_RULES = 100

const RULE = /^(\S+)\s+([!-9;-~]+|\*):\s*(.*)$/

/** Reads one rule. */
export function parseHeaderRule(line: string): Parsed<HeaderRule> {
  const match = RULE.exec(line.trim())
  if (match === null) return problem('a header rule is like: hold Subject: pattern')
  const [, word = '', name = '', text = ''] = match
  const action = CONTENT_ACTIONS.find(known => known === word)
  if (action === undefined) return problem(`a header rule begins with ${CONTENT_ACTIONS.join(', ')}`)
  const pattern = parsePattern(text)
  return pattern.ok ? parsed({ action, field: name.toLowerCase(), pattern: pattern.value }) : pattern
}

/** Reads rules, one a line; empty lines are passed over. */
export function parseHeaderRules(text: string): Parsed<readonly HeaderRule[]> {
  const rules: HeaderRule[] = []
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue
    const rule = parseHeaderRule(line)
    if (!rule.ok) return problem(`${rule.problem} (${JSON.stringify(line.trim())})`)
    rules.push(rule.value)
    if (rules.length > MAX_HEADER_RULES) return problem(`a list has at most ${MAX_HEADER_RULES} header rules`)
  }
  return parsed(rules)
}

/** Writes a rule; `parseHeaderRule` gives the same one back. */
export function formatHeaderRule({ action, field, pattern }: HeaderRule): string {
  return `${action} ${field}: ${pattern.text}`
}

/** The first rule that fits a header. */
export function ruleThatFits(
  rules: readonly HeaderRule[],
  fields: readonly HeaderField[],
): HeaderRule | undefined {
  return rules.find(rule =>
    fields.some(
      ({ name, value }) => (rule.field === '*' || rule.field === name) && rule.pattern.found(value),
    ),
  )
}
