/**
 * A private Sendmail: unpacked, not installed, with its own configuration and queue in a directory of its own, on
 * loopback, with the very lines of `sendmail/postern.m4` in its configuration. Whatever it would send on, bounces above
 * all, ends in a trap.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
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

const SNIPPET = fileURLToPath(new URL('../../sendmail/postern.m4', import.meta.url))
const ROOT = fileURLToPath(new URL('../../.cache/sendmail', import.meta.url))
const SENDMAIL = join(ROOT, 'usr/libexec/sendmail/sendmail')
const CF = join(ROOT, 'usr/share/sendmail/cf')
const M4 = '/usr/bin/m4'

/** Without a dot in its host's name Sendmail sleeps for a minute and looks again. */
const HOST_NAME = 'mx.example.org'

/** In milliseconds. */
const WAIT_TIMEOUT = 60_000
const POLL_INTERVAL = 20

/** Why no Sendmail can be started here, if none can. */
export function whyNoSendmail(): string | undefined {
  for (const path of [SENDMAIL, M4]) if (!existsSync(path)) return `there is no ${path}`
  if (process.getuid?.() !== 0) return 'sendmail must be started by root'
  const ownName = spawnSync('unshare', ['--uts', 'true'])
  return ownName.status === 0 ? undefined : 'unshare --uts is not permitted'
}

export interface SendmailOptions {
  /** Where the milter is. */
  readonly milter: Endpoint
  /** Where the LMTP sink is. */
  readonly lmtp: TcpEndpoint
  /** What stands in the snippet, and what takes its place. */
  readonly replace?: Readonly<Record<string, string>>
}

export interface Sendmail {
  /** Where SMTP is spoken. */
  readonly endpoint: TcpEndpoint
  /** What it sent on to the next hop. */
  readonly sent: readonly TrappedMessage[]
  queueIsEmpty(): boolean
  /** Resolves when nothing is queued any more. */
  waitForEmptyQueue(): Promise<void>
  /** The identifiers of messages that a milter has quarantined. */
  quarantined(): readonly string[]
  /** Removes a message from the queue, as a postmaster would. */
  removeQuarantined(id: string): void
  /** What was said on all connections, to clients and to next hops. */
  traffic(): string
  stop(): Promise<void>
}

/** How Sendmail writes the place of a milter. */
function socketOf(milter: Endpoint): string {
  return milter.kind === 'unix' ? `unix:${milter.path}` : `inet:${milter.port}@${milter.host}`
}

function snippet({ milter, lmtp, replace = {} }: SendmailOptions): string {
  const places = {
    'S=inet:10041@127.0.0.1': `S=${socketOf(milter)}`,
    'TCP $h 10042': `TCP $h ${lmtp.port}`,
    ...replace,
  }
  return Object.entries(places).reduce(
    (text, [from, to]) => {
      if (!text.includes(from)) throw new Error(`postern.m4 has no ${from}`)
      return text.replace(from, to)
    },
    readFileSync(SNIPPET, 'utf8'),
  )
}

const MAIN_MC = (directory: string, port: number, trap: Trap): string => `divert(0)dnl
OSTYPE(\`linux')dnl
undefine(\`_LOCAL_PROCMAIL_')dnl
define(\`QUEUE_DIR', \`${directory}/queue')dnl
define(\`ALIAS_FILE', \`${directory}/aliases')dnl
define(\`HELP_FILE', \`')dnl
define(\`STATUS_FILE', \`')dnl
define(\`confPID_FILE', \`${directory}/pid')dnl
define(\`confSERVICE_SWITCH_FILE', \`${directory}/service.switch')dnl
define(\`confLOG_LEVEL', \`0')dnl
define(\`confREFUSE_LA', \`1000')dnl
define(\`confQUEUE_LA', \`1000')dnl
define(\`confTO_IDENT', \`0s')dnl
define(\`confDOUBLE_BOUNCE_ADDRESS', \`bounced@elsewhere.example')dnl
define(\`SMART_HOST', \`esmtp:[${trap.endpoint.host}]')dnl
define(\`ESMTP_MAILER_ARGS', \`TCP $h ${trap.endpoint.port}')dnl
FEATURE(\`nocanonify')dnl
FEATURE(\`accept_unresolvable_domains')dnl
FEATURE(\`no_default_msa')dnl
DAEMON_OPTIONS(\`Name=MTA, Family=inet, Addr=127.0.0.1, Port=${port}')dnl
include(\`${directory}/postern.m4')dnl
MAILER(\`smtp')dnl
`

