/** `postern serve` in several processes: who answers, what becomes of them, and that none is left. */
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { formatEndpoint } from '../../src/app/endpoint.ts'
import { INITIAL_SETTINGS } from '../../src/core/list.ts'
import type { ListAddress } from '../../src/core/transaction.ts'
import { openEmbeddedStore } from '../../src/store/embedded.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { PolicyClient, Served, type ServedOptions } from './served.ts'

const root = mkdtempSync(join(tmpdir(), 'postern-workers-'))
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
    // The pipes of its output close when the last of its processes has ended.
    await served.end()
  }
})

const UNIX = '[policy]\nlisten = ["unix:p"]\n[lmtp]\nlisten = ["unix:l"]\n'

/** Two workers, on unix sockets unless said. Fronts without a word about them are off. */
function configure(text: string = UNIX): void {
  const silent = ['milter', 'socketmap', 'web', 'lmtp'].filter(front => !text.includes(`[${front}]`))
  const off = silent.map(front => `\n[${front}]\nlisten = []\n`).join('')
  const two = text.includes('[serve]') ? '' : '[serve]\nworkers = 2\n'
  const whole = `${two}${text}${off}`.replace('[lmtp]\n', '[lmtp]\ncallout_listen = []\n')
  writeFileSync(join(cwd, 'postern.toml'), whole, { mode: 0o600 })
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

function client(served: Served): PolicyClient {
  const made = new PolicyClient(served.endpoint('policy'))
  clients.push(made)
  return made
}

/** The workers' process ids, those that started first first. */
function workersOf(served: Served): number[] {
  const { pid } = served.child
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
  return children.filter(child => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('daemon/worker.ts'))
}

/** The sockets that a process has open. */
function socketsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).filter(fd => linkOf(`/proc/${pid}/fd/${fd}`).startsWith('socket:'))
    .length
}

/** A file may have been closed since it was listed. */
function linkOf(path: string): string {
  try {
    return readlinkSync(path)
  } catch {
    return ''
  }
}

async function addList(nonmember: 'accept' | 'reject'): Promise<void> {
  const store = await openEmbeddedStore({ path: join(cwd, 'var/store') })
  await store.putDomain('lists.example' as Parameters<typeof store.putDomain>[0], { flavour: 'mailman' })
  const address = 'team@lists.example' as ListAddress
  await store.createList(address, INITIAL_SETTINGS)
  await store.updateList(address, { nonmember_action: nonmember })
  await store.close()
}

async function setNonmember(nonmember: 'accept' | 'reject'): Promise<void> {
  const store = await openEmbeddedStore({ path: join(cwd, 'var/store') })
  await store.updateList('team@lists.example' as ListAddress, { nonmember_action: nonmember })
  await store.close()
}

const NOT_PERMITTED = '550 5.7.2 You are not permitted to post to team@lists.example'
const ask = (from: PolicyClient): Promise<string | undefined> =>
  from.ask('bob@example.net', 'team@lists.example')

/** Opens connections, each of which is answered, until every worker has some. */
async function everyWorker(served: Served): Promise<PolicyClient[]> {
  const opened: PolicyClient[] = []
  const before = new Map(workersOf(served).map(pid => [pid, socketsOf(pid)]))
  while (![...before].every(([pid, sockets]) => socketsOf(pid) > sockets)) {
    if (opened.length > 900) throw new Error('one worker gets no connections')
    const batch = Array.from({ length: 20 }, () => client(served))
    await Promise.all(batch.map(ask))
    opened.push(...batch)
  }
  return opened
}

