/**
 * A private Exim: unpacked, not installed, and started in a mount name space where `/etc`, `/var` and `/run` are a
 * directory of its own and `/usr/sbin` is what was unpacked. So it finds everything where Debian has it, and nothing of
 * the system is touched. Its configuration includes the very files of `exim/`. Whatever it would send on, bounces
 * above all, ends in a trap.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { freePort } from './ports.ts'
import { SmtpClient } from './smtp-client.ts'
import { startTrap, type Trap, type TrappedMessage } from './trap.ts'

type TcpEndpoint = Extract<Endpoint, { kind: 'tcp' }>

const SNIPPETS = fileURLToPath(new URL('../../exim', import.meta.url))
const ROOT = fileURLToPath(new URL('../../.cache/exim', import.meta.url))
const PROGRAMS = join(ROOT, 'usr/sbin')

/** The user that Debian's Exim runs as, which only the private `/etc/passwd` knows. */
const USER = 'Debian-exim'
const USER_ID = 59_999

/** In milliseconds. */
const WAIT_TIMEOUT = 60_000
const POLL_INTERVAL = 20

/** Why no Exim can be started here, if none can. */
export function whyNoExim(): string | undefined {
  const program = join(PROGRAMS, 'exim4')
  if (!existsSync(program)) return `there is no ${program}`
  if (process.getuid?.() !== 0) return 'exim must be started by root'
  const ownMounts = spawnSync('unshare', ['--mount', 'true'])
  return ownMounts.status === 0 ? undefined : 'unshare --mount is not permitted'
}

export interface EximOptions {
  /** Where the policy server and the LMTP sink are. */
  readonly policy: Endpoint
  readonly lmtp: TcpEndpoint
  /** Where the sink is asked only; by default where it takes mail. */
  readonly callout?: TcpEndpoint
  /** The switches of `exim/settings` that are on. */
  readonly switches?: readonly string[]
  /** The list domains, in place of `lists.example.org`. */
  readonly domains?: readonly string[]
  /** More of the main section. */
  readonly main?: string
  /** The ACL for RCPT, in place of the usual one. */
  readonly rcpt?: string
  /** More routers, before all others, and more transports. */
  readonly routers?: string
  readonly transports?: string
  /** Debian's own configuration, changed by these commands, in place of the one that is written here. */
  readonly debian?: { readonly scheme: 'split' | 'unsplit'; readonly commands: string }
}

export interface Exim {
  /** Where SMTP is spoken, after a line that says for whom: see `connect`. */
  readonly endpoint: TcpEndpoint
  /** What it sent on to the next hop. */
  readonly sent: readonly TrappedMessage[]
  /** Connects from an address, and reads the greeting. */
  connect(address?: string): Promise<SmtpClient>
  queueIsEmpty(): boolean
  /** Resolves when nothing is queued any more. */
  waitForEmptyQueue(): Promise<void>
  /** The main log. */
  log(): string
  /** What should never be there. */
  panicLog(): string
  /** Resolves with the first line of the main log that matches. */
  waitForLog(pattern: RegExp): Promise<string>
  /** Runs a command where Exim runs, and gives what it wrote. Fails if the command fails. */
  run(command: string, args: readonly string[], input?: string): Promise<string>
  stop(): Promise<void>
}

/** `exim/settings` with the ports and switches of a test. */
function settings({
  policy,
  lmtp,
  callout = lmtp,
  switches = [],
  domains = ['lists.example.org'],
}: EximOptions): string {
  const places = {
    '= lists.example.org\n': `= ${domains.join(' : ')}\n`,
    'inet:127.0.0.1:10040': policy.kind === 'unix' ? policy.path : `inet:${policy.host}:${policy.port}`,
    '= 127.0.0.1\n': `= ${lmtp.host}\n`,
    '= 10042': `= ${lmtp.port}`,
    '= 10044': `= ${callout.port}`,
    ...Object.fromEntries(switches.map(name => [`#${name} = yes`, `${name} = yes`])),
  }
  return Object.entries(places).reduce(
    (text, [from, to]) => {
      if (!text.includes(from)) throw new Error(`exim/settings has no ${from}`)
      return text.replace(from, to)
    },
    readFileSync(join(SNIPPETS, 'settings'), 'utf8'),
  )
}

const RCPT = `
  require
    message = relay not permitted
    domains = +postern_domains : elsewhere.example : example.org
  require
    acl = postern_rcpt
  accept
`

