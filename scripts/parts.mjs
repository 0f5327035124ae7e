/**
 * Parts that tests start for real and that cannot be installed as Debian packages: Sendmail's packages conflict with
 * Postfix's, so they are unpacked into `.cache/` and run from there.
 *
 * Plain Node without dependencies, because it runs before there are any. Used by `scripts/test.mjs`, as root on a system
 * with apt-get whose package lists are there.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const CACHE = fileURLToPath(new URL('../.cache', import.meta.url))
const SENDMAIL = join(CACHE, 'sendmail')
const PROGRAM = join(SENDMAIL, 'usr/libexec/sendmail/sendmail')
/** What configuration files are made with; it conflicts with nothing. */
const M4 = '/usr/bin/m4'

function output(command, args, options) {
  const stdio = ['ignore', 'pipe', 'inherit']
  const result = spawnSync(command, args, { ...options, encoding: 'utf8', stdio })
  if (result.error !== undefined) throw result.error
  if (result.status !== 0) throw new Error(`${command} ${args.join(' ')}: ended with ${result.status}`)
  return result.stdout
}

const apt = (args, options) => output('apt-get', ['-qq', '-o', 'APT::Sandbox::User=root', ...args], options)

/** Whether Sendmail is unpacked, its libraries are installed, and m4 is there. */
export function sendmailIsThere() {
  if (!existsSync(PROGRAM) || !existsSync(M4)) return false
  const libraries = spawnSync('ldd', [PROGRAM], { encoding: 'utf8' })
  return libraries.status === 0 && !libraries.stdout.includes('not found')
}

/**
 * Unpacks Sendmail, and installs the libraries that it says it needs, and m4.
 *
 * @throws Error if a package cannot be had; what was unpacked before is left as it was
 */
export function unpackSendmail(env = process.env) {
  mkdirSync(CACHE, { recursive: true })
  const work = mkdtempSync(join(CACHE, 'sendmail-'))
  const options = { cwd: work, env }
  try {
    apt(['download', 'sendmail-bin', 'sendmail-base', 'sendmail-cf'], options)
    const packages = readdirSync(work).filter(name => name.endsWith('.deb'))
    const unpacked = join(work, 'root')
    for (const name of packages) output('dpkg-deb', ['-x', name, unpacked], options)
    const bin = packages.find(name => name.startsWith('sendmail-bin_'))
    const needed = output('dpkg-deb', ['-f', bin, 'Depends'], options)
      .split(',')
      .map(dependency => dependency.trim().split(/[\s|]/)[0])
      .filter(name => name.startsWith('lib'))
    apt(['-y', '--no-install-recommends', 'install', 'm4', ...needed], options)
    rmSync(SENDMAIL, { recursive: true, force: true })
    renameSync(unpacked, SENDMAIL)
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
