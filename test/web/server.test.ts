/** The web server on real sockets, against clients that mean it well and those that do not. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import type { Log } from '../../src/app/log.ts'
import { type ConnectionCounts, connectionCounts } from '../../src/app/meters.ts'
import { SECURITY_HEADERS } from '../../src/web/guard.ts'
import { createRoutes } from '../../src/web/routes.ts'
import { createWebFront, type WebFront, type WebFrontParts } from '../../src/web/server.ts'
import { exchange, get, RawClient, responseOf } from './raw-client.ts'

interface Running {
  readonly front: WebFront
  readonly server: Server
  readonly endpoint: Endpoint
  readonly counts: ConnectionCounts
  readonly logged: string[]
}

const running: Running[] = []
afterEach(async () => {
  for (const { front, server } of running.splice(0)) {
    server.close()
    await front.drain(0)
  }
})

function keepingLog(lines: string[]): Log {
  const keep = (message: string): void => {
    lines.push(message)
  }
  return { debug: () => {}, info: keep, warn: keep, error: keep }
}

async function start(parts: Partial<WebFrontParts> = {}, path?: string): Promise<Running> {
  const counts = connectionCounts()
  const logged: string[] = []
  const log = keepingLog(logged)
  const routes = createRoutes({
    health: { hindrances: async () => [] },
    metrics: { contentType: 'text/plain', text: async () => 'x 1\n' },
    log,
  })
  const front = createWebFront({
    fetch: request => routes.fetch(request),
    log,
    settings: { hosts: ['gate.example.org'], maxConnections: 10 },
    connections: counts,
    ...parts,
  })
  const server = front.newServer()
  server.listen(path === undefined ? { host: '127.0.0.1', port: 0 } : { path })
  await once(server, 'listening')
  const address = server.address()
  const endpoint: Endpoint =
    typeof address === 'object' && address !== null
      ? { kind: 'tcp', host: '127.0.0.1', port: address.port }
      : { kind: 'unix', path: path ?? '' }
  const started = { front, server, endpoint, counts, logged }
  running.push(started)
  return started
}

function expectGuarded(headers: ReadonlyMap<string, string>): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) {
    expect([name, headers.get(name.toLowerCase())]).toEqual([name, value])
  }
  expect(headers.has('set-cookie')).toBe(false)
  expect(headers.has('server')).toBe(false)
  expect(headers.has('access-control-allow-origin')).toBe(false)
}

describe('every answer has the security fields', () => {
  const huge = `X: ${'x'.repeat(20_000)}`
  const many = Array.from({ length: 3000 }, (_, place) => `X${place}: y`)
  test.each<[string, string, number]>([
    ['a page', get('/healthz'), 200],
    ['a name of its own', get('/healthz', 'gate.example.org'), 200],
    ['no page', get('/nothing'), 404],
    ['a path that climbs', get('/../../../../etc/passwd'), 404],
    ['a path that climbs in disguise', get('/%2e%2e/%2e%2e/etc/passwd'), 404],
    ['a path that climbs by backslashes', get('/..\\..\\etc\\passwd'), 400],
    ['a path with a NUL', get('/healthz%00.html'), 404],
    ['a path that is no URL', get('//'), 404],
    ['somebody else’s name', get('/metrics', 'evil.example'), 421],
    ['a name with a newline in it', get('/metrics', 'localhost\nX: y'), 400],
    ['no host', 'GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['HTTP/1.0', 'GET /healthz HTTP/1.0\r\n\r\n', 200],
    ['a method of change', 'DELETE /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n', 405],
    ['TRACE', 'TRACE / HTTP/1.1\r\nHost: localhost\r\nCookie: a=b\r\nConnection: close\r\n\r\n', 405],
    ['a proxy’s request', 'GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n', 400],
    ['a body', get('/metrics', 'localhost', ['Content-Length: 100000000000']), 400],
    ['a body in pieces', get('/metrics', 'localhost', ['Transfer-Encoding: chunked']), 400],
    ['a body of two lengths', get('/metrics', 'localhost', ['Content-Length: 1', 'Content-Length: 2']), 400],
    ['a length and pieces', get('/', 'localhost', ['Content-Length: 1', 'Transfer-Encoding: chunked']), 400],
    ['an expectation', get('/healthz', 'localhost', ['Expect: 100-continue']), 200],
    ['an expectation of something else', get('/healthz', 'localhost', ['Expect: miracles']), 417],
    ['another protocol', get('/healthz', 'localhost', ['Connection: upgrade', 'Upgrade: h2c']), 200],
    ['a huge header', get('/healthz', 'localhost', [huge]), 431],
    ['a huge target', get(`/${'x'.repeat(20_000)}`), 431],
    ['many header fields', get('/healthz', 'localhost', many), 431],
    ['a header line that is none', get('/healthz', 'localhost', ['no colon']), 400],
    ['no HTTP', 'SSH-2.0-OpenSSH_9.2p1\r\n\r\n', 400],
    ['another version', 'GET / HTTP/2.0\r\nHost: localhost\r\n\r\n', 400],
    ['the start of TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  ])('%s', async (_, request, status) => {
    const { endpoint } = await start()
    const response = await exchange(endpoint, request)
    expect(response.status).toBe(status)
    expectGuarded(response.headers)
    expect(response.body).not.toMatch(/root:|node_modules|\.ts\b|\bat /)
  })
})

test('HEAD has the fields of GET, and no body', async () => {
  const { endpoint } = await start()
  const response = await exchange(endpoint, get('/metrics').replace('GET', 'HEAD'))
  expect(response).toMatchObject({ status: 200, body: '' })
  const refused = await exchange(endpoint, get('/metrics', 'evil.example').replace('GET', 'HEAD'))
  expect(refused).toMatchObject({ status: 421, body: '' })
})

test('CONNECT is not answered at all', async () => {
  const { endpoint } = await start()
  const client = await RawClient.connected(endpoint)
  client.send('CONNECT localhost:25 HTTP/1.1\r\nHost: localhost\r\n\r\n')
  expect(await client.rest()).toBe('')
})

test('what fails is logged with its cause, and the client learns nothing of it', async () => {
  const broken = (): never => {
    throw new Error('at secret.ts:1')
  }
  const byFetch = await start({ fetch: broken })
  const first = await exchange(byFetch.endpoint, get('/'))
  expect(first).toMatchObject({ status: 500, body: 'Internal error\n' })
  expectGuarded(first.headers)
  expect(byFetch.logged).toEqual(['web request failed'])

  const logged: string[] = []
  const routes = createRoutes({
    health: { hindrances: broken },
    metrics: { contentType: 'text/plain', text: async () => broken() },
    log: keepingLog(logged),
  })
  const byRoute = await start({ fetch: request => routes.fetch(request) })
  for (const path of ['/readyz', '/metrics']) {
    const answer = await exchange(byRoute.endpoint, get(path))
    expect(answer).toMatchObject({ status: 500, body: 'Internal error\n' })
    expectGuarded(answer.headers)
  }
  expect(logged).toEqual(['web request failed', 'web request failed'])
})

test('several requests on one connection, sent at once, are answered in order', async () => {
  const { endpoint, counts } = await start()
  const client = await RawClient.connected(endpoint)
  const again = get('/healthz').replace('Connection: close\r\n', '')
  client.send(again + again.replace('healthz', 'nothing') + get('/readyz'))
  const bodies = [...(await client.rest()).matchAll(/HTTP\/1\.1 (\d+)/g)].map(match => match[1])
  expect(bodies).toEqual(['200', '404', '200'])
  expect(counts).toMatchObject({ accepted: 1, refused: 0 })
})

describe('slow clients', () => {
  test('a request that does not come to its end is answered, and its connection closed', async () => {
    const { endpoint } = await start({ limits: { requestTime: 200 } })
    const client = await RawClient.connected(endpoint)
    client.send('GET /healthz HTTP/1.1\r\nHost: localhost\r\n')
    const drip = setInterval(() => client.send('X: y\r\n'), 50)
    const response = responseOf(await client.rest())
    clearInterval(drip)
    expect(response.status).toBe(408)
    expectGuarded(response.headers)
  })

  test('a connection on which nothing comes is closed', async () => {
    const { endpoint } = await start({ limits: { idleTime: 200 } })
    const client = await RawClient.connected(endpoint)
    expect(await client.rest()).toBe('')
  })

  test('so is one that is kept after an answer', async () => {
    const { endpoint } = await start({ limits: { keepAliveTime: 100 } })
    const client = await RawClient.connected(endpoint)
    client.send(get('/healthz').replace('Connection: close\r\n', ''))
    expect(responseOf(await client.rest()).status).toBe(200)
  })

  test('and one whose client does not take its answer', async () => {
    const { endpoint, counts, server } = await start({
      fetch: () => new Response('x'.repeat(50_000_000)),
      limits: { idleTime: 300 },
    })
    const accepted = once(server, 'connection')
    const client = await RawClient.connected(endpoint)
    client.socket.pause()
    client.send(get('/'))
    const [socket] = (await accepted) as [import('node:net').Socket]
    await once(socket, 'close')
    expect(counts.open).toBe(0)
    client.socket.destroy()
  })
})

test('of connections there are not more than allowed, over all servers', async () => {
  const settings = { hosts: [], maxConnections: 2 }
  const { front, endpoint, counts, logged } = await start({ settings })
  const path = join(mkdtempSync(join(tmpdir(), 'postern-web-')), 's')
  const other = front.newServer().listen({ path })
  await once(other, 'listening')
  const first = await RawClient.connected(endpoint)
  const second = await RawClient.connected({ kind: 'unix', path })
  const third = await RawClient.connected(endpoint)
  expect(await third.rest()).toBe('')
  const fourth = await RawClient.connected({ kind: 'unix', path })
  expect(await fourth.rest()).toBe('')
  expect(counts).toEqual({ open: 2, accepted: 2, refused: 2 })
  expect(logged).toEqual(['too many web connections'])

  first.send(get('/healthz'))
  expect(responseOf(await first.rest()).status).toBe(200)
  const fifth = await RawClient.connected(endpoint)
  fifth.send(get('/healthz'))
  expect(responseOf(await fifth.rest()).status).toBe(200)
  second.socket.destroy()
  other.close()
  rmSync(join(path, '..'), { recursive: true })
})

describe('the end', () => {
  test('an answer that is being made is given, and who is idle or half-way goes at once', async () => {
    let answer: (response: Response) => void = () => {}
    let asked: () => void = () => {}
    const isAsked = new Promise<void>(resolve => {
      asked = resolve
    })
    const { front, server, endpoint, counts } = await start({
      fetch: () => {
        asked()
        return new Promise<Response>(resolve => {
          answer = resolve
        })
      },
      limits: { keepAliveTime: 60_000 },
    })
    const idle = await RawClient.connected(endpoint)
    const halfWay = await RawClient.connected(endpoint)
    halfWay.send('GET / HTTP/1.1\r\nHost: lo')
    const waiting = await RawClient.connected(endpoint)
    waiting.send(get('/').replace('Connection: close\r\n', ''))
    await isAsked
    server.close()
    const drained = front.drain(60_000)
    expect(await idle.rest()).toBe('')
    expect(await halfWay.rest()).toBe('')
    answer(new Response('late'))
    expect(responseOf(await waiting.rest())).toMatchObject({ status: 200, body: 'late' })
    await drained
    expect(counts.open).toBe(0)
  })

  test('who is not answered in time is let go', async () => {
    const { front, server, endpoint } = await start({ fetch: () => new Promise<Response>(() => {}) })
    const client = await RawClient.connected(endpoint)
    client.send(get('/'))
    await once(server, 'request')
    server.close()
    await front.drain(100)
    expect(await client.rest()).toBe('')
  })
})
