/**
 * The web server as a front: servers on TCP and unix sockets that share one set of limits. Reads requests, turns away
 * those that are not listened to (`guard.ts`), and has the others answered; knows no page by itself.
 *
 * Each request is bounded in size and time, each connection in the time for which nothing moves.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { getRequestListener, RequestError } from '@hono/node-server'
import type { FrontServer } from '../app/front.ts'
import type { Log } from '../app/log.ts'
import type { ConnectionCounts } from '../app/meters.ts'
import { objectionTo, SECURITY_HEADERS } from './guard.ts'

/** Bounds on what clients may do. Times are in milliseconds. */
export interface WebLimits {
  /** In octets, of the request's line and header together. */
  readonly headerSize: number
  /** From the first octet of a request to the last of its header. */
  readonly requestTime: number
  /** Between requests. */
  readonly keepAliveTime: number
  /** For which nothing moves in either direction. */
  readonly idleTime: number
}

export const WEB_LIMITS: WebLimits = {
  headerSize: 8192,
  requestTime: 10_000,
  keepAliveTime: 20_000,
  idleTime: 60_000,
}

export interface WebSettings {
  /** Names that it may be asked by, beside `localhost` and addresses. Looked at for each request. */
  readonly hosts: readonly string[]
  /** Over all servers of the front. Looked at for each new connection. */
  readonly maxConnections: number
}

export interface WebFrontParts {
  /** Answers a request that is listened to. */
  readonly fetch: (request: Request) => Response | Promise<Response>
  readonly log: Log
  readonly settings: WebSettings
  readonly connections: ConnectionCounts
  readonly limits?: Partial<WebLimits>
}

/** Node looks so often for requests that take too long. */
const CHECK_INTERVAL = 1000
/** For a client that is turned away to read why. */
const LINGER_TIME = 1000

/** The part of the allowed connections down to which their number must fall before one too many is logged again. */
const RELIEF = 0.9

const REASON_PHRASES = {
  400: 'Bad Request',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
} as const

function writePlainly(response: ServerResponse, status: number, text: string): void {
  const body = `${text}\n`
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    Connection: 'close',
    ...(status === 405 && { Allow: 'GET, HEAD' }),
  })
  response.end(response.req.method === 'HEAD' ? undefined : body)
}

function codeOf(error: Error): string {
  return 'code' in error ? String(error.code) : ''
}

/** Answers what is no request, or none in time, where Node would do it without our header fields. */
function refuseNonsense(error: Error, stream: Duplex): void {
  if (codeOf(error) === 'ECONNRESET' || !stream.writable) {
    stream.destroy()
    return
  }
  const status =
    codeOf(error) === 'HPE_HEADER_OVERFLOW' ? 431 : codeOf(error) === 'ERR_HTTP_REQUEST_TIMEOUT' ? 408 : 400
  const fields = Object.entries(SECURITY_HEADERS).map(([name, value]) => `${name}: ${value}\r\n`)
  stream.end(
    `HTTP/1.1 ${status} ${REASON_PHRASES[status]}\r\n${fields.join('')}Content-Length: 0\r\nConnection: close\r\n\r\n`,
  )
  // What still comes is read and dropped: unread input would turn the closing into a reset that outruns the answer.
  stream.resume()
  const timer = setTimeout(() => stream.destroy(), LINGER_TIME)
  stream.once('close', () => clearTimeout(timer))
}

export interface WebFront extends FrontServer {
  readonly front: 'web'
}

/** Makes the web front. Its servers share their limits. */
export function createWebFront(parts: WebFrontParts): WebFront {
  const { log, connections } = parts
  const limits: WebLimits = { ...WEB_LIMITS, ...parts.limits }
  /** Every connection, and how many answers it is owed. */
  const owed = new Map<Socket, number>()
  let crowded = false
  let draining = false

  const failed = (cause: unknown): Response => {
    if (cause instanceof RequestError) return new Response('The request makes no sense\n', { status: 400 })
    log.error('web request failed', { cause })
    return new Response('Internal error\n', { status: 500 })
  }
  const answer = getRequestListener(
    async request => {
      try {
        return await parts.fetch(request)
      } catch (cause) {
        return failed(cause)
      }
    },
    // The host is for requests of HTTP/1.0 that name none.
    { overrideGlobalObjects: false, errorHandler: failed, hostname: 'localhost' },
  )

  function settled(socket: Socket): void {
    const left = (owed.get(socket) ?? 1) - 1
    if (owed.has(socket)) owed.set(socket, left)
    if (draining && left === 0) socket.destroySoon()
  }

  function handle(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request
    owed.set(socket, (owed.get(socket) ?? 0) + 1)
    response.once('close', () => settled(socket))
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value)
    if (draining) response.setHeader('Connection', 'close')
    const { method, url: target, httpVersion, headers, headersDistinct } = request
    const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0
    const hosts = headersDistinct['host'] ?? []
    const objection = objectionTo({ method, target, httpVersion, hosts, hasBody }, parts.settings.hosts)
    if (objection === undefined) void answer(request, response)
    else writePlainly(response, objection.status, objection.text)
  }

  function isFull(): boolean {
    const { maxConnections } = parts.settings
    if (owed.size < maxConnections) return false
    if (!crowded) log.warn('too many web connections', { limit: maxConnections })
    crowded = true
    return true
  }

  function accept(socket: Socket): void {
    if (draining || isFull()) {
      connections.refused++
      socket.destroy()
      return
    }
    connections.accepted++
    connections.open++
    owed.set(socket, 0)
    socket.once('close', () => {
      connections.open--
      owed.delete(socket)
      if (owed.size <= parts.settings.maxConnections * RELIEF) crowded = false
    })
  }

  return {
    front: 'web',

    newServer(): Server {
      const server = createServer(
        {
          maxHeaderSize: limits.headerSize,
          headersTimeout: limits.requestTime,
          requestTimeout: limits.requestTime,
          keepAliveTimeout: limits.keepAliveTime,
          connectionsCheckingInterval: Math.min(CHECK_INTERVAL, limits.requestTime),
          // The guard looks at it, and its answer has our header fields.
          requireHostHeader: false,
          noDelay: true,
        },
        handle,
      )
      server.timeout = limits.idleTime
      server.on('checkExpectation', (_, response: ServerResponse) => {
        for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value)
        writePlainly(response, 417, 'Nothing of the kind is expected here')
      })
      server.on('checkContinue', handle)
      server.on('clientError', refuseNonsense)
      return server.on('connection', accept)
    },

    async drain(graceMs: number): Promise<void> {
      draining = true
      // A round of the event loop: requests that have arrived are read before their connections are taken for idle.
      await new Promise(resolve => setImmediate(resolve))
      const gone = [...owed.keys()].map(socket => new Promise(resolve => socket.once('close', resolve)))
      const grace = setTimeout(() => {
        for (const socket of owed.keys()) socket.destroy()
      }, graceMs)
      for (const [socket, answers] of owed) if (answers === 0) socket.destroySoon()
      await Promise.all(gone)
      clearTimeout(grace)
    },
  }
}
