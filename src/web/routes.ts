/**
 * What is answered where. Health and figures need no login: they say nothing about mail, people or lists.
 */
import { Hono } from 'hono'
import type { Health, Hindrance } from '../app/health.ts'
import type { Log } from '../app/log.ts'

export interface RouteParts {
  readonly health: Pick<Health, 'hindrances'>
  /** The figures for Prometheus, and what their text is called. */
  readonly metrics: { readonly contentType: string; text(): Promise<string> }
  readonly log: Log
}

const SENTENCES: Readonly<Record<Hindrance['reason'], string>> = {
  stopping: 'it is about to end',
  'store-unavailable': 'the store does not answer',
  'not-listening': 'a front does not listen',
}

function inWords(hindrance: Hindrance): string {
  const front = 'front' in hindrance ? `: ${hindrance.front}` : ''
  return `${hindrance.reason}${front} (${SENTENCES[hindrance.reason]})`
}

/** Whether somebody who asks wants JSON, and not text. */
function wantsJson(accept: string | undefined): boolean {
  return /\bapplication\/json\b/.test(accept ?? '')
}

export function createRoutes({ health, metrics, log }: RouteParts): Hono {
  const routes = new Hono()

  routes.get('/healthz', c =>
    wantsJson(c.req.header('Accept')) ? c.json({ status: 'alive' }) : c.text('alive\n'),
  )

  routes.get('/readyz', async c => {
    const hindrances = await health.hindrances()
    const isReady = hindrances.length === 0
    const status = isReady ? 200 : 503
    if (wantsJson(c.req.header('Accept'))) {
      return c.json({ status: isReady ? 'ready' : 'not ready', hindrances }, status)
    }
    const text = isReady ? 'ready' : `not ready: ${hindrances.map(inWords).join(', ')}`
    return c.text(`${text}\n`, status)
  })

  routes.get('/metrics', async c =>
    c.body(await metrics.text(), 200, { 'Content-Type': metrics.contentType }),
  )

  routes.notFound(c => c.text('There is nothing here\n', 404))

  routes.onError((cause, c) => {
    log.error('web request failed', { path: c.req.path, cause })
    return c.text('Internal error\n', 500)
  })

  return routes
}