const CONFIGURATION = (
  port: number,
  trap: Trap,
  { main = '', rcpt = RCPT, routers = '', transports = '' }: EximOptions,
): string => `
.include /etc/exim4/postern/settings
.include /etc/exim4/postern/main

primary_hostname = mx.example.org
qualify_domain = example.org
daemon_smtp_ports = ${port}
local_interfaces = 127.0.0.1
hosts_proxy = 127.0.0.1
host_lookup_order = byaddr
keep_environment =
notifier_socket =
tls_advertise_hosts =
smtputf8_advertise_hosts = *
prdr_enable = true
smtp_accept_max = 100
queue_run_max = 5
acl_smtp_mail = postern_mail
acl_smtp_rcpt = check_rcpt
acl_smtp_data = postern_data
${main}

begin acl
check_rcpt:
${rcpt}
.include /etc/exim4/postern/acl

begin routers
${routers}
.include /etc/exim4/postern/router
everything_else:
  driver = manualroute
  route_list = * ${trap.endpoint.host}
  self = send
  transport = trap

begin transports
${transports}
.include /etc/exim4/postern/transport
trap:
  driver = smtp
  port = ${trap.endpoint.port}
  allow_localhost
  hosts_avoid_tls = *
  message_linelength_limit = 1G
  # It would close its side behind the last dot, and the trap the whole connection.
  hosts_avoid_pipelining = *

begin retry
* * F,1h,1s
`

/** What Debian's package writes when it is installed. */
const UPDATE_CONF = (
  port: number,
  scheme: 'split' | 'unsplit',
): string => `dc_eximconfig_configtype='internet'
dc_other_hostnames='example.org'
dc_local_interfaces='127.0.0.1.${port}'
dc_readhost=''
dc_relay_domains=''
dc_minimaldns='false'
dc_relay_nets=''
dc_smarthost=''
CFILEMODE='644'
dc_use_split_config='${scheme === 'split'}'
dc_hide_mailname=''
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
`

/** What lets a test be a client from everywhere. */
const DEBIAN_LOCAL = `hosts_proxy = 127.0.0.1
primary_hostname = mx.example.org
host_lookup_order = byaddr
notifier_socket =
`

/** Fills the private `/etc`, `/var` and `/run`. */
function furnish(directory: string, port: number, trap: Trap, options: EximOptions): void {
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text)
  for (const name of ['etc/exim4/postern', 'run/exim4', 'var/lib/exim4', 'var/mail', 'var/tmp']) {
    mkdirSync(join(directory, name), { recursive: true })
  }
  for (const name of ['var/spool/exim4', 'var/log/exim4']) {
    mkdirSync(join(directory, name), { recursive: true })
    chownSync(join(directory, name), USER_ID, USER_ID)
  }
  for (const name of ['ld.so.cache', 'services', 'protocols']) {
    if (existsSync(`/etc/${name}`)) copyFileSync(`/etc/${name}`, join(directory, 'etc', name))
  }
  const known = (name: string): string =>
    readFileSync(`/etc/${name}`, 'utf8').replace(new RegExp(`^${USER}:.*\\n`, 'm'), '')
  write('etc/passwd', `${known('passwd')}${USER}:x:${USER_ID}:${USER_ID}::/var/spool/exim4:/bin/false\n`)
  write('etc/group', `${known('group')}${USER}:x:${USER_ID}:\n`)
  write('etc/nsswitch.conf', 'passwd: files\ngroup: files\nhosts: files\n')
  write('etc/hosts', '127.0.0.1 mx.example.org localhost\n')
  write('etc/resolv.conf', 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n')
  write('etc/mailname', 'example.org\n')
  cpSync(SNIPPETS, join(directory, 'etc/exim4/postern'), { recursive: true })
  write('etc/exim4/postern/settings', settings(options))
  if (options.debian === undefined) {
    write('etc/exim4/exim4.conf', CONFIGURATION(port, trap, options))
    return
  }
  cpSync(join(ROOT, 'etc/exim4'), join(directory, 'etc/exim4'), { recursive: true })
  write('etc/exim4/update-exim4.conf.conf', UPDATE_CONF(port, options.debian.scheme))
  for (const name of ['conf.d/main/000_localmacros', 'exim4.conf.localmacros']) {
    write(`etc/exim4/${name}`, DEBIAN_LOCAL)
  }
}

/** Makes the private directories what the command sees, and becomes it. */
const ENTER = `set -e
for name in etc var run; do mount --bind "$1/$name" "/$name"; done
mount --bind "$2" /usr/sbin
shift 2
exec "$@"`

