/**
 * Listening: TCP ports, unix sockets with the permissions that the configuration wants from the first moment, and
 * sockets that systemd hands over. A socket file is removed only if nobody listens on it any more.
 */
import { once } from 'node:events'
import { chmodSync, lstatSync, type Stats, unlinkSync } from 'node:fs'
import { connect, type Server } from 'node:net'
import { dirname } from 'node:path'
import { type Endpoint, formatEndpoint } from '../app/endpoint.ts'

/** Cannot listen. The message names section and endpoint in one line. */
export class ListenError extends Error {
  readonly code = 'POSTERN_CANNOT_LISTEN'
  override readonly name = 'ListenError'
}

/** What to listen on, and how. */
export interface ListenOptions {
  /** The configuration key that says so, for errors. */
  readonly key: string
  readonly endpoint: Endpoint
  /** Permission bits of a unix socket. */
  readonly socketMode: number
  /** Whether the first process of several opens the socket, for all workers. It has looked at what was there before. */
  readonly isShared?: boolean
}

/** A server that listens. */
export interface Listener {
  /** With the port that the system chose, where it did. Unknown of a unix socket that somebody else has opened. */
  readonly endpoint: Endpoint | undefined
  /** Whether it still does. */
  isListening(): boolean
  /** Takes no more connections, at once; those that are there live on. Removes the file of a unix socket. */
  close(): void
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'already in use; does another postern serve run?',
  EADDRNOTAVAIL: 'this host has no such address',
  EACCES: 'this user may not listen there',
  EPERM: 'this user may not listen there',
  ENOENT: 'its directory does not exist',
  ENOTDIR: 'its directory does not exist',
  ENOTFOUND: 'the host name is not known',
  EAI_AGAIN: 'the host name cannot be looked up',
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN'
}

/** What the system said, as an error for the operator. */
export function listenError(
  { key, endpoint }: Pick<ListenOptions, 'key' | 'endpoint'>,
  cause: unknown,
): ListenError {
  const noDirectory = endpoint.kind === 'unix' && fileAt(dirname(endpoint.path)) === undefined
  // Node calls a missing directory EACCES.
  const code = noDirectory ? 'ENOENT' : codeOf(cause)
  return new ListenError(`${key}: cannot listen on ${formatEndpoint(endpoint)}: ${REASONS[code] ?? code}`, {
    cause,
  })
}

function fileAt(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false })
}

/** What trying to connect to a unix socket comes to: an error code, or nothing if somebody answered. */
async function probe(path: string): Promise<string | undefined> {
  const socket = connect({ path })
  try {
    await once(socket, 'connect')
    return undefined
  } catch (error) {
    return codeOf(error)
  } finally {
    socket.destroy()
  }
}

/**
 * Removes a socket file that a process left behind when it ended without a word; nothing else.
 * @throws ListenError if there is something else of the name, or somebody listens there
 */
export async function removeStaleSocket(options: ListenOptions, path: string): Promise<void> {
  const before = fileAt(path)
  if (before === undefined) return
  const unwanted = (what: string): ListenError =>
    new ListenError(`${options.key}: cannot listen on ${formatEndpoint(options.endpoint)}: ${what}`)
  if (!before.isSocket()) throw unwanted('there is a file of that name, and it is no socket')
  const refusal = await probe(path)
  if (refusal === 'ENOENT') return
  if (refusal === undefined || refusal === 'EAGAIN') throw unwanted(REASONS['EADDRINUSE'] ?? '')
  if (refusal !== 'ECONNREFUSED') throw unwanted(`there is a socket that cannot be tried: ${refusal}`)
  const now = fileAt(path)
  // Somebody else may have taken its place meanwhile.
  if (now?.ino === before.ino && now.isSocket()) unlinkSync(path)
}

async function listening(server: Server, start: () => void): Promise<void> {
  const started = once(server, 'listening')
  start()
  await started
}

async function listenOnUnix(server: Server, path: string, options: ListenOptions): Promise<void> {
  if (options.isShared === true) {
    await listening(server, () => server.listen({ path }))
    // Who opened it has given it fewer permissions than it is to have.
    chmodSync(path, options.socketMode)
    return
  }
  await removeStaleSocket(options, path)
  await listening(server, () => {
    // The file is made in this call, so that it never has wider permissions than it is to have.
    const umask = process.umask(0o777 & ~options.socketMode)
    try {
      server.listen({ path })
    } finally {
      process.umask(umask)
    }
  })
}

/**
 * Lets somebody else than Node listen, by the same rules for unix sockets: one that is in use is not touched, and the file
 * has its permissions from the first moment. Nothing else may make files meanwhile. @throws ListenError
 */
export async function listenElsewhere<T>(options: ListenOptions, start: () => Promise<T>): Promise<T> {
  const { endpoint, socketMode } = options
  if (endpoint.kind === 'tcp') return start()
  await removeStaleSocket(options, endpoint.path)
  const umask = process.umask(0o777 & ~socketMode)
  try {
    return await start()
  } finally {
    process.umask(umask)
  }
}

function boundEndpoint(server: Server, endpoint: Endpoint): Endpoint {
  const address = server.address()
  return endpoint.kind === 'tcp' && typeof address === 'object' && address !== null
    ? { ...endpoint, port: address.port }
    : endpoint
}

/** Listens. @throws ListenError */
export async function listen(server: Server, options: ListenOptions): Promise<Listener> {
  const { endpoint } = options
  try {
    if (endpoint.kind === 'unix') await listenOnUnix(server, endpoint.path, options)
    else await listening(server, () => server.listen({ host: endpoint.host, port: endpoint.port }))
  } catch (error) {
    throw error instanceof ListenError ? error : listenError(options, error)
  }
  return {
    endpoint: boundEndpoint(server, endpoint),
    isListening: () => server.listening,
    close: () => {
      // Node removes the file of a unix socket before this returns.
      server.close()
    },
  }
}