describe('two workers', () => {
  test('both get connections, both see a change at once, and their counts are one', async () => {
    configure()
    await addList('reject')
    const served = await ready()
    expect(workersOf(served)).toHaveLength(2)
    expect(served.said.match(/ listening;/g)).toHaveLength(2)
    expect(served.said).toMatch(/ ready;.* workers=2\n/)
    const all = await everyWorker(served)
    expect(new Set(await Promise.all(all.map(ask)))).toEqual(new Set([NOT_PERMITTED]))
    await setNonmember('accept')
    expect(new Set(await Promise.all(all.map(ask)))).toEqual(new Set(['DUNNO']))
    expect(await served.stop()).toBe(0)
    expect(served.said).toMatch(
      new RegExp(` decisions; verdict=<reject> reason=<sender-not-permitted> count=${2 * all.length}\n`),
    )
    expect(served.said.match(/ stopped\n/g)).toHaveLength(1)
  })

  test('sockets have their permissions, and go at the end', async () => {
    configure(
      '[policy]\nlisten = ["unix:p"]\nsocket_mode = "0666"\n[lmtp]\nlisten = ["unix:l"]\nsocket_mode = "0600"\n',
    )
    const served = await ready()
    expect(['p', 'l'].map(name => lstatSync(join(cwd, name)).mode & 0o777)).toEqual([0o666, 0o600])
    expect(await served.stop()).toBe(0)
    expect(['p', 'l'].map(name => existsSync(join(cwd, name)))).toEqual([false, false])
  })

  test('on TCP with a port of the system’s choice', async () => {
    configure('[policy]\nlisten = ["127.0.0.1:0", "127.0.0.1:0"]\n')
    const served = await ready()
    const [first, second] = [0, 1].map(place => served.endpoint('policy', place))
    expect(first).not.toEqual(second)
    expect(await ask(client(served))).toBe('DUNNO')
    expect(await served.stop()).toBe(0)
  })

  test('a second one is turned away and harms nobody', async () => {
    configure()
    const first = await ready()
    const second = start()
    expect(await second.end()).toBe(69)
    expect(second.said).toMatch(
      /^postern: policy\.listen\[0\]: cannot listen on unix:.*: already in use; .*\n$/,
    )
    expect(await ask(client(first))).toBe('DUNNO')
    const { port } = (await occupied()) ?? { port: 0 }
    configure(`[policy]\nlisten = ["127.0.0.1:${port}"]\n`)
    const third = start()
    expect(await third.end()).toBe(69)
    expect(third.said).toBe(
      `postern: policy.listen[0]: cannot listen on 127.0.0.1:${port}: already in use; does another postern serve run?\n`,
    )
  })

  test('a configuration that is not all right', async () => {
    configure('[serve]\nworkers = "many"\n[policy]\nlisten = ["unix:p"]\n')
    const served = start()
    expect(await served.end()).toBe(78)
    expect(served.said).toBe(
      'postern.toml:2:11: serve.workers: expected a whole number from 1 to 64, or "auto"\n',
    )
  })
})

const servers: ReturnType<typeof createServer>[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})

/** A port that somebody else has. */
async function occupied(): Promise<{ port: number } | undefined> {
  const server = createServer()
  servers.push(server)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', () => resolve()))
  return server.address() as { port: number }
}

