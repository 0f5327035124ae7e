/** The web server as the daemon runs it: its figures against what was asked, health through an outage, and its end. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test, vi } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { requireLibmilter } from '../milter/libmilter-host.ts'
import { MtaClient } from '../milter/mta-client.ts'
import { command } from '../milter/mta-wire.ts'
import { SocketmapClient } from '../socketmap/socketmap-server.ts'
import { type Postern, startPostern } from '../support/daemon.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { freePort } from '../support/ports.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { type Family, parseExposition, sampleValue } from '../web/exposition.ts'
import { get, RawClient, responseOf } from '../web/raw-client.ts'
import { PolicyClient, Served } from './served.ts'

const nodeOptions = process.env['NODE_OPTIONS']
const closing: (() => Promise<unknown> | undefined)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
  if (nodeOptions === undefined) delete process.env['NODE_OPTIONS']
  else process.env['NODE_OPTIONS'] = nodeOptions
})

type Tcp = Extract<Endpoint, { kind: 'tcp' }>

interface Watched {
  readonly postern: Postern
  readonly web: Tcp
  readonly url: string
}

const LIST = 'team@lists.example.org'

async function start(
  config = '',
  redis?: { readonly url: string; readonly timeout: number },
): Promise<Watched> {
  const web: Tcp = { kind: 'tcp', host: '127.0.0.1', port: await freePort() }
  const listen = `[web]\nlisten = ["127.0.0.1:${web.port}"]\n`
  const postern = await startPostern({
    config: `${listen}${config}`,
    // The rest of the section stands behind the URL.
    ...(redis !== undefined && { redisUrl: `${redis.url}"\ntimeout = ${redis.timeout}\nprefix = "postern:` }),
  })
  closing.push(() => postern.remove())
  await postern.load({
    postern: 1,
    domains: [{ domain: 'lists.example.org' }],
    lists: [{ address: LIST, people: [{ who: 'alice@example.net', roles: ['member'] }] }],
  })
  return { postern, web, url: `http://127.0.0.1:${web.port}` }
}

async function figures(url: string): Promise<ReadonlyMap<string, Family>> {
  const response = await fetch(`${url}/metrics`)
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8')
  return parseExposition(await response.text())
}

/** What became of the decisions of a front, those that there were. */
function decisions(families: ReadonlyMap<string, Family>, front: string): Record<string, number> {
  const samples = families.get('postern_decisions_total')?.samples ?? []
  return Object.fromEntries(
    samples
      .filter(({ labels, value }) => labels['front'] === front && value > 0)
      .map(({ labels: { phase, verdict, reason }, value }) => [`${phase} ${verdict} ${reason}`, value]),
  )
}

test('the figures are those of what was asked', async () => {
  const socketmap: Tcp = { kind: 'tcp', host: '127.0.0.1', port: await freePort() }
  const { postern, url } = await start(`[socketmap]\nlisten = ["127.0.0.1:${socketmap.port}"]\n`)
  const policy = new PolicyClient(postern.policy)
  for (let count = 0; count < 30; count++) {
    expect(await policy.ask('alice@example.net', LIST)).toBe('DUNNO')
    expect(await policy.ask('eve@example.com', LIST)).toContain('550 5.7.2')
    expect(await policy.ask('eve@example.com', 'nobody@lists.example.org')).toContain('550 5.1.1')
  }
  const maps = await SocketmapClient.connect(socketmap)
  for (const question of [`recipient ${LIST}`, 'recipient no@lists.example.org', 'nonsense x']) {
    await maps.ask(question)
  }
  const lmtp = await LmtpClient.greeted(postern.lmtp as Tcp)
  lmtp.send('MAIL FROM:<alice@example.net>', `RCPT TO:<${LIST}>`, 'DATA')
  expect((await lmtp.replies(3)).map(text => text.slice(0, 3))).toEqual(['250', '250', '354'])
  lmtp.send('Subject: x', '', 'x', '.')
  expect((await lmtp.reply()).code).toBe(250)

  const seen = await figures(url)
  expect(decisions(seen, 'policy')).toEqual({
    'RCPT accept sender-permitted': 30,
    'RCPT reject sender-not-permitted': 30,
    'RCPT reject list-unknown': 30,
  })
  const value = (name: string, labels: Record<string, string> = {}): number | undefined =>
    sampleValue(seen, name, labels)
  expect(value('postern_decision_duration_seconds_count', { front: 'policy' })).toBe(90)
  expect(value('postern_connections', { front: 'policy' })).toBe(1)
  expect(value('postern_connections_total', { front: 'lmtp' })).toBe(1)
  expect(value('postern_connections', { front: 'socketmap' })).toBe(1)
  expect(value('postern_sink_messages_total')).toBe(1)
  expect(value('postern_sink_copies_total', { delivery: 'maildir', outcome: 'delivered' })).toBe(1)
  expect(value('postern_sink_copies_total', { delivery: 'maildir', outcome: 'failed' })).toBe(0)
  expect(value('postern_socketmap_lookups_total', { map: 'recipient', result: 'found' })).toBe(1)
  expect(value('postern_socketmap_lookups_total', { map: 'recipient', result: 'not-found' })).toBe(1)
  expect(value('postern_socketmap_lookups_total', { map: 'unknown', result: 'permanent' })).toBe(1)
  expect(value('postern_store_up')).toBe(1)
  expect(value('postern_ready')).toBe(1)
  const text = await (await fetch(`${url}/metrics`)).text()
  expect(text).not.toMatch(/@|lists\.example|alice|example\.com/)
  policy.close()
  maps.destroy()
  lmtp.destroy()
}, 60_000)

