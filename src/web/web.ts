/**
 * The web server with all that it answers: put together here, so that only this room knows what it is made of.
 */
import type { Health } from '../app/health.ts'
import { createMetrics, type MetricsParts } from './metrics.ts'
import { createRoutes } from './routes.ts'
import { createWebFront, type WebFront, type WebSettings } from './server.ts'

export interface WebParts extends Omit<MetricsParts, 'isStoreUp' | 'isReady'> {
  readonly health: Health
  readonly settings: WebSettings
}

/** Makes the web front. Its servers do not listen yet. */
export function createWeb(parts: WebParts): WebFront {
  const { health, meters, log } = parts
  const metrics = createMetrics({
    ...parts,
    isStoreUp: () => health.isStoreUp(),
    isReady: async () => (await health.hindrances()).length === 0,
  })
  const routes = createRoutes({ health, metrics, log })
  return createWebFront({
    fetch: request => routes.fetch(request),
    log,
    connections: meters.connections.web,
    get settings() {
      return parts.settings
    },
  })
}
