/**
 * Redis URLs, as in the `[redis]` section and in `POSTERN_REDIS_URL`: `redis://USER:PASSWORD@HOST:PORT/DB`, `rediss://`
 * for TLS (both registered with IANA), and `unix:///path?db=N`. Problems never repeat the URL: it may hold a password.
 */
import { type Endpoint, parseEndpoint } from '../app/endpoint.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import { Secret } from './secret.ts'

/** Where Redis is, and as whom to log in if the URL says so. */
export interface RedisAddress {
  readonly endpoint: Endpoint
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: Secret | undefined
  readonly db: number
}

export const REDIS_PORT = 6379

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

function dbNumber(text: string | null): number | undefined {
  if (text === null || text === '') return 0
  return /^\d{1,5}$/.test(text) ? Number(text) : undefined
}

function endpointOf(url: URL): Parsed<Endpoint> {
  if (url.protocol === 'unix:') {
    if (url.host !== '') return problem('a unix URL has three slashes: unix:///path')
    const path = decoded(url.pathname)
    if (path === undefined) return problem('the path is badly encoded')
    return parseEndpoint(`unix:${path}`)
  }
  if (url.hostname === '') return problem('a Redis URL needs a host: redis://HOST:PORT')
  const host = decoded(url.hostname)?.replace(/^\[(.*)\]$/, '$1')
  if (host === undefined) return problem('the host is badly encoded')
  return parsed({ kind: 'tcp', host, port: url.port === '' ? REDIS_PORT : Number(url.port) })
}

/** Parses a Redis URL. */
export function parseRedisUrl(text: string): Parsed<RedisAddress> {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return problem('not a URL; characters such as @ / : # in a password are written %40 %2F %3A %23')
  }
  if (!['redis:', 'rediss:', 'unix:'].includes(url.protocol)) {
    return problem('expected a URL that begins with redis://, rediss:// or unix://')
  }
  const endpoint = endpointOf(url)
  if (!endpoint.ok) return endpoint
  const stray = [...url.searchParams.keys()].find(name => name !== 'db')
  if (stray !== undefined || url.hash !== '') return problem('the only parameter of a Redis URL is ?db=N')
  const inPath = url.protocol === 'unix:' ? null : url.pathname.slice(1)
  const db = dbNumber(url.searchParams.get('db') ?? inPath)
  if (db === undefined) return problem('the database is a number: redis://HOST:PORT/0')
  const username = decoded(url.username)
  const password = decoded(url.password)
  if (username === undefined || password === undefined) {
    return problem('the user or the password is badly encoded: % is written %25')
  }
  return parsed({
    endpoint: endpoint.value,
    tls: url.protocol === 'rediss:',
    username: username === '' ? undefined : username,
    password: password === '' ? undefined : new Secret(password),
    db,
  })
}
