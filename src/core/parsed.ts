/**
 * The result of a parser: a value, or a problem that says in one sentence what is wrong. Parsers return it and
 * never throw, so that what came from the network or from an operator's hands is always dealt with where it is
 * read.
 */
export type Parsed<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly problem: string }

/** A parser's success. */
export function parsed<T>(value: T): Parsed<T> {
  return { ok: true, value }
}

/** A parser's failure; `problem` is one sentence without a full stop, fit for an operator's eyes. */
export function problem(sentence: string): Parsed<never> {
  return { ok: false, problem: sentence }
}
