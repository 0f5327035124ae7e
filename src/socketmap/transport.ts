/**
 * Where Postfix finds the sink: a value of transport(5).
 */
import type { Endpoint } from '../app/endpoint.ts'

/**
 * Where Postfix's processes have their root in a chroot, and their working directory in any case. A path below it is
 * the same for both if it begins there.
 */
const QUEUE_DIRECTORY = '/var/spool/postfix/'

/** The address to connect to, where the endpoint is every address of this host. */
const HERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

/** The transport to the first of the sink's endpoints that Postfix can be told of; `undefined` if there is none. */
export function transportTo(endpoints: readonly Endpoint[]): string | undefined {
  const endpoint = endpoints.find(each => each.kind === 'unix' || each.port !== 0)
  if (endpoint === undefined) return undefined
  if (endpoint.kind === 'unix') {
    const { path } = endpoint
    return `lmtp:unix:${path.startsWith(QUEUE_DIRECTORY) ? path.slice(QUEUE_DIRECTORY.length) : path}`
  }
  const host = HERE[endpoint.host] ?? endpoint.host
  return `lmtp:inet:${host.includes(':') ? `[${host}]` : host}:${endpoint.port}`
}