function configure(directory: string, port: number, trap: Trap, options: SendmailOptions): string {
  const write = (name: string, text: string): void => writeFileSync(join(directory, name), text)
  mkdirSync(join(directory, 'queue'), { mode: 0o700 })
  write('aliases', '')
  write('service.switch', 'hosts files\naliases files\n')
  write('postern.m4', snippet(options))
  write('sendmail.mc', MAIN_MC(directory, port, trap))
  const made = execFileSync(M4, [`-D_CF_DIR_=${CF}/`, join(CF, 'm4/cf.m4'), 'sendmail.mc'], {
    cwd: directory,
  })
  const path = join(directory, 'sendmail.cf')
  writeFileSync(path, made, { mode: 0o644 })
  return path
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

/** Signals Sendmail and all that it has started: they are a process group of their own. */
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

async function answers(endpoint: Endpoint): Promise<boolean> {
  const client = await SmtpClient.connect(endpoint).catch(() => undefined)
  client?.destroy()
  return client !== undefined
}

/** Starts Sendmail. Fails, with what it said, if it does not answer. */
export async function startSendmail(options: SendmailOptions): Promise<Sendmail> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-sendmail-'))
  chmodSync(directory, 0o755)
  const trap = await startTrap()
  const endpoint: TcpEndpoint = { kind: 'tcp', host: '127.0.0.1', port: await freePort() }
  const queue = join(directory, 'queue')
  const trafficFile = join(directory, 'traffic')
  const traffic = (): string => (existsSync(trafficFile) ? readFileSync(trafficFile, 'utf8') : '')
  const cf = configure(directory, endpoint.port, trap, options)

  let said = ''
  const args = ['-C', cf, '-bD', '-q1s', '-X', trafficFile]
  const child = spawn(
    'unshare',
    ['--uts', 'sh', '-c', 'hostname "$1" && shift && exec "$@"', 'sh', HOST_NAME, SENDMAIL, ...args],
    { cwd: directory, detached: true, stdio: ['ignore', 'pipe', 'pipe'] },
  )
  endWithUs(child)
  for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (said += String(chunk)))
  const ended = once(child, 'exit')

  const stop = async (): Promise<void> => {
    signalGroup(child, 'SIGTERM')
    if (!hasEnded(child)) await ended
    signalGroup(child, 'SIGKILL')
    await trap.stop()
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await until(
      'the start',
      async () => hasEnded(child) || (await answers(endpoint)),
      () => said,
    )
    if (hasEnded(child)) throw new Error('sendmail ended at once')
  } catch (error) {
    await stop()
    throw new Error(`${(error as Error).message}:\n${said}`, { cause: error })
  }

  const quarantined = (): string[] =>
    readdirSync(queue)
      .filter(name => name.startsWith('hf'))
      .map(name => name.slice(2))
  const queueIsEmpty = (): boolean => readdirSync(queue).length === 0
  return {
    endpoint,
    sent: trap.messages,
    queueIsEmpty,
    waitForEmptyQueue: () =>
      until('an empty queue', queueIsEmpty, () => `${readdirSync(queue).join(' ')}\n${traffic()}`),
    quarantined,
    removeQuarantined: id => {
      for (const kind of ['hf', 'df']) rmSync(join(queue, `${kind}${id}`))
    },
    traffic,
    stop,
  }
}
