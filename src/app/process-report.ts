/** How one process of the daemon is, as it tells the others where there are several. */
import type { Hindrance } from './health.ts'
import type { MetersReading } from './meters-reading.ts'

export interface ProcessReport {
  readonly meters: MetersReading
  readonly hindrances: readonly Hindrance[]
  /** What prom-client says of the process; empty if it does not know. */
  readonly process: readonly object[]
}

/** What is in the way of any of them. */
export function hindrancesOf(reports: readonly ProcessReport[]): readonly Hindrance[] {
  const different = new Map(reports.flatMap(each => each.hindrances.map(one => [JSON.stringify(one), one])))
  return [...different.values()]
}
