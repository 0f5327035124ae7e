/**
 * Parts that tests start for real and that cannot be installed as Debian packages, because their packages conflict with
 * Postfix's: they are unpacked into `.cache/` and run from there.
 *
 * Plain Node without dependencies, because it runs before there are any. Used by `scripts/test.mjs`, as root on a system
 * with apt-get whose package lists are there.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const CACHE = fileURLToPath(new URL('../.cache', import.meta.url))

/**
 * What is unpacked: its folder's name, the packages, of which the first one has the program, the program's path in it,
 * and what else must be installed, which conflicts with nothing.
 */
export const UNPACKED_PARTS = [
  {
    name: 'sendmail',
    packages: ['sendmail-bin', 'sendmail-base', 'sendmail-cf'],
    program: 'usr/libexec/sendmail/sendmail',
    // Configuration files are made with it.
    beside: [{ program: '/usr/bin/m4', package: 'm4' }],
  },
  {
    name: 'exim',
    // The heavy one takes the client's address from a proxy, which is how tests are clients from everywhere.
    packages: ['exim4-daemon-heavy', 'exim4-base', 'exim4-config'],
    program: 'usr/sbin/exim4',
    beside: [],
  },
]

function output(command, args, options) {
  const stdio = ['ignore', 'pipe', 'inherit']
  const result = spawnSync(command, args, { ...options, encoding: 'utf8', stdio })
  if (result.error !== undefined) throw result.error
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}: ended with ${result.status}`)
  return result.stdout
}

const apt = (args, options) => output('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', ...args], options)

/** Whether a part is unpacked, the libraries of its program are installed, and what it needs beside it is there. */
export function isUnpacked({ name, program, beside }) {
  const path = join(CACHE, name, program)
  if (![path, ...beside.map(other => other.program)].every(existsSync)) return false
  const libraries = spawnSync('ldd', [path], { encoding: 'utf8' })
  return libraries.status === 0 && !libraries.stdout.includes('not found')
}

/**
 * Unpacks a part, and installs the libraries that its program's package says it needs, and what it needs beside it.
 *
 * @throws Error if a package cannot be had; what was unpacked before is left as it was
 */
export function unpack({ name, packages, beside }, env = process.env) {
  mkdirSync(CACHE, { recursive: true })
  const work = mkdtempSync(join(CACHE, `${name}-`))
  const options = { cwd: work, env }
  try {
    apt(['download', ...packages], options)
    const files = readdirSync(work).filter(file => file.endsWith('.deb'))
    const unpacked = join(work, 'root')
    for (const file of files) output('dpkg-deb', ['-x', file, unpacked], options)
    const first = files.find(file => file.startsWith(`${packages[0]}_`))
    const libraries = output('dpkg-deb', ['-f', first, 'Depends'], options)
      .split(',')
      .map(dependency => dependency.trim().split(/[\s|]/)[0])
      .filter(library => library.startsWith('lib'))
    const others = beside.map(other => other.package)
    apt(['-y', '--no-install-recommends', 'install', ...others, ...libraries], options)
    rmSync(join(CACHE, name), { recursive: true, force: true })
    renameSync(unpacked, join(CACHE, name))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
