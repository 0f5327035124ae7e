/** Counts of names out of several periods, as one list with the most frequent first. */
import type { TopEntry } from '../app/journal.ts'

/** The `limit` most frequent; of equal ones the first by name. */
export function mostFrequent(
  entries: Iterable<readonly [name: string, count: number]>,
  limit: number,
): readonly TopEntry[] {
  const sums = new Map<string, number>()
  for (const [name, count] of entries) sums.set(name, (sums.get(name) ?? 0) + count)
  return [...sums]
    .map(([name, count]) => ({ name, count }))
    .sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1))
    .slice(0, limit)
}