function inside(directory: string, command: readonly string[]): string[] {
  return ['--mount', '--propagation', 'private', 'sh', '-c', ENTER, 'sh', directory, PROGRAMS, ...command]
}

async function until(
  what: string,
  done: () => boolean | Promise<boolean>,
  explain: () => string,
): Promise<void> {
  const deadline = Date.now() + WAIT_TIMEOUT
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}:\n${explain()}`)
    await new Promise(resolve => setTimeout(resolve, POLL_INTERVAL))
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

/** Signals Exim and all that it has started: they are a process group of their own. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

/** Ends the group if this process ends without doing so, even when it is killed: then the pipe between them closes. */
function endWithUs(child: ChildProcess): void {
  const watcher = spawn('/bin/sh', ['-c', 'cat >/dev/null; kill -9 "-$1"', 'sh', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.once('exit', () => watcher.kill('SIGKILL'))
}

/** What a proxy says first: whose connection it passes on (PROXY protocol, version 1). */
function proxyLine(address: string): string {
  const [family, own] = address.includes(':') ? ['TCP6', '::1'] : ['TCP4', '127.0.0.1']
  return `PROXY ${family} ${address} ${own} 40000 25\r\n`
}

/** Starts Exim. Fails, with what it said, if it does not answer. */
export async function startExim(options: EximOptions): Promise<Exim> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-exim-'))
  chmodSync(directory, 0o755)
  const trap = await startTrap()
  const endpoint: TcpEndpoint = { kind: 'tcp', host: '127.0.0.1', port: await freePort() }
  furnish(directory, endpoint.port, trap, options)
  const fileText = (name: string): string => {
    const path = join(directory, name)
    return existsSync(path) ? readFileSync(path, 'utf8') : ''
  }
  const log = (): string => fileText('var/log/exim4/mainlog')
  const panicLog = (): string => fileText('var/log/exim4/paniclog')
  const run = async (command: string, args: readonly string[], input = ''): Promise<string> => {
    const running = spawn('unshare', inside(directory, [command, ...args]), { cwd: '/' })
    let written = ''
    for (const stream of [running.stdout, running.stderr]) {
      stream.on('data', chunk => (written += String(chunk)))
    }
    running.stdin.end(input)
    const [status] = (await once(running, 'close')) as [number | null]
    if (status !== 0) throw new Error(`${command} ${args.join(' ')} ended with ${status}:\n${written}`)
    return written
  }

  let said = ''
  let child: ChildProcess | undefined
  const stop = async (): Promise<void> => {
    if (child !== undefined) {
      const ended = hasEnded(child) ? undefined : once(child, 'exit')
      signalGroup(child, 'SIGTERM')
      await ended
      signalGroup(child, 'SIGKILL')
    }
    await trap.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  const connect = async (address = '127.0.0.1'): Promise<SmtpClient> => {
    const client = await SmtpClient.open(endpoint)
    client.send(proxyLine(address))
    client.greeting = await client.read()
    return client
  }
  try {
    if (options.debian !== undefined) await run('sh', ['-ec', options.debian.commands])
    const daemon = ['/usr/sbin/exim4', '-bdf', '-q1s']
    child = spawn('unshare', inside(directory, daemon), {
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const started = child
    endWithUs(started)
    for (const stream of [started.stdout, started.stderr])
      stream?.on('data', chunk => (said += String(chunk)))
    await until(
      'the start',
      () => hasEnded(started) || / daemon started: /.test(log()),
      () => `${said}\n${log()}`,
    )
    if (hasEnded(started)) throw new Error('exim ended at once')
  } catch (error) {
    const story = `${said}\n${log()}\n${panicLog()}`
    await stop()
    throw new Error(`${(error as Error).message}:\n${story}`, { cause: error })
  }

  const queued = (): string[] => {
    const queue = join(directory, 'var/spool/exim4/input')
    return existsSync(queue) ? readdirSync(queue).filter(name => name.endsWith('-H')) : []
  }
  const queueIsEmpty = (): boolean => queued().length === 0
  return {
    endpoint,
    sent: trap.messages,
    connect,
    queueIsEmpty,
    waitForEmptyQueue: () => until('an empty queue', queueIsEmpty, () => `${queued().join(' ')}\n${log()}`),
    log,
    panicLog,
    waitForLog: async pattern => {
      const find = (): string | undefined =>
        log()
          .split('\n')
          .find(line => pattern.test(line))
      await until(`a log line like ${pattern}`, () => find() !== undefined, log)
      return find() ?? ''
    },
    run,
    stop,
  }
}