test('what was not gone over to shows, and names hold at once', async () => {
  const { postern, web, url } = await start()
  const file = join(postern.directory, 'postern.toml')
  const text = readFileSync(file, 'utf8')
  const reload = async (next: string, word: RegExp): Promise<void> => {
    writeFileSync(file, next)
    process.kill(postern.pid(), 'SIGHUP')
    await vi.waitFor(() => expect(postern.log()).toMatch(word), { timeout: 10_000, interval: 20 })
  }
  const byName = async (): Promise<number> => {
    const client = await RawClient.connected(web)
    client.send(get('/healthz', 'gate.example.org'))
    return responseOf(await client.rest()).status
  }
  expect(await byName()).toBe(421)
  await reload(text.replace('[web]\n', '[web]\nhosts = ["gate.example.org"]\n'), /configuration reloaded/)
  expect(await byName()).toBe(200)
  await reload(`${text}\n[nonsense]\n`, /configuration not reloaded/)
  expect(sampleValue(await figures(url), 'postern_config_last_reload_successful')).toBe(0)
  expect(await byName()).toBe(200)
}, 60_000)

const noRedis = redisMissing('health of a daemon on Redis')

describe.skipIf(noRedis)('on Redis', () => {
  const TIMEOUT = 1500
  const SLOW_MACHINE = 2000

  async function onRedis(): Promise<Watched & { readonly redis: RedisServer }> {
    const redis = await startRedis()
    closing.push(() => redis.remove())
    const watched = await start('', { url: redis.url, timeout: TIMEOUT })
    return { ...watched, redis }
  }

  async function ready(url: string): Promise<{ status: number; text: string }> {
    const response = await fetch(`${url}/readyz`)
    return { status: response.status, text: await response.text() }
  }

  test.each([
    ['stopped', (redis: RedisServer) => redis.stop(), (redis: RedisServer) => redis.restart()],
    ['silent', async (redis: RedisServer) => redis.pause(), async (redis: RedisServer) => redis.resume()],
  ])(
    '%s, readiness turns red within its bound, and back without a restart',
    async (_, away, back) => {
      const { url, redis } = await onRedis()
      expect(await ready(url)).toEqual({ status: 200, text: 'ready\n' })
      await away(redis)
      const since = Date.now()
      // Nobody asks the gate: that the store is away is found out for the question.
      await vi.waitFor(async () => expect((await ready(url)).status).toBe(503), {
        timeout: 10_000,
        interval: 20,
      })
      // What was heard last is believed for a second, and then the store has its own time.
      expect(Date.now() - since).toBeLessThan(1000 + TIMEOUT + SLOW_MACHINE)
      expect((await ready(url)).text).toBe('not ready: store-unavailable (the store does not answer)\n')
      const asJson = await fetch(`${url}/readyz`, { headers: { Accept: 'application/json' } })
      expect(await asJson.json()).toEqual({
        status: 'not ready',
        hindrances: [{ reason: 'store-unavailable' }],
      })
      expect((await fetch(`${url}/healthz`)).status).toBe(200)
      const seen = await figures(url)
      expect(sampleValue(seen, 'postern_store_up')).toBe(0)
      expect(sampleValue(seen, 'postern_ready')).toBe(0)
      expect(sampleValue(seen, 'postern_store_outages_total')).toBe(1)
      expect(sampleValue(seen, 'postern_store_errors_total')).toBeGreaterThan(0)
      await back(redis)
      await vi.waitFor(async () => expect((await ready(url)).status).toBe(200), {
        timeout: 15_000,
        interval: 50,
      })
      expect(sampleValue(await figures(url), 'postern_store_up')).toBe(1)
    },
    60_000,
  )

  test('told to end, it says so until the last, and answers who is being answered', async () => {
    const { postern, url, redis } = await onRedis()
    const policy = new PolicyClient(postern.policy)
    expect(await policy.ask('alice@example.net', LIST)).toBe('DUNNO')
    redis.pause()
    const asked = policy.ask('eve@example.com', LIST)
    // The question has been heard when the store is waited for: the figures come after it on the same event loop.
    const scrape = figures(url)
    const stopped = postern.stop()
    await vi.waitFor(() => expect(postern.log()).toContain(' stopping;'), { timeout: 5000, interval: 10 })
    const readiness = await fetch(`${url}/readyz`)
    expect(readiness.status).toBe(503)
    expect(await readiness.text()).toMatch(/^not ready: stopping \(it is about to end\)/)
    expect(await asked).toContain('451 4.3.0')
    expect(sampleValue(await scrape, 'postern_build_info', await buildLabels(scrape))).toBe(1)
    expect(await stopped).toBe(0)
    await expect(fetch(`${url}/healthz`)).rejects.toThrow()
    policy.close()
  }, 60_000)
})