describe('death', () => {
  test('of one worker under load: a closed connection, then an answer, and another takes its place', async () => {
    configure()
    await addList('reject')
    const served = await ready()
    const all = await everyWorker(served)
    const [victim = 0] = workersOf(served)
    const answers = all.map(ask)
    process.kill(victim, 'SIGKILL')
    const seen = await Promise.all(answers)
    // Either it was answered before, or its connection was closed; nothing else.
    expect(seen.filter(answer => answer !== NOT_PERMITTED && answer !== undefined)).toEqual([])
    await served.says(/ worker ended; another takes its place; worker=\d end=<SIGKILL>/)
    expect(await ask(client(served))).toBe(NOT_PERMITTED)
    await served.says(/ worker serves; worker=\d/)
    const now = workersOf(served)
    expect(now).toHaveLength(2)
    expect(now).not.toContain(victim)
    const closed = all.filter(each => each.closed).length
    expect(closed).toBeGreaterThan(0)
    expect(closed).toBeLessThan(all.length)
    await everyWorker(served)
    expect(await served.stop()).toBe(0)
  })

  test('of all workers at once: the sockets are opened anew', async () => {
    configure('[policy]\nlisten = ["unix:p"]\nsocket_mode = "0600"\n')
    const served = await ready()
    for (const pid of workersOf(served)) process.kill(pid, 'SIGKILL')
    await served.says(/ worker serves;/)
    expect(lstatSync(join(cwd, 'p')).mode & 0o777).toBe(0o600)
    expect(await ask(client(served))).toBe('DUNNO')
    expect(await served.stop()).toBe(0)
    expect(existsSync(join(cwd, 'p'))).toBe(false)
  })

  test('of the first process: none is left, and what it left behind is in nobody’s way', async () => {
    configure()
    const served = await ready()
    await everyWorker(served)
    const pids = workersOf(served)
    served.signal('SIGKILL')
    expect(await served.end()).toBe('SIGKILL')
    expect(
      pids.filter(
        pid => existsSync(`/proc/${pid}`) && !readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '),
      ),
    ).toEqual([])
    expect(existsSync(join(cwd, 'p'))).toBe(true)
    const next = await ready()
    expect(await ask(client(next))).toBe('DUNNO')
  })

  test('again and again: it gives up, and says so', async () => {
    configure()
    const die = `if (process.argv[1].includes('daemon/worker.ts')) process.on('SIGUSR2', () => process.exit(3))`
    const served = await ready({ beside: die })
    // A worker that cannot start any more: its store is no directory.
    rmSync(join(cwd, 'var/store'), { recursive: true })
    writeFileSync(join(cwd, 'var/store'), '')
    for (const pid of workersOf(served)) process.kill(pid, 'SIGUSR2')
    expect(await served.end()).toBe(70)
    expect(served.said).toMatch(/ error: no worker is left; /)
  })
})

