/**
 * A private Postfix: its own configuration, queue, data and log in a directory of its own, on loopback, with the very
 * files of `postfix/` in its main.cf. Whatever it would send on, bounces above all, ends in a trap.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { freePort } from './ports.ts'
import { startTrap, type Trap, type TrappedMessage } from './trap.ts'

const SNIPPETS = fileURLToPath(new URL('../../postfix', import.meta.url))
const POSTFIX = '/usr/sbin/postfix'

/** In milliseconds. */
const WAIT_TIMEOUT = 60_000
const ANSWER_TIMEOUT = 30_000
const POLL_INTERVAL = 20

/** Why no Postfix can be started here, if none can. */
export function whyNoPostfix(): string | undefined {
  if (!existsSync(POSTFIX)) return 'postfix is not installed'
  return process.getuid?.() === 0 ? undefined : 'postfix must be started by root'
}

export interface PostfixOptions {
  /** Names of files in `postfix/` that go into main.cf as they are, but for the ports. */
  readonly snippets: readonly string[]
  /** What stands in a snippet, and what takes its place: the ports and paths of the server under test. */
  readonly replace?: Readonly<Record<string, string>>
  /** More of main.cf, after the snippets. */
  readonly mainCf?: string
  /** Whether smtpd and lmtp are confined to the queue directory, as in Debian. */
  readonly chroot?: boolean
}

export interface Postfix {
  /** Where SMTP is spoken. */
  readonly endpoint: Extract<Endpoint, { kind: 'tcp' }>
  /** Postfix's queue directory, which is the root of what is confined. */
  readonly queueDirectory: string
  /** Its configuration directory, for `postmap -c` and `postqueue -c`. */
  readonly configDirectory: string
  /** What it sent on to the next hop. */
  readonly sent: readonly TrappedMessage[]
  queueIsEmpty(): boolean
  /** Resolves when nothing is queued any more. */
  waitForEmptyQueue(): Promise<void>
  log(): string
  /** Resolves with the first log line that matches. */
  waitForLog(pattern: RegExp): Promise<string>
  stop(): Promise<void>
}

const MAIN_CF = (directory: string, trap: Trap): string => `compatibility_level = 3.6
config_directory = ${directory}/conf
queue_directory = ${directory}/queue
data_directory = ${directory}/data
maillog_file = ${directory}/mail.log
maillog_file_prefixes = ${directory}
myhostname = mx.example.org
inet_interfaces = loopback-only
inet_protocols = all
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
relayhost = [${trap.endpoint.host}]:${trap.endpoint.port}
disable_dns_lookups = yes
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_authorized_xclient_hosts = 127.0.0.0/8
smtputf8_enable = yes
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
transport_retry_time = 1s
smtpd_error_sleep_time = 0
smtpd_soft_error_limit = 200
smtpd_hard_error_limit = 300
`

const MASTER_CF = (port: number, chroot: boolean): string => {
  const confined = chroot ? 'y' : 'n'
  return `127.0.0.1:${port} inet n - ${confined} - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - ${confined} - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
`
}

function snippet(name: string, replace: Readonly<Record<string, string>>): string {
  const text = readFileSync(join(SNIPPETS, name), 'utf8')
  return Object.entries(replace).reduce((replaced, [from, to]) => replaced.replaceAll(from, to), text)
}

async function until(what: string, done: () => boolean, explain: () => string): Promise<void> {
  const deadline = Date.now() + WAIT_TIMEOUT
  while (!done()) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${what}:\n${explain()}`)
    await new Promise(resolve => setTimeout(resolve, POLL_INTERVAL))
  }
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    const [greeting] = (await once(socket, 'data', { signal: AbortSignal.timeout(ANSWER_TIMEOUT) })) as [
      Buffer,
    ]
    return /^220 /.test(greeting.toString())
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Starts Postfix. Fails, with its log, if it does not answer. */
export async function startPostfix(options: PostfixOptions): Promise<Postfix> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-postfix-'))
  chmodSync(directory, 0o755)
  for (const name of ['conf', 'queue', 'data']) mkdirSync(join(directory, name), { mode: 0o755 })
  chownSync(join(directory, 'data'), Number(execFileSync('id', ['-u', 'postfix'])), 0)
  const trap = await startTrap()
  const port = await freePort()
  const configDirectory = join(directory, 'conf')
  const queueDirectory = join(directory, 'queue')
  const snippets = options.snippets.map(name => snippet(name, options.replace ?? {}))
  writeFileSync(
    join(configDirectory, 'main.cf'),
    [MAIN_CF(directory, trap), ...snippets, options.mainCf ?? ''].join('\n'),
  )
  writeFileSync(join(configDirectory, 'master.cf'), MASTER_CF(port, options.chroot === true))

  const logFile = join(directory, 'mail.log')
  const log = (): string => (existsSync(logFile) ? readFileSync(logFile, 'utf8') : '')
  let said = ''
  const master = spawn(POSTFIX, ['-c', configDirectory, 'start-fg'], { stdio: ['ignore', 'pipe', 'pipe'] })
  for (const stream of [master.stdout, master.stderr]) stream.on('data', chunk => (said += String(chunk)))
  const ended = once(master, 'exit')

  const cleanUp = async (): Promise<void> => {
    await trap.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  const stop = async (): Promise<void> => {
    const pidFile = join(queueDirectory, 'pid', 'master.pid')
    const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : master.pid
    if (pid === undefined) throw new Error('postfix was never started')
    process.kill(pid, 'SIGTERM')
    // Without the master its children end by themselves.
    const tooLong = setTimeout(() => process.kill(pid, 'SIGKILL'), WAIT_TIMEOUT)
    await ended
    clearTimeout(tooLong)
    await cleanUp()
  }
  try {
    // Its logger comes first: until that reads, each process waits that has something to log, the logger included.
    await until('the start', () => / daemon started /.test(log()) || hasEnded(master), log)
    if (hasEnded(master)) throw new Error('postfix ended at once')
    if (!(await answers(port))) throw new Error('postfix does not answer')
  } catch (error) {
    const story = `${said}\n${log()}`
    await (hasEnded(master) ? cleanUp() : stop())
    throw new Error(`${(error as Error).message}:\n${story}`, { cause: error })
  }

  const queues = ['maildrop', 'incoming', 'active', 'deferred', 'hold', 'corrupt']
  const filesIn = (name: string): number =>
    readdirSync(join(queueDirectory, name), { recursive: true, withFileTypes: true }).filter(entry =>
      entry.isFile(),
    ).length
  /** What qmgr has taken in hand and not removed: a message may go from queue to queue while they are looked at. */
  const inHand = (): number => {
    const ids = new Set<string>()
    for (const [, id = '', what = ''] of log().matchAll(
      /\/(?:qmgr|postsuper)\[\d+\]: ([0-9A-Za-z]+): (from=<|removed$)/gm,
    )) {
      if (what === 'removed') ids.delete(id)
      else ids.add(id)
    }
    return ids.size
  }
  const queueIsEmpty = (): boolean => queues.every(name => filesIn(name) === 0) && inHand() === 0
  return {
    endpoint: { kind: 'tcp', host: '127.0.0.1', port },
    queueDirectory,
    configDirectory,
    sent: trap.messages,
    queueIsEmpty,
    waitForEmptyQueue: () => until('an empty queue', queueIsEmpty, log),
    log,
    waitForLog: async pattern => {
      const find = (): string | undefined =>
        log()
          .split('\n')
          .find(line => pattern.test(line))
      await until(`a log line like ${pattern}`, () => find() !== undefined, log)
      return find() ?? ''
    },
    stop,
  }
}
