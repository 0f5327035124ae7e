/** Work that may be wanted by many at once, done by a few at a time, in the order in which it was asked for. */

/** Gives a function that runs what it is given, at most `limit` at a time. */
export function atMost(limit: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0
  const waiting: (() => void)[] = []
  return async work => {
    if (running >= limit) await new Promise<void>(resolve => waiting.push(resolve))
    else running++
    try {
      return await work()
    } finally {
      // Whoever comes next takes the place over, so that the count stays as it is.
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