describe('signals', () => {
  test('SIGTERM: the message under way is delivered, by whichever worker', async () => {
    configure(`${UNIX}[delivery.maildir]\npath = "mail"\n`)
    await addList('accept')
    const served = await ready()
    const open = await Promise.all(
      Array.from({ length: 12 }, () => LmtpClient.greeted({ path: join(cwd, 'l') })),
    )
    for (const lmtp of open) {
      await lmtp.ask('MAIL FROM:<bob@example.net>')
      expect((await lmtp.ask('RCPT TO:<team@lists.example>')).code).toBe(250)
      expect((await lmtp.ask('DATA')).code).toBe(354)
      lmtp.send('Subject: one')
    }
    served.signal('SIGTERM')
    await served.says(/ stopping; signal=<SIGTERM>/)
    for (const lmtp of open) {
      lmtp.send('', 'two', '.')
      expect((await lmtp.reply()).code).toBe(250)
      lmtp.destroy()
    }
    expect(await served.end()).toBe(0)
    const mail = readdirSync(join(cwd, 'mail'), { recursive: true, withFileTypes: true })
    expect(mail.filter(each => each.isFile())).toHaveLength(open.length)
  })

  test('a second one ends all at once', async () => {
    configure()
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

  test('SIGHUP: all go over, or none', async () => {
    configure()
    const served = await ready()
    const all = await everyWorker(served)
    configure(`${UNIX}[site]\nmax_recipients = x\n`)
    served.signal('SIGHUP')
    await served.says(/ error: configuration not reloaded; the old one stays in force/)
    expect(await ask(all[0] as PolicyClient)).toBe('DUNNO')
    configure(`[serve]\nworkers = 3\n${UNIX}[log]\nlevel = "warn"\n`)
    served.signal('SIGHUP')
    await served.says(/ changed setting needs a restart; the old value stays; key=<serve\.workers>/)
    const before = served.said
    expect(new Set(await Promise.all(all.map(ask)))).toEqual(new Set(['DUNNO']))
    expect(workersOf(served)).toHaveLength(2)
    // A new worker has the new configuration, whatever has become of the file.
    configure('[polcy]\n')
    process.kill(workersOf(served)[0] as number, 'SIGKILL')
    await served.says(/ worker ended; another takes its place/)
    await everyWorker(served)
    expect(await served.stop()).toBe(0)
    // No decision was logged from then on.
    expect(served.said.slice(before.length)).not.toMatch(/ NOQUEUE: /)
  })
})

describe('systemd', () => {
  /** Starts with a unix socket that was handed over. */
  async function handedOver(): Promise<Served> {
    configure('[policy]\nlisten = ["unix:never"]\n')
    const server = createServer().listen(join(cwd, 'made'))
    await once(server, 'listening')
    // Node removes what it made when it closes, but not under another name.
    renameSync(join(cwd, 'made'), join(cwd, 'p'))
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle
    const served = start({ env: { LISTEN_FDS: '1', LISTEN_FDNAMES: 'policy' }, fds: [fd] })
    server.close()
    await served.says(/ ready;/)
    return served
  }

  /** A client of the socket that was handed over. */
  function caller(): PolicyClient {
    const made = new PolicyClient({ kind: 'unix', path: join(cwd, 'p') })
    clients.push(made)
    return made
  }

  test('hands over sockets: workers share them, and have them again when they are replaced', async () => {
    const served = await handedOver()
    expect(served.said).toContain('front=<policy> endpoint=<handed over>')
    expect(await ask(caller())).toBe('DUNNO')
    process.kill(workersOf(served)[0] as number, 'SIGKILL')
    await served.says(/ worker serves;/)
    const [first, second] = workersOf(served)
    expect([first, second]).not.toContain(undefined)
    expect(await ask(caller())).toBe('DUNNO')
    expect(existsSync(join(cwd, 'never'))).toBe(false)
    expect(await served.stop()).toBe(0)
    expect(existsSync(join(cwd, 'p'))).toBe(true)
  })

  test('all workers gone at once, and the sockets with them: it ends, for systemd to begin anew', async () => {
    const served = await handedOver()
    for (const pid of workersOf(served)) process.kill(pid, 'SIGKILL')
    expect(await served.end()).toBe(70)
    expect(served.said).toMatch(/ error: no worker is left; /)
  })
})

describe('what is told of all', () => {
  test('figures and readiness', async () => {
    configure(`${UNIX}[web]\nlisten = ["127.0.0.1:0"]\n`)
    await addList('reject')
    const served = await ready()
    const all = await everyWorker(served)
    const url = `http://${formatEndpoint(served.endpoint('web'))}`
    const figures = async (): Promise<string> =>
      (await fetch(`${url}/metrics`, { headers: { connection: 'close' } })).text()
    const refusals =
      /^postern_decisions_total\{front="policy",phase="RCPT",verdict="reject",reason="sender-not-permitted"\} (\d+)$/m
    const open = /^postern_connections\{front="policy"\} (\d+)$/m
    for (let time = 0; time < 6; time++) {
      const text = await figures()
      expect([refusals.exec(text)?.[1], open.exec(text)?.[1]]).toEqual([`${all.length}`, `${all.length}`])
      expect(text).toMatch(/^postern_ready 1$/m)
      expect(text).toMatch(/^postern_build_info\{.*\} 1$/m)
    }
    process.kill(workersOf(served)[0] as number, 'SIGKILL')
    await served.says(/ worker serves;/)
    // What was counted stays counted.
    const text = await figures()
    expect(refusals.exec(text)?.[1]).toBe(`${all.length}`)
    expect(Number(open.exec(text)?.[1])).toBeLessThan(all.length)
    expect(await (await fetch(`${url}/readyz`)).text()).toBe('ready\n')
    expect(await served.stop()).toBe(0)
  })
})
