/**
 * Latencies as a histogram in Prometheus's text format 0.0.4. They are counted by buckets where they arise, which a
 * histogram of prom-client's cannot be given afterwards.
 */
import { LATENCY_LIMITS, type Latencies } from '../app/meters.ts'

const NO_LATENCIES: Latencies = { counts: [], sum: 0 }

/** The lines of a histogram in seconds, with one series for each of the fronts. */
export function latencyHistogram(
  name: string,
  help: string,
  fronts: readonly string[],
  latencies: ReadonlyMap<string, Latencies>,
): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`]
  for (const front of fronts) {
    const { counts, sum } = latencies.get(front) ?? NO_LATENCIES
    let count = 0
    for (const [place, limit] of LATENCY_LIMITS.entries()) {
      count += counts[place] ?? 0
      lines.push(`${name}_bucket{le="${limit / 1000}",front="${front}"} ${count}`)
    }
    count += counts[LATENCY_LIMITS.length] ?? 0
    lines.push(`${name}_bucket{le="+Inf",front="${front}"} ${count}`)
    lines.push(`${name}_sum{front="${front}"} ${sum / 1000}`)
    lines.push(`${name}_count{front="${front}"} ${count}`)
  }
  return `${lines.join('\n')}\n`
}
