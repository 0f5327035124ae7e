/**
 * What every answer carries, and which requests are not listened to at all. Browsers are why: a page of somebody else's
 * must not be able to read from here by a name of its own that leads to this host (DNS rebinding), to frame what is
 * here, or to have anything of its own run in it.
 */
import { parseIpAddress } from '../core/network.ts'

/** Nothing may be loaded, run, framed or kept; a page that needs more says so itself. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
}

/** A request as far as it matters here. */
export interface RequestLine {
  readonly method: string | undefined
  readonly target: string | undefined
  readonly httpVersion: string
  /** Every Host field. */
  readonly hosts: readonly string[]
  /** Whether a body is said to follow. */
  readonly hasBody: boolean
}

/** Why a request is not listened to. */
export interface Objection {
  readonly status: 400 | 405 | 421
  readonly text: string
}

const METHODS = ['GET', 'HEAD']
const VERSIONS = ['1.0', '1.1']

/** The host of a Host field (RFC 9110 §7.2) without its port, in small letters; `undefined` if it makes no sense. */
export function hostOf(field: string): string | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?$/.exec(field)
  if (match === null) return undefined
  const [, literal, name] = match
  if (literal !== undefined) return literal.includes(':') && parseIpAddress(literal).ok ? literal : undefined
  return name?.toLowerCase()
}

/** An address is no name that somebody could lead elsewhere. */
function isOurs(host: string, names: readonly string[]): boolean {
  return host === 'localhost' || parseIpAddress(host).ok || names.includes(host)
}

/** What is wrong with a request, if it is not to be answered. `names` are those that the operator gave this server. */
export function objectionTo(request: RequestLine, names: readonly string[]): Objection | undefined {
  const { method = '', target = '', httpVersion, hosts, hasBody } = request
  if (!METHODS.includes(method)) return { status: 405, text: 'Only GET and HEAD are answered here' }
  if (!VERSIONS.includes(httpVersion)) return { status: 400, text: 'Only HTTP/1.1 is spoken here' }
  if (!target.startsWith('/')) return { status: 400, text: 'The target of the request is no path' }
  if (hasBody) return { status: 400, text: 'A request has no body here' }
  const [field, ...more] = hosts
  // Browsers always send one; some health checks of load balancers do not.
  if (field === undefined && httpVersion === '1.0') return undefined
  const host = field === undefined || more.length > 0 ? undefined : hostOf(field)
  if (host === undefined) return { status: 400, text: 'The request does not say which host it is for' }
  if (isOurs(host, names)) return undefined
  return { status: 421, text: 'This server is not asked by that name; see web.hosts in its configuration' }
}
