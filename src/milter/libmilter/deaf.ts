/**
 * Peers of libmilter that do not take their answers. libmilter waits two hours for one, and where it waits within a callback
 * (changes to a message are written there) every session waits along. It does not tell which connection a session is on, so
 * they are found among this process's own: those to the milter's endpoint that cannot be written to. An MTA takes each
 * answer before it goes on; no MTA's connection is ever that full.
 */
import { readdirSync, readlinkSync } from 'node:fs'
import koffi from 'koffi'
import type { Endpoint } from '../../app/endpoint.ts'

/** From one look to the next, in milliseconds. Who is full both times is hung up on. */
export const LOOK_INTERVAL = 5_000

const AF = { UNIX: 1, INET: 2, INET6: 10 } as const
const POLLOUT = 4
const SHUT_RDWR = 2

/** `struct sockaddr_storage`, and `struct pollfd`: int fd, short events, short revents. */
const ADDRESS_SIZE = 128
const POLL_SIZE = 8

type AddressCall = (fd: number, address: Buffer, length: Buffer) => number

/** Whether an address, as getsockname(2) writes it, is the endpoint's. */
function isAt(endpoint: Endpoint, address: Buffer, length: number): boolean {
  const family = address.readUInt16LE(0)
  if (endpoint.kind === 'tcp') {
    return (family === AF.INET || family === AF.INET6) && address.readUInt16BE(2) === endpoint.port
  }
  const path = Buffer.from(`${endpoint.path}\0`)
  return family === AF.UNIX && address.subarray(2, length).equals(path)
}

export class DeafPeers {
  readonly #endpoint: Endpoint
  readonly #getsockname: AddressCall
  readonly #getpeername: AddressCall
  readonly #poll: (fds: Buffer, count: number, timeout: number) => number
  readonly #shutdown: (fd: number, how: number) => number
  #full = new Set<string>()

  constructor(endpoint: Endpoint) {
    const libc = koffi.load('libc.so.6')
    this.#endpoint = endpoint
    this.#getsockname = libc.func('int getsockname(int fd, void *address, void *length)')
    this.#getpeername = libc.func('int getpeername(int fd, void *address, void *length)')
    this.#poll = libc.func('int poll(void *fds, ulong count, int timeout)')
    this.#shutdown = libc.func('int shutdown(int fd, int how)')
  }

  /** Hangs up on those that could not be written to the last time, and cannot now. Gives how many there were. */
  hangUp(): number {
    const full = this.#cannotBeWrittenTo()
    const deaf = [...full].filter(([name]) => this.#full.has(name))
    for (const [, fd] of deaf) this.#shutdown(fd, SHUT_RDWR)
    this.#full = new Set(full.keys())
    for (const [name] of deaf) this.#full.delete(name)
    return deaf.length
  }

  /** File descriptors, by a name that no two connections have. */
  #cannotBeWrittenTo(): ReadonlyMap<string, number> {
    const connected = readdirSync('/proc/self/fd')
      .map(Number)
      .filter(fd => this.#isPeer(fd))
    const polled = Buffer.alloc(connected.length * POLL_SIZE)
    for (const [at, fd] of connected.entries()) {
      polled.writeInt32LE(fd, at * POLL_SIZE)
      polled.writeInt16LE(POLLOUT, at * POLL_SIZE + 4)
    }
    this.#poll(polled, connected.length, 0)
    const full = connected.filter((_, at) => polled.readInt16LE(at * POLL_SIZE + 6) === 0)
    return new Map(full.map(fd => [nameOf(fd), fd]))
  }

  /** Whether it is a connection that the milter's socket has taken. */
  #isPeer(fd: number): boolean {
    const address = Buffer.alloc(ADDRESS_SIZE)
    const length = Buffer.alloc(4)
    length.writeUInt32LE(ADDRESS_SIZE)
    if (this.#getsockname(fd, address, length) !== 0) return false
    if (!isAt(this.#endpoint, address, length.readUInt32LE())) return false
    length.writeUInt32LE(ADDRESS_SIZE)
    return this.#getpeername(fd, address, length) === 0
  }
}

/** `socket:[12345]`; it may be gone by now. */
function nameOf(fd: number): string {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}
