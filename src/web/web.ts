/**
 * The web server with all that it answers: put together here, so that only this room knows what it is made of.
 */
import type { Health, Hindrance } from '../app/health.ts'
import { combined } from '../app/meters-reading.ts'
import { hindrancesOf, type ProcessReport } from '../app/process-report.ts'
import { createMetrics, type MetricsParts } from './metrics.ts'
import { createRoutes } from './routes.ts'
import { createWebFront, type WebFront, type WebSettings } from './server.ts'

export interface WebParts extends Omit<MetricsParts, 'isStoreUp' | 'isReady' | 'gather'> {
  readonly health: Health
  /** How all processes are, where there are several; each of them has a web server. */
  readonly gather?: (() => Promise<readonly ProcessReport[]>) | undefined
  readonly settings: WebSettings
}

/** The web front, and what it tells of this process to others. */
export interface Web extends WebFront {
  report(): Promise<Omit<ProcessReport, 'meters'>>
}

/** Makes the web front. Its servers do not listen yet. */
export function createWeb(parts: WebParts): Web {
  const { health, meters, log, gather } = parts
  const hindrances = async (): Promise<readonly Hindrance[]> =>
    gather === undefined ? health.hindrances() : hindrancesOf(await gather())
  const metrics = createMetrics({
    ...parts,
    isStoreUp: async () =>
      gather === undefined
        ? health.isStoreUp()
        : (await hindrances()).every(({ reason }) => reason !== 'store-unavailable'),
    isReady: async () => (await hindrances()).length === 0,
    gather:
      gather &&
      (async () => {
        const reports = await gather()
        const processes = reports.map(report => report.process).filter(each => each.length > 0)
        return { figures: combined(reports.map(report => report.meters)), processes }
      }),
  })
  const routes = createRoutes({ health: { hindrances }, metrics, log })
  const front = createWebFront({
    fetch: request => routes.fetch(request),
    log,
    connections: meters.connections.web,
    get settings() {
      return parts.settings
    },
  })
  return {
    ...front,
    report: async () => ({ hindrances: await health.hindrances(), process: await metrics.process() }),
  }
}
