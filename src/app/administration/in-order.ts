/**
 * Listings in a stable order, in bounded memory. A store lists a million people in whatever order it keeps them, some
 * of them perhaps twice; here they come sorted and once. What does not fit is read again: each pass keeps the
 * smallest keys that are greater than those already given.
 */

/** How many entries are held at a time: one pass for all but the largest lists. */
const HELD = 200_000

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/**
 * Gives the entries of a listing by their keys' code units, each key once. `list` is called about once for each `held`
 * entries; an entry that is added or removed meanwhile may be given or not.
 */
export async function* inOrder<T>(
  list: () => AsyncIterable<T>,
  keyOf: (entry: T) => string,
  held: number = HELD,
): AsyncGenerator<T, void, undefined> {
  let last: string | undefined
  for (;;) {
    // Twice as many are gathered before the greater half is dropped, so that sorting stays cheap.
    let kept = new Map<string, T>()
    let bound: string | undefined
    let dropped = false
    const smallest = (): [string, T][] => [...kept].sort(([a], [b]) => compare(a, b))
    for await (const entry of list()) {
      const key = keyOf(entry)
      if ((last !== undefined && key <= last) || (bound !== undefined && key > bound)) continue
      kept.set(key, entry)
      if (kept.size < 2 * held) continue
      const sorted = smallest().slice(0, held)
      kept = new Map(sorted)
      bound = sorted[sorted.length - 1]?.[0]
      dropped = true
    }
    const pass = smallest()
    for (const [, entry] of dropped ? pass.slice(0, held) : pass) yield entry
    if (!dropped) return
    last = pass[held - 1]?.[0]
  }
}
