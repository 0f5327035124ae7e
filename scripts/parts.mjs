/**
 * Parts that tests start for real and that cannot be installed as Debian packages, because their packages conflict with
 * Postfix's or would start what nobody asked for: they are unpacked into `.cache/` and run from there.
 *
 * Plain Node without dependencies, because it runs before there are any. Used by `scripts/test.mjs`, as root on a system
 * with apt-get whose package lists are there.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const CACHE = fileURLToPath(new URL('../.cache', import.meta.url))

/** A program in machine code has the libraries that it is linked with. */
function hasLinkedLibraries(program) {
  const libraries = spawnSync('ldd', [program], { encoding: 'utf8' })
  return libraries.status === 0 && !libraries.stdout.includes('not found')
}

/** Mailman has the modules that what is used of it imports. */
function mailmanImports() {
  const modules =
    'mailman.bin.runner, mailman.runners.lmtp, mailman.commands.cli_lists, mailman.config.config'
  const env = { ...process.env, PYTHONPATH: join(CACHE, 'mailman/usr/lib/python3/dist-packages') }
  return spawnSync('/usr/bin/python3', ['-c', `import ${modules}`], { env, stdio: 'ignore' }).status === 0
}

/**
 * What is unpacked: its folder's name, the packages, of which the first one has the program, the program's path in it,
 * what the names of the packages begin with that it needs and that conflict with nothing, whether it has what those
 * bring, and what else must be installed.
 */
export const UNPACKED_PARTS = [
  {
    name: 'sendmail',
    packages: ['sendmail-bin', 'sendmail-base', 'sendmail-cf'],
    program: 'usr/libexec/sendmail/sendmail',
    needs: 'lib',
    isComplete: hasLinkedLibraries,
    // Configuration files are made with it.
    beside: [{ program: '/usr/bin/m4', package: 'm4' }],
  },
  {
    name: 'exim',
    // The heavy one takes the client's address from a proxy, which is how tests are clients from everywhere.
    packages: ['exim4-daemon-heavy', 'exim4-base', 'exim4-config'],
    program: 'usr/sbin/exim4',
    needs: 'lib',
    isComplete: hasLinkedLibraries,
    beside: [],
  },
  {
    name: 'mailman',
    // Installed it would want a database, a mail server, and to be started.
    packages: ['mailman3'],
    program: 'usr/lib/mailman3/bin/runner',
    needs: 'python3-',
    isComplete: mailmanImports,
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

/** Whether a part is unpacked, and all that it needs is installed. */
export function isUnpacked({ name, program, isComplete, beside }) {
  const path = join(CACHE, name, program)
  return [path, ...beside.map(other => other.program)].every(existsSync) && isComplete(path)
}

/**
 * Unpacks a part, and installs what its program's package says it needs of that name, and what it needs beside it.
 *
 * @throws Error if a package cannot be had; what was unpacked before is left as it was
 */
export function unpack({ name, packages, needs, beside }, env = process.env) {
  mkdirSync(CACHE, { recursive: true })
  const work = mkdtempSync(join(CACHE, `${name}-`))
  const options = { cwd: work, env }
  try {
    apt(['download', ...packages], options)
    const files = readdirSync(work).filter(file => file.endsWith('.deb'))
    const unpacked = join(work, 'root')
    for (const file of files) output('dpkg-deb', ['-x', file, unpacked], options)
    const first = files.find(file => file.startsWith(`${packages[0]}_`))
    const needed = output('dpkg-deb', ['-f', first, 'Depends'], options)
      .split(',')
      .map(dependency => dependency.trim().split(/[\s|:]/)[0])
      .filter(dependency => dependency.startsWith(needs))
    const others = beside.map(other => other.package)
    apt(['-y', '--no-install-recommends', 'install', ...others, ...needed], options)
    rmSync(join(CACHE, name), { recursive: true, force: true })
    renameSync(unpacked, join(CACHE, name))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
