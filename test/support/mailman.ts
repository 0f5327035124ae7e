/**
 * A private Mailman: unpacked, not installed, with its database, queues and logs in a directory of its own. Of its
 * runners there is the one that takes mail by LMTP, so that what it has taken stays in its queues to be looked at.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { leaveOut } from './parts.ts'
import { freePort } from './ports.ts'

const ROOT = fileURLToPath(new URL('../../.cache/mailman', import.meta.url))
const PACKAGES = join(ROOT, 'usr/lib/python3/dist-packages')
const BIN = join(ROOT, 'usr/lib/mailman3/bin')
/** Debian's own, which has what Mailman's package depends on. */
const PYTHON = '/usr/bin/python3'

/** In milliseconds. */
const START_TIMEOUT = 100_000
const POLL_INTERVAL = 20

/** Whether a suite that needs Mailman is left out here; says so if it is. */
export function leftOutWithoutMailman(suite: string): boolean {
  const missing = [PYTHON, join(BIN, 'runner')].find(path => !existsSync(path))
  return leaveOut(suite, missing === undefined ? undefined : `there is no ${missing}`) !== undefined
}

/** A message in one of Mailman's queues. */
export interface Queued {
  /** `in` for posts and for owners, `command`, `bounces`. */
  readonly queue: string
  readonly list: string
  /** What the service address was, if it was one: `owner`, `request` … */
  readonly service: string | null
  /** As Mailman would write it, with LF for line ends. */
  readonly text: string
}

export interface Mailman {
  /** Where its runner takes mail by LMTP. */
  readonly endpoint: Extract<Endpoint, { kind: 'tcp' }>
  /** What it has taken, oldest first. */
  queued(): Promise<readonly Queued[]>
  start(): Promise<void>
  /** Ends the runner; what it has taken stays. */
  stop(): Promise<void>
  /** Ends it and removes everything. */
  remove(): Promise<void>
}

const CONFIG = (directory: string, port: number): string => `[mailman]
site_owner: postmaster@lists.example.org
layout: here
[paths.here]
var_dir: ${directory}
bin_dir: ${BIN}
[database]
url: sqlite:///${directory}/mailman.db
[mta]
incoming: mailman.mta.null.NullMTA
lmtp_host: 127.0.0.1
lmtp_port: ${port}
smtp_host: 127.0.0.1
smtp_port: 1
`

/** Reads the files of its queues, each of which holds a message and what Mailman noted of it. */
const READ_QUEUES = `
import glob, json, os, pickle, sys
found = []
for path in sorted(glob.glob(os.path.join(sys.argv[1], 'queue', '*', '*.pck')), key=os.path.basename):
    with open(path, 'rb') as file:
        message, data = pickle.load(file), pickle.load(file)
    text = message if isinstance(message, bytes) else message.as_bytes()
    found.append(dict(queue=os.path.basename(os.path.dirname(path)), list=data['listid'],
                      service=data.get('subaddress'), text=text.decode('latin1')))
print(json.dumps(found))
`

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null
}

async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    await once(socket, 'data', { signal: AbortSignal.timeout(START_TIMEOUT) })
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** Makes a Mailman with lists, and starts its runner. */
export async function startMailman(lists: readonly string[]): Promise<Mailman> {
  const directory = mkdtempSync(join(tmpdir(), 'postern-mailman-'))
  const port = await freePort()
  const config = join(directory, 'mailman.cfg')
  writeFileSync(config, CONFIG(directory, port))
  // Nothing is compiled into the unpacked package: other tests may be starting it.
  const env = { ...process.env, PYTHONPATH: PACKAGES, PYTHONDONTWRITEBYTECODE: '1' }
  const python = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(PYTHON, [...args], { cwd: directory, env, encoding: 'latin1' })).stdout

  let runner: ChildProcess | undefined
  let said = ''

  const stop = async (): Promise<void> => {
    const child = runner
    runner = undefined
    if (child === undefined || hasEnded(child)) return
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const tooLong = setTimeout(() => child.kill('SIGKILL'), START_TIMEOUT)
    await ended
    clearTimeout(tooLong)
  }

  const start = async (): Promise<void> => {
    const child = spawn(PYTHON, [join(BIN, 'runner'), '-C', config, '--runner=lmtp:0:1'], {
      cwd: directory,
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    runner = child
    for (const stream of [child.stdout, child.stderr]) stream.on('data', chunk => (said += String(chunk)))
    const deadline = Date.now() + START_TIMEOUT
    while (!(await answers(port))) {
      if (hasEnded(child) || Date.now() > deadline) throw new Error(`Mailman does not answer:\n${said}`)
      await new Promise(resolve => setTimeout(resolve, POLL_INTERVAL))
    }
  }

  const remove = async (): Promise<void> => {
    await stop()
    rmSync(directory, { recursive: true, force: true })
  }

  try {
    for (const list of lists) {
      await python(join(BIN, 'mailman'), '--run-as-root', '-C', config, 'create', '--language', 'en', list)
    }
    await start()
  } catch (error) {
    await remove()
    throw error
  }
  return {
    endpoint: { kind: 'tcp', host: '127.0.0.1', port },
    queued: async () => JSON.parse(await python('-c', READ_QUEUES, directory)) as Queued[],
    start,
    stop,
    remove,
  }
}
