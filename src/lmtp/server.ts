/**
 * The sink as a front: servers on TCP and unix sockets that share one set of limits. Who may connect, how many, and
 * how they end; everything else is a connection's own business.
 */
import { randomBytes } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import type { FrontServer } from '../app/front.ts'
import type { Gate } from '../app/gate.ts'
import type { Log } from '../app/log.ts'
import type { Delivery } from '../app/message.ts'
import { type ConnectionCounts, connectionCounts } from '../app/meters.ts'
import type { Clock } from '../app/ports.ts'
import { contains, type Network, parseIpAddress } from '../core/network.ts'
import { Connection, type ConnectionParts, type ConnectionSettings, lastWord } from './connection.ts'
import type { Door } from './door.ts'
import type { LmtpCounts, SinkMeter } from './settle.ts'

export interface LmtpSettings {
  /** What the sink calls itself. */
  readonly hostname: string
  /** In octets. */
  readonly maxSize: number
  /** RCPT commands of one transaction that are looked at. */
  readonly maxRecipients: number
  /** Of all servers of this front together. */
  readonly maxConnections: number
  /** How long a client may be silent. RFC 5321 §4.5.3.2.7 asks for 5 minutes at least. */
  readonly idleTimeoutMs: number
  /** How long the data of one message may take; an hour if not given. */
  readonly dataTimeoutMs?: number
  /** Whose MTAs may connect by TCP. By unix socket everybody may who is let in by its permissions. */
  readonly allow: readonly Network[]
  /** Whose XFORWARD is believed; by unix socket, everybody's. */
  readonly xforward: readonly Network[]
  /** Where messages go while they arrive that are too big for memory. */
  readonly spoolDirectory: string
}

export interface LmtpParts {
  readonly gate: Pick<Gate, 'ask'>
  /** The delivery of a name, or the site's for none; `undefined` if the configuration has none of that name. */
  readonly deliveryFor: (name: string | undefined) => Delivery | undefined
  readonly log: Log
  readonly settings: LmtpSettings
  readonly clock?: Clock
  /** Makes names for messages; never twice the same. */
  readonly newId?: () => string
  /** Where its connections and its work are counted, if somebody wants to know. */
  readonly connections?: ConnectionCounts
  readonly meter?: SinkMeter
}

export interface LmtpFront extends FrontServer {
  readonly front: 'lmtp'
  readonly counts: Readonly<LmtpCounts>
  /** For mail, or for questions only. */
  newServer(door?: Door): Server
}

const DATA_TIMEOUT_MS = 3_600_000

/** In octets, of one message: beyond it a message is spooled to a file. */
const SPOOL_MEMORY = 131_072

/** Names that no other process gives, either: a random beginning and a count. */
function idMaker(): () => string {
  const prefix = randomBytes(5).toString('hex').toUpperCase()
  let count = 0
  return () => `${prefix}${(++count).toString(36).toUpperCase().padStart(6, '0')}`
}

function isIn(networks: readonly Network[], remoteAddress: string | undefined): boolean {
  // A zone (fe80::1%eth0) says which wire an address is on, not whose it is.
  const address = parseIpAddress(remoteAddress?.split('%')[0] ?? '')
  return address.ok && networks.some(network => contains(network, address.value))
}

/** Makes the sink. Its servers are made by `newServer`, and do not listen yet. */
export function createLmtpFront({ settings, log, ...given }: LmtpParts): LmtpFront {
  const counts: LmtpCounts = {
    messages: 0,
    delivered: 0,
    held: 0,
    discarded: 0,
    refused: 0,
    failed: 0,
    late: 0,
  }
  const parts: ConnectionParts = {
    gate: given.gate,
    deliveryFor: given.deliveryFor,
    log,
    counts,
    clock: given.clock ?? Date.now,
    newId: given.newId ?? idMaker(),
    ...(given.meter !== undefined && { meter: given.meter }),
  }
  const counted = given.connections ?? connectionCounts()
  const connections = new Map<Socket, Connection>()
  const turnedAway = new Set<Socket>()
  let draining = false

  /** Settings may change while we run: a connection keeps those it began with. */
  function connectionSettings(socket: Socket, isUnix: boolean, door: Door): ConnectionSettings {
    return {
      door,
      hostname: settings.hostname,
      maxSize: settings.maxSize,
      maxRecipients: settings.maxRecipients,
      idleTimeoutMs: settings.idleTimeoutMs,
      dataTimeoutMs: settings.dataTimeoutMs ?? DATA_TIMEOUT_MS,
      xforward: isUnix || isIn(settings.xforward, socket.remoteAddress),
      spool: { directory: settings.spoolDirectory, memoryLimit: SPOOL_MEMORY },
    }
  }

  /** The greeting of a client that is not served, without an enhanced code as all greetings (RFC 2034 §4). */
  function refusal(socket: Socket, isUnix: boolean): string | undefined {
    const { hostname } = settings
    if (draining) return `421 ${hostname} is shutting down; try again later\r\n`
    if (!isUnix && !isIn(settings.allow, socket.remoteAddress)) {
      log.warn('connection refused', { mta: socket.remoteAddress, why: 'not from an allowed network' })
      // Not for good: that it is not allowed is the configuration's fault, and no mail's.
      return `421 ${hostname} does not take mail from this host\r\n`
    }
    if (connections.size >= settings.maxConnections) {
      log.warn('connection refused', { mta: socket.remoteAddress, why: 'too many connections' })
      return `421 ${hostname} has too many connections; try again later\r\n`
    }
    return undefined
  }

  function serve(socket: Socket, door: Door): void {
    // Its own end, as a client that is gone already has no address, either.
    const isUnix = socket.localAddress === undefined
    const refused = refusal(socket, isUnix)
    if (refused !== undefined) {
      counted.refused++
      turnedAway.add(socket)
      socket.once('close', () => turnedAway.delete(socket))
      socket.on('error', () => {})
      lastWord(socket, refused)
      return
    }
    const connection = new Connection(socket, parts, connectionSettings(socket, isUnix, door))
    connections.set(socket, connection)
    counted.accepted++
    counted.open++
    socket.once('close', () => {
      counted.open--
      connections.delete(socket)
    })
    connection.start()
  }

  return {
    front: 'lmtp',
    counts,

    newServer(door = 'delivery'): Server {
      return createServer({ allowHalfOpen: true, noDelay: true }, socket => serve(socket, door))
    },

    async drain(graceMs: number): Promise<void> {
      draining = true
      const left = (): readonly Socket[] => [...connections.keys(), ...turnedAway]
      for (const connection of connections.values()) connection.drain()
      const gone = Promise.all(left().map(socket => new Promise(resolve => socket.once('close', resolve))))
      const timer = setTimeout(() => {
        for (const socket of left()) socket.destroy()
      }, graceMs)
      await gone
      clearTimeout(timer)
    },
  }
}
