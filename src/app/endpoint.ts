/**
 * Where a server listens or a client connects: `127.0.0.1:10040`, `[::1]:10040`, `unix:/run/postern/policy`.
 */
import { type Parsed, parsed, problem } from '../core/parsed.ts'

export type Endpoint =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

/** The longest path that a unix socket can have on Linux (`sun_path` less its NUL). */
const MAX_UNIX_PATH = 107

/** Parses an endpoint as it stands in the configuration. Port 0 lets the system choose one. */
export function parseEndpoint(text: string): Parsed<Endpoint> {
  if (text.startsWith('unix:')) {
    const path = text.slice('unix:'.length)
    if (path === '') return problem('expected a path after unix:')
    return Buffer.byteLength(path) > MAX_UNIX_PATH
      ? problem(`a unix socket's path has at most ${MAX_UNIX_PATH} bytes`)
      : parsed({ kind: 'unix', path })
  }
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text)
  const host = match?.[1] ?? match?.[2]
  const port = Number(match?.[3])
  if (host === undefined || port > 65535) {
    return problem('expected HOST:PORT, [IPV6]:PORT or unix:/path')
  }
  return parsed({ kind: 'tcp', host, port })
}

/** Writes an endpoint; `parseEndpoint` gives the same one back. */
export function formatEndpoint(endpoint: Endpoint): string {
  if (endpoint.kind === 'unix') return `unix:${endpoint.path}`
  return endpoint.host.includes(':')
    ? `[${endpoint.host}]:${endpoint.port}`
    : `${endpoint.host}:${endpoint.port}`
}
