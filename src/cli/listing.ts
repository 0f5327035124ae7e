/** Data on stdout: a line an entry, or one JSON array with an entry a line. Of any length, in bounded memory. */
import type { Output } from './output.ts'

export interface Listing<T> {
  readonly json: boolean
  /** An entry as a line; columns are set apart by tabs. */
  readonly text: (entry: T) => string
  /** An entry as JSON. */
  readonly value: (entry: T) => unknown
}

/** Writes a listing. */
export async function list<T>(
  stdout: Output,
  entries: AsyncIterable<T>,
  { json, text, value }: Listing<T>,
): Promise<void> {
  let separator = '['
  for await (const entry of entries) {
    await stdout.add(json ? `${separator}\n${JSON.stringify(value(entry))}` : `${text(entry)}\n`)
    separator = ','
  }
  if (json) await stdout.add(separator === '[' ? '[]\n' : '\n]\n')
  await stdout.flush()
}

/** Writes one JSON value, for people and programs alike. */
export async function jsonValue(stdout: Output, value: unknown): Promise<void> {
  await stdout.line(JSON.stringify(value, undefined, 2))
}

/** Columns of a table: every cell but the last is padded to its column's width. */
export function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = rows.reduce<number[]>((found, row) => {
    row.forEach((cell, index) => {
      found[index] = Math.max(found[index] ?? 0, cell.length)
    })
    return found
  }, [])
  return rows.map(row =>
    row.map((cell, index) => (index === row.length - 1 ? cell : cell.padEnd(widths[index] ?? 0))).join('  '),
  )
}
