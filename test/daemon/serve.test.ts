import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { INITIAL_SETTINGS } from '../../src/core/list.ts'
import type { ListAddress } from '../../src/core/transaction.ts'
import { openEmbeddedStore } from '../../src/store/embedded.ts'
import { Keys } from '../../src/store/keys.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { redisMissing, startRedis } from '../support/redis-server.ts'
import { PolicyClient, Served, type ServedOptions } from './served.ts'

const root = mkdtempSync(join(tmpdir(), 'postern-serve-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let cwd = ''
const running: Served[] = []
const clients: PolicyClient[] = []
beforeEach(() => {
  cwd = mkdtempSync(join(root, 'case-'))
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  for (const served of running.splice(0)) {
    served.signal('SIGKILL')
    await served.end()
  }
})

const PLACES =
  '[policy]\nlisten = ["127.0.0.1:0"]\n[lmtp]\nlisten = ["127.0.0.1:0"]\nhostname = "first.example"\n'

/** Fronts without a word about them are off: their ports are taken where tests run side by side. */
function configure(text: string = PLACES): void {
  const silent = ['milter', 'socketmap', 'web'].filter(front => !text.includes(`[${front}]`))
  const off = silent.map(front => `\n[${front}]\nlisten = []\n`)
  const lmtp = text.replace('[lmtp]\n', '[lmtp]\ncallout_listen = []\n')
  writeFileSync(join(cwd, 'postern.toml'), lmtp + off.join(''))
}

function start(options: Omit<ServedOptions, 'cwd'> = {}): Served {
  const served = new Served({ cwd, ...options })
  running.push(served)
  return served
}

async function ready(options: Omit<ServedOptions, 'cwd'> = {}): Promise<Served> {
  const served = start(options)
  await served.says(/ ready;/)
  return served
}

function client(served: Served, place = 0): PolicyClient {
  const made = new PolicyClient(served.endpoint('policy', place))
  clients.push(made)
  return made
}

/** Puts a list into the embedded store, which the daemon may have open. */
async function addList(nonmember: 'accept' | 'reject'): Promise<void> {
  const store = await openEmbeddedStore({ path: join(cwd, 'var/store') })
  await store.putDomain('lists.example' as Parameters<typeof store.putDomain>[0], { flavour: 'mailman' })
  const address = 'team@lists.example' as ListAddress
  await store.createList(address, INITIAL_SETTINGS)
  await store.updateList(address, { nonmember_action: nonmember })
  await store.close()
}

const NOT_PERMITTED = '550 5.7.2 You are not permitted to post to team@lists.example'

describe('start', () => {
  test('says what listens where, answers, and sees what is added meanwhile', async () => {
    configure(`${PLACES}[trial]\nenabled = true\nlisten = "127.0.0.1:0"\n`)
    const served = await ready()
    expect(served.endpoint('trial')).toMatchObject({ host: '127.0.0.1' })
    const policy = client(served)
    expect(await policy.ask('bob@example.net', 'team@lists.example')).toBe('DUNNO')
    await addList('reject')
    expect(await policy.ask('bob@example.net', 'team@lists.example')).toBe(NOT_PERMITTED)
    expect(served.stdout).toBe('')
    expect(served.said).not.toContain('There is no configuration file')
    expect(served.said).toContain(`store=<embedded store in ${join(cwd, 'var/store')}>`)
    expect(await served.stop()).toBe(0)
    expect(served.said).toMatch(/ NOQUEUE: reject: RCPT from unknown\[unknown\]: 550 5\.7\.2 /)
    expect(served.said).toMatch(/ decisions; verdict=<reject> reason=<sender-not-permitted> count=1\n/)
    expect(served.said).toMatch(/ stopping; signal=<SIGTERM>\n(.*\n)* *.* stopped\n$/)
  })

  test('a second one on the same port fails in one line and harms nobody', async () => {
    configure()
    const first = await ready()
    const port = first.port('policy')
    const socket = join(cwd, 'policy.sock')
    configure(`[policy]\nlisten = ["unix:policy.sock", "127.0.0.1:${port}"]\n[lmtp]\nlisten = []\n`)
    const second = start()
    expect(await second.end()).toBe(69)
    expect(second.said).toBe(
      `postern: policy.listen[1]: cannot listen on 127.0.0.1:${port}: already in use; does another postern serve run?\n`,
    )
    expect(existsSync(socket)).toBe(false)
    expect(await client(first).ask('bob@example.net', 'x@elsewhere.example')).toBe('DUNNO')
  })

  test('a second one on the same unix socket leaves the first its socket', async () => {
    configure('[policy]\nlisten = ["unix:p"]\nsocket_mode = "0600"\n[lmtp]\nlisten = []\n')
    const first = await ready()
    expect(lstatSync(join(cwd, 'p')).mode & 0o777).toBe(0o600)
    const second = start()
    expect(await second.end()).toBe(69)
    expect(second.said).toMatch(
      /^postern: policy\.listen\[0\]: cannot listen on unix:.*: already in use; .*\n$/,
    )
    expect(await client(first).ask('bob@example.net', 'x@elsewhere.example')).toBe('DUNNO')
    expect(await first.stop()).toBe(0)
    expect(existsSync(join(cwd, 'p'))).toBe(false)
  })

  test('a bad configuration: each problem on its line, exit code 78', async () => {
    configure('[polcy]\n[log]\nlevel = "loud"\n')
    const served = start()
    expect(await served.end()).toBe(78)
    expect(served.said).toBe(
      'postern.toml:1:2: polcy: unknown key; did you mean policy?\n' +
        'postern.toml:3:9: log.level: expected "debug", "info", "warn" or "error"\n',
    )
  })

  test('a key file that cannot be used', async () => {
    configure(`${PLACES}[log]\naddresses = "hashed"\nkey_file = "postern.toml"\n`)
    const served = start()
    expect(await served.end()).toBe(78)
    expect(served.said).toMatch(/^postern: log\.key_file: expected 64 hexadecimal digits in .*\n$/)
  })

  test('warnings are logged', async () => {
    configure(`${PLACES}[redis]\nhost = "127.0.0.1"\nport = 1\n[store]\n`)
    const served = await ready()
    await served.says(
      /warning: configuration warning; at=<postern\.toml:10:2: store: has no effect: the store is Redis>/,
    )
  })

  test('the log as JSON', async () => {
    configure(`${PLACES}[log]\nformat = "json"\n`)
    const served = start()
    await served.says(/"message":"ready"/)
    const lines = served.said
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Record<string, unknown>)
    expect(lines.map(({ message, front }) => [message, front])).toEqual([
      ['listening', 'policy'],
      ['listening', 'lmtp'],
      ['ready', undefined],
    ])
  })
})

describe('end', () => {
  test('SIGTERM: no new connections, and the message under way is delivered', async () => {
    configure(`${PLACES}[delivery.maildir]\npath = "mail"\n`)
    await addList('accept')
    const served = await ready()
    const port = served.port('lmtp')
    const lmtp = await LmtpClient.greeted({ port })
    await lmtp.ask('MAIL FROM:<bob@example.net>')
    expect((await lmtp.ask('RCPT TO:<team@lists.example>')).code).toBe(250)
    expect((await lmtp.ask('DATA')).code).toBe(354)
    lmtp.send('Subject: one')
    served.signal('SIGTERM')
    await served.says(/ stopping; signal=<SIGTERM>/)
    await expect(LmtpClient.connect({ port })).rejects.toThrow('ECONNREFUSED')
    lmtp.send('', 'two', '.')
    expect((await lmtp.reply()).code).toBe(250)
    expect(await served.end()).toBe(0)
    const files = readdirSync(join(cwd, 'mail'), { recursive: true, withFileTypes: true }).filter(each =>
      each.isFile(),
    )
    const bodies = files.map(file => readFileSync(join(file.parentPath, file.name), 'latin1'))
    expect(
      bodies.filter(
        body => body.endsWith('Subject: one\n\ntwo\n') || body.endsWith('Subject: one\r\n\r\ntwo\r\n'),
      ),
    ).toHaveLength(1)
    lmtp.destroy()
  })

  test('an interrupt that the terminal and npm both send is one', async () => {
    configure()
    const twice = `process.on('SIGUSR2', () => [1, 2].forEach(() => process.emit('SIGINT', 'SIGINT')))`
    const served = await ready({ beside: twice })
    const lmtp = await LmtpClient.greeted({ port: served.port('lmtp') })
    await lmtp.ask('MAIL FROM:<bob@example.net>')
    lmtp.send('RCPT')
    served.signal('SIGUSR2')
    await served.says(/ stopping; signal=<SIGINT>/)
    lmtp.destroy()
    expect(await served.end()).toBe(0)
  })

  test('a second signal ends it at once', async () => {
    configure('[policy]\nlisten = ["unix:p"]\n[lmtp]\nlisten = ["unix:l"]\n')
    const served = await ready()
    const lmtp = await LmtpClient.greeted({ path: join(cwd, 'l') })
    await lmtp.ask('MAIL FROM:<bob@example.net>')
    lmtp.send('RCPT')
    served.signal('SIGTERM')
    await served.says(/ stopping; signal=<SIGTERM>/)
    served.signal('SIGINT')
    expect(await served.end()).toBe(130)
    expect([existsSync(join(cwd, 'p')), existsSync(join(cwd, 'l'))]).toEqual([false, false])
    lmtp.destroy()
  })

  test.each([
    ['thrown', 'throw new TypeError("a bug")'],
    ['rejected', 'Promise.reject(new TypeError("a bug"))'],
  ])('a bug that nobody catches, %s: logged with its stack, exit code 70', async (_, code) => {
    configure('[policy]\nlisten = ["unix:p"]\n[lmtp]\nlisten = []\n')
    const served = await ready({ beside: `process.on('SIGUSR2', () => { ${code} })` })
    served.signal('SIGUSR2')
    expect(await served.end()).toBe(70)
    expect(served.said).toMatch(
      / error: unexpected failure; cause=<a bug> stack=<TypeError: a bug \| at [^\n]*>\n$/,
    )
    expect(existsSync(join(cwd, 'p'))).toBe(false)
  })

  test('a log that nobody reads any more is no reason to end', async () => {
    configure()
    const served = await ready()
    served.child.stderr?.destroy()
    const policy = client(served)
    for (let asked = 0; asked < 3; asked++)
      expect(await policy.ask('b@example.net', 'x@a.example')).toBe('DUNNO')
    await addList('reject')
    for (let asked = 0; asked < 3; asked++) {
      expect(await policy.ask('b@example.net', 'team@lists.example')).toBe(NOT_PERMITTED)
    }
    expect(await served.stop()).toBe(0)
  })
})

describe('SIGHUP', () => {
  test('a good configuration is gone over to as a whole, and connections live on', async () => {
    configure()
    await addList('reject')
    const served = await ready()
    const policy = client(served)
    await policy.ask('b@example.net', 'x@a.example')
    expect(served.said).not.toContain('none: RCPT')
    const before = await LmtpClient.connect({ port: served.port('lmtp') })
    expect((await before.reply()).text).toContain('first.example')
    configure(
      `[policy]\nlisten = ["127.0.0.1:0", "unix:new"]\n[lmtp]\nlisten = ["127.0.0.1:0"]\nhostname = "second.example"\n` +
        '[site]\nprobe_local_parts = ["prober"]\n[log]\nlevel = "debug"\n[store]\npath = "elsewhere"\n',
    )
    served.signal('SIGHUP')
    await served.says(/ configuration reloaded; config=<.*postern\.toml>/)
    expect(
      served.said.match(/warning: changed setting.* key=<(.*)>/g)?.map(line => line.replace(/.*key=/, '')),
    ).toEqual(['<policy.listen>', '<store and redis>'])
    // A probe is told only that the list exists: the site's settings hold for connections that were there.
    expect(await policy.ask('prober@example.net', 'team@lists.example')).toBe('DUNNO')
    expect(await policy.ask('b@example.net', 'x@a.example')).toBe('DUNNO')
    await served.says(/none: RCPT/)
    const after = await LmtpClient.connect({ port: served.port('lmtp') })
    expect((await after.reply()).text).toContain('second.example')
    expect((await before.ask('NOOP')).code).toBe(250)
    expect(existsSync(join(cwd, 'new'))).toBe(false)
    for (const lmtp of [before, after]) lmtp.destroy()
    expect(await served.stop()).toBe(0)
  })

  test.each<[string, () => void, RegExp]>([
    [
      'a bad one',
      () => configure(`${PLACES}max_size = 1\n[site]\nprobe_local_parts = ["prober"]\n`),
      / error: configuration error; at=<.*postern\.toml:7:12: lmtp\.max_size: must be at least 1024>/,
    ],
    [
      'one that has gone',
      () => rmSync(join(cwd, 'postern.toml')),
      / error: configuration error; at=<.*postern\.toml: cannot read it: there is no such file>/,
    ],
    [
      'one whose log cannot be made',
      () =>
        configure(
          `${PLACES}[site]\nprobe_local_parts = ["prober"]\n[log]\naddresses = "hashed"\nkey_file = "."\n`,
        ),
      / error: configuration not reloaded; the old one stays in force; cause=<EISDIR/,
    ],
  ])('%s is not gone over to', async (_, change, line) => {
    configure()
    await addList('reject')
    const served = await ready()
    change()
    served.signal('SIGHUP')
    await served.says(/ error: configuration not reloaded; the old one stays in force/)
    expect(served.said).toMatch(line)
    expect(await client(served).ask('prober@example.net', 'team@lists.example')).toBe(NOT_PERMITTED)
    expect(await served.stop()).toBe(0)
  })
})

describe('systemd', () => {
  test('is told that the service is ready and that it stops', async () => {
    configure()
    writeFileSync(join(cwd, 'systemd-notify'), '#!/bin/sh\necho "$NOTIFY_SOCKET $*" >> "$TMPDIR/told"\n')
    chmodSync(join(cwd, 'systemd-notify'), 0o755)
    const env = { PATH: `${cwd}:${process.env['PATH']}`, NOTIFY_SOCKET: '/run/n' }
    const served = await ready({ env })
    expect(await served.stop()).toBe(0)
    expect(readFileSync(join(cwd, 'told'), 'utf8')).toBe(
      '/run/n --no-block --status=serving --ready\n/run/n --no-block --status=finishing work under way STOPPING=1\n',
    )
  })

  test('hands over sockets, which take the place of the configured ones and are left in place', async () => {
    configure('[policy]\nlisten = ["unix:never"]\n[lmtp]\nlisten = ["127.0.0.1:0"]\n')
    const servers = ['policy', 'lmtp'].map(name => createServer().listen(join(cwd, `${name}.made`)))
    const tcp = createServer().listen(0, '127.0.0.1')
    await Promise.all([...servers, tcp].map(server => once(server, 'listening')))
    // Node removes what it made when it closes, but not under another name.
    for (const name of ['policy', 'lmtp']) renameSync(join(cwd, `${name}.made`), join(cwd, name))
    const fds = [...servers, tcp].map(server => (server as unknown as { _handle: { fd: number } })._handle.fd)
    const served = start({ env: { LISTEN_FDS: '3', LISTEN_FDNAMES: 'policy:lmtp:lmtp' }, fds })
    for (const server of [...servers, tcp]) server.close()
    await served.says(/ ready;/)
    const port = served.endpoint('lmtp', 1)
    expect(port).toMatchObject({ kind: 'tcp', host: '127.0.0.1' })
    expect(served.said).toContain('front=<policy> endpoint=<handed over>')
    expect(existsSync(join(cwd, 'never'))).toBe(false)
    const policy = new PolicyClient({ kind: 'unix', path: join(cwd, 'policy') })
    clients.push(policy)
    expect(await policy.ask('b@example.net', 'x@a.example')).toBe('DUNNO')
    const lmtp = await LmtpClient.greeted({ path: join(cwd, 'lmtp') })
    expect((await lmtp.ask('NOOP')).code).toBe(250)
    lmtp.destroy()
    policy.close()
    expect(await served.stop()).toBe(0)
    expect(existsSync(join(cwd, 'policy'))).toBe(true)
  })
})

describe.skipIf(redisMissing('the daemon without its Redis'))('Redis', () => {
  test('away at the start: serves, says so once, and answers once it is there', async () => {
    const redis = await startRedis()
    await redis.stop()
    const place = `[redis]\nhost = "127.0.0.1"\nport = ${redis.port}\n`
    configure(PLACES + place)
    const served = await ready()
    const policy = client(served)
    for (let asked = 0; asked < 3; asked++) {
      expect(await policy.ask('b@example.net', 'x@a.example')).toBe(
        '451 4.3.0 Temporary failure; try again later',
      )
    }
    expect(served.said.match(/error: store unavailable; store=<redis at /g)).toHaveLength(1)
    // The site may think again while Redis is away, and is heard on connections that are there.
    configure(`${PLACES.replace('[lmtp]', 'on_store_failure = "pass"\n[lmtp]')}${place}`)
    served.signal('SIGHUP')
    await served.says(/ configuration reloaded;/)
    expect(await policy.ask('b@example.net', 'x@a.example')).toBe('DUNNO')
    configure(PLACES + place)
    served.signal('SIGHUP')
    await served.says(/ configuration reloaded;[\s\S]* configuration reloaded;/)
    await redis.restart()
    let answer: string | undefined = ''
    while (answer !== 'DUNNO') answer = await policy.ask('b@example.net', 'x@a.example')
    await served.says(/ store available again; store=<redis at .*> seconds=\d+ failures=\d+/)
    expect(served.said.match(/error: /g)).toHaveLength(1)
    expect(await served.stop()).toBe(0)
    await redis.remove()
  })

  test('of a later version: refused, because it can never be used', async () => {
    const redis = await startRedis()
    const writer = new Redis(redis.port, redis.host)
    await writer.set(new Keys('p:').site.schema, '99')
    await writer.quit()
    configure(`${PLACES}[redis]\nport = ${redis.port}\nprefix = "p:"\n`)
    const served = start()
    expect(await served.end()).toBe(1)
    expect(served.said).toMatch(/StoreSchemaError: .*schema version 99/)
    await redis.remove()
  })
})
