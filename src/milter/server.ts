/**
 * The milter as a front: servers on TCP and unix sockets that share one set of limits. Who may connect, how many, and how
 * they end; everything else is a peer's own business.
 *
 * In trouble a milter says nothing and disconnects: the MTA then does its default action (milter_default_action, F=).
 */
import { randomBytes } from 'node:crypto'
import { createServer, type Server, Socket } from 'node:net'
import { formatEndpoint } from '../app/endpoint.ts'
import type { FrontServer } from '../app/front.ts'
import type { Gate } from '../app/gate.ts'
import type { Log } from '../app/log.ts'
import { type ConnectionCounts, connectionCounts } from '../app/meters.ts'
import { Crowd } from './crowd.ts'
import type { Agreement } from './negotiate.ts'
import type { PeerLimits } from './patience.ts'
import { Peer, type PeerParts } from './peer.ts'
import { type Conduct, type MilterCounts, milterCounts } from './question.ts'
import { Reception } from './receive.ts'
import { Rounds } from './rounds.ts'
import { Session } from './session.ts'
import { MAX_DATA } from './wire.ts'

/** libmilter's own times, where it has any: MI_TIMEOUT is 7210 s. */
export const MILTER_LIMITS: PeerLimits = {
  maxData: MAX_DATA,
  commandTime: 30_000,
  idleTime: 7_210_000,
  decisionTime: 120_000,
  progressInterval: 1_000,
}

export interface MilterSettings extends Omit<Conduct, 'onStoreFailure'> {
  /** Of all servers of this front together. */
  readonly maxConnections: number
  /** For an MTA to finish a command it has begun, and to take an answer; in milliseconds. */
  readonly commandTimeoutMs?: number
}

export interface MilterParts {
  readonly gate: Pick<Gate, 'ask'>
  readonly log: Log
  readonly onStoreFailure: Conduct['onStoreFailure']
  readonly settings: MilterSettings
  readonly limits?: Partial<PeerLimits>
  /** Where its connections and messages are counted, if somebody else wants to know. */
  readonly connections?: ConnectionCounts
  readonly counts?: MilterCounts
}

export interface MilterFront extends FrontServer {
  readonly front: 'milter'
  readonly counts: Readonly<MilterCounts>
}

/** The part of the allowed connections down to which their number must fall before one too many is logged again. */
const RELIEF = 0.9

/** Names that no other process gives, either: a random beginning and a count. */
function idMaker(): () => string {
  const prefix = randomBytes(6).toString('hex')
  let count = 0
  return () => `${prefix}.${(++count).toString(36)}`
}

/** Names a server's peers in the log: by their address and port, or by the unix socket that they all come by. */
function naming(server: Server): (socket: Socket) => string {
  const address = server.address()
  if (typeof address === 'string') {
    const name = formatEndpoint({ kind: 'unix', path: address })
    return () => name
  }
  return ({ remoteAddress, remotePort }) =>
    remoteAddress !== undefined && remotePort !== undefined
      ? formatEndpoint({ kind: 'tcp', host: remoteAddress, port: remotePort })
      : 'unknown'
}

/** Makes the milter. Its servers are made by `newServer`, and do not listen yet. */
export function createMilterFront(parts: MilterParts): MilterFront {
  const { gate, log } = parts
  const { commandTimeoutMs } = parts.settings
  const limits: PeerLimits = {
    ...MILTER_LIMITS,
    ...(commandTimeoutMs === undefined ? {} : { commandTime: commandTimeoutMs }),
    ...parts.limits,
  }
  const counts = parts.counts ?? milterCounts()
  const connections = parts.connections ?? connectionCounts()
  const newId = idMaker()
  const peers = new Crowd<Peer>()
  const rounds = new Rounds(peers, Math.min(limits.commandTime, limits.idleTime, limits.progressInterval))
  const reception = new Reception(options => new Socket(options))
  const shared: PeerParts = { gate, log, limits, rounds, reception, gone }
  let conduct: Conduct | undefined
  const missedBefore = new Set<string>()
  let crowded = false
  let draining = false

  /** Says once what an MTA cannot do that would be of use. */
  function agreed({ version, missed }: Agreement): void {
    const names = missed.filter(name => !missedBefore.has(name))
    if (names.length === 0) return
    for (const name of names) missedBefore.add(name)
    log.warn('the MTA offers less than is of use', { version, missed: names.join(' ') })
  }

  /** What the site chooses now: what was agreed on with an MTA must hold for the whole connection. */
  function conductNow(): Conduct {
    const { onStoreFailure } = parts
    const { hold, traceHeader, countBodies } = parts.settings
    const isStill =
      conduct?.hold === hold &&
      conduct.traceHeader === traceHeader &&
      conduct.countBodies === countBodies &&
      conduct.onStoreFailure === onStoreFailure
    if (conduct === undefined || !isStill) conduct = { hold, traceHeader, countBodies, onStoreFailure }
    return conduct
  }

  function isFull(): boolean {
    const { maxConnections } = parts.settings
    if (peers.size < maxConnections) return false
    if (!crowded) log.warn('too many milter connections', { limit: maxConnections })
    crowded = true
    return true
  }

  function serve(socket: Socket, nameOf: (socket: Socket) => string): void {
    if (draining || isFull()) {
      connections.refused++
      socket.on('error', () => {})
      socket.destroy()
      return
    }
    const session = new Session({ id: newId(), conduct: conductNow(), counts, agreed })
    peers.add(new Peer(socket, session, nameOf(socket), shared))
    connections.accepted++
    connections.open = peers.size
    rounds.run()
  }

  function gone(peer: Peer): void {
    peers.delete(peer)
    connections.open = peers.size
    if (peers.size <= parts.settings.maxConnections * RELIEF) crowded = false
  }

  return {
    front: 'milter',
    counts,

    newServer(): Server {
      const server = createServer({ noDelay: true, keepAlive: true })
      let nameOf: ((socket: Socket) => string) | undefined
      return server.on('connection', socket => {
        nameOf ??= naming(server)
        serve(socket, nameOf)
      })
    },

    async drain(graceMs: number): Promise<void> {
      draining = true
      // A round of the event loop: commands that have arrived are read before their connections are taken for idle.
      await new Promise(resolve => setImmediate(resolve))
      const left = [...peers]
      const grace = setTimeout(() => {
        for (const peer of left) peer.destroy()
      }, graceMs)
      for (const peer of left) peer.leave()
      await Promise.all(left.map(peer => peer.gone))
      clearTimeout(grace)
    },
  }
}
