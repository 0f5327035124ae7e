/**
 * Patterns that operators write: regular expressions in RE2's syntax, which run in time linear in what they look at. A
 * backtracking engine would let one pattern, or one message, stop every decision.
 */
import { RE2JS } from 're2js'
import { type Parsed, parsed, problem } from './parsed.ts'

/** A pattern that was understood. */
export interface Pattern {
  /** As written. */
  readonly text: string
  /** Whether it is found anywhere in the subject, whatever the case. `^` and `$` are the subject's ends. */
  found(subject: string): boolean
}

/** In characters. */
export const MAX_PATTERN_LENGTH = 1000

/** Compiled patterns that are kept: the same ones are read with a list's settings again and again. */
const MAX_KEPT = 1000
const kept = new Map<string, Parsed<Pattern>>()

function compile(text: string): Parsed<Pattern> {
  if (text === '') return problem('a pattern must not be empty')
  if (text.length > MAX_PATTERN_LENGTH) {
    return problem(`a pattern has at most ${MAX_PATTERN_LENGTH} characters`)
  }
  try {
    const compiled = RE2JS.compile(text, RE2JS.CASE_INSENSITIVE)
    return parsed({ text, found: (subject: string): boolean => compiled.matcher(subject).find() })
  } catch (error) {
    const why = error instanceof Error ? error.message.replace(/^error parsing regexp: /, '') : String(error)
    return problem(`not a pattern of RE2: ${why}`)
  }
}

/** Understands a pattern. */
export function parsePattern(text: string): Parsed<Pattern> {
  const known = kept.get(text)
  if (known !== undefined) return known
  const pattern = compile(text)
  if (kept.size >= MAX_KEPT) kept.delete(kept.keys().next().value ?? '')
  kept.set(text, pattern)
  return pattern
}
