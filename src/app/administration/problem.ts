/**
 * What administration answers: a value, or a problem with a stable code. The codes are the same at the command line
 * and wherever else people administer; what is done about each is the caller's business.
 */
import type { Parsed } from '../../core/parsed.ts'

/** The request itself cannot be understood, whatever the store holds. */
export const MALFORMED_CODES = [
  'domain-invalid',
  'list-invalid',
  'preset-invalid',
  'setting-invalid',
  'rule-invalid',
  'domain-setting-invalid',
  'role-invalid',
  'action-invalid',
  'who-invalid',
  'mta-invalid',
  'selection-invalid',
] as const

/** The request is sound, and what the store holds speaks against it. */
export const REFUSED_CODES = [
  'domain-unknown',
  'domain-in-use',
  'list-unknown',
  'list-exists',
  'list-unreadable',
  'delivery-unknown',
  'rule-unknown',
  'person-unknown',
  'person-unreadable',
  'person-known',
  'person-linked',
  'role-unheld',
  'ban-unknown',
  'forbidden-unknown',
  'mta-unlisted',
] as const

export type MalformedCode = (typeof MALFORMED_CODES)[number]
export type RefusedCode = (typeof REFUSED_CODES)[number]
export type ProblemCode = MalformedCode | RefusedCode

/** Why nothing was done. */
export interface Problem {
  readonly code: ProblemCode
  /** One sentence without a full stop, fit for an operator's eyes. */
  readonly sentence: string
}

/** The result of a use case. */
export type Outcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: Problem }

/** It was done. */
export function done<T>(value: T): Outcome<T> {
  return { ok: true, value }
}

/** It was not done. */
export function refused(code: ProblemCode, sentence: string): Outcome<never> {
  return { ok: false, problem: { code, sentence } }
}

/** A parser's result as an outcome: a failure gets its code, and names the text that could not be read. */
export function outcomeOf<T>(result: Parsed<T>, code: MalformedCode, text: string): Outcome<T> {
  return result.ok ? result : refused(code, `${JSON.stringify(text)}: ${result.problem}`)
}

/** Whether the request was at fault, and not what the store holds. */
export function isMalformed(problem: Problem): boolean {
  return MALFORMED_CODES.some(code => code === problem.code)
}
