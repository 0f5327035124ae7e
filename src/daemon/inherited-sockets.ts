/**
 * Sockets that systemd opens and hands over (sd_listen_fds(3)): the service needs no right to make them, and no
 * connection is refused while it restarts. `FileDescriptorName=` in the socket unit says which front a socket is for.
 */
import { once } from 'node:events'
import type { Server } from 'node:net'
import type { Endpoint } from '../app/endpoint.ts'
import { ListenError, type Listener } from './listen.ts'

/** The names that are known. */
export const SOCKET_NAMES = ['policy', 'milter', 'lmtp', 'callout', 'socketmap', 'web'] as const
export type SocketName = (typeof SOCKET_NAMES)[number]

export interface InheritedSockets {
  readonly fds: Readonly<Record<SocketName, readonly number[]>>
  /** Names of sockets that no front is called by. */
  readonly strangers: readonly string[]
}

const FIRST_FD = 3
const MAX_FDS = 100

function isSocketName(name: string): name is SocketName {
  return SOCKET_NAMES.some(known => known === name)
}

/** The sockets that this process was given. The variables are for this process alone. */
export function inheritedSockets(
  env: Readonly<Record<string, string | undefined>>,
  pid: number,
): InheritedSockets {
  const fds: Record<SocketName, number[]> = {
    policy: [],
    milter: [],
    lmtp: [],
    callout: [],
    socketmap: [],
    web: [],
  }
  const strangers: string[] = []
  const count = Number(env['LISTEN_FDS'] ?? 0)
  if (env['LISTEN_PID'] !== String(pid) || !Number.isInteger(count)) return { fds, strangers }
  const names = (env['LISTEN_FDNAMES'] ?? '').split(':')
  for (let index = 0; index < Math.min(count, MAX_FDS); index++) {
    const name = names[index] ?? ''
    if (isSocketName(name)) fds[name].push(FIRST_FD + index)
    else strangers.push(name)
  }
  return { fds, strangers }
}

/** Takes connections from a socket that somebody else has opened. @throws ListenError */
export async function adopt(server: Server, fd: number): Promise<Listener> {
  try {
    const listening = once(server, 'listening')
    server.listen({ fd })
    await listening
  } catch (cause) {
    throw new ListenError(`cannot listen on the socket that systemd handed over as fd ${fd}`, { cause })
  }
  // Node does not know the path of a unix socket that it did not make.
  const address = server.address()
  const endpoint: Endpoint | undefined =
    address !== null && typeof address === 'object'
      ? { kind: 'tcp', host: address.address, port: address.port }
      : undefined
  return {
    endpoint,
    isListening: () => server.listening,
    close: () => {
      server.close()
    },
  }
}