async function buildLabels(
  scrape: Promise<ReadonlyMap<string, Family>>,
): Promise<Readonly<Record<string, string>>> {
  return (await scrape).get('postern_build_info')?.samples[0]?.labels ?? {}
}

const missing = { native: undefined, libmilter: requireLibmilter() }

describe.each(['native', 'libmilter'] as const)('milter.engine = "%s"', engine => {
  test.skipIf(missing[engine])(
    'its connections and messages are counted',
    async () => {
      // Run from its sources, the program needs this for its threads.
      const threads = new URL('../support/typescript-in-threads.mjs', import.meta.url).href
      process.env['NODE_OPTIONS'] = `--import ${threads}`
      const endpoint: Tcp = { kind: 'tcp', host: '127.0.0.1', port: await freePort() }
      const { postern, url } = await start(
        `[milter]\nengine = "${engine}"\nlisten = ["127.0.0.1:${endpoint.port}"]\nmax_connections = 1\n`,
      )
      const mta = await MtaClient.greeted(endpoint)
      expect(await mta.ask(command.mail('<eve@example.com>'))).toEqual(['c'])
      expect((await mta.ask(command.rcpt(`<${LIST}>`)))[0]).toMatch(/^y 550 5\.7\.2/)
      const other = await MtaClient.greeted(endpoint)
      expect(await other.ask(command.mail('<a@b.example>'))).toEqual(['closed'])
      const open = await figures(url)
      expect(decisions(open, 'milter')).toMatchObject({ 'RCPT reject sender-not-permitted': 1 })
      expect(sampleValue(open, 'postern_connections', { front: 'milter' })).toBe(1)
      expect(sampleValue(open, 'postern_connections_total', { front: 'milter' })).toBe(1)
      expect(sampleValue(open, 'postern_connections_refused_total', { front: 'milter' })).toBe(1)
      expect(sampleValue(open, 'postern_milter_messages_total')).toBe(1)
      mta.send(command.abort(), command.quit())
      expect(await mta.answer()).toBeUndefined()
      await vi.waitFor(
        async () =>
          expect(sampleValue(await figures(url), 'postern_connections', { front: 'milter' })).toBe(0),
        { timeout: 10_000, interval: 50 },
      )
      expect(await postern.stop()).toBe(0)
    },
    60_000,
  )
})

describe('where it listens', () => {
  const cwds: string[] = []
  afterEach(() => {
    for (const cwd of cwds.splice(0)) rmSync(cwd, { recursive: true, force: true })
  })

  const OFF =
    '[policy]\nlisten = []\n[milter]\nlisten = []\n[lmtp]\nlisten = []\ncallout_listen = []\n[socketmap]\nlisten = []\n'

  async function serve(web: string): Promise<Served> {
    const cwd = mkdtempSync(join(tmpdir(), 'postern-web-'))
    cwds.push(cwd)
    writeFileSync(join(cwd, 'postern.toml'), `[store]\npath = "store"\n${OFF}[web]\n${web}\n`)
    const served = await Served.ready({ cwd })
    closing.push(() => served.stop())
    return served
  }

  test('a unix socket has its mode, and goes at the end', async () => {
    const served = await serve('listen = ["unix:web"]\nsocket_mode = "0600"')
    const endpoint = served.endpoint('web')
    if (endpoint.kind !== 'unix') throw new Error('not a unix socket')
    expect(statSync(endpoint.path).mode & 0o777).toBe(0o600)
    const client = await RawClient.connected(endpoint)
    client.send(get('/readyz'))
    expect(responseOf(await client.rest())).toMatchObject({ status: 200, body: 'ready\n' })
    expect(await served.stop()).toBe(0)
    expect(existsSync(endpoint.path)).toBe(false)
  })

  test('nowhere, where it is off', async () => {
    const served = await serve('listen = []')
    expect(served.said).not.toContain('front=<web>')
  })
})
