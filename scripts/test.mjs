/**
 * `npm test`: installs what the tests need, then lint, types, build and tests, and one closing line that counts.
 *
 * Plain Node without dependencies, because it runs before there are any. Debian's packages are installed only as root
 * on a system with apt-get; elsewhere the suites that need them are left out, each named in a line. Where CI=true
 * nothing may be left out.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isUnpacked, UNPACKED_PARTS, unpack } from './parts.mjs'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const CI = process.env.CI === 'true'

/** What tests need for real, and the Debian packages that have it. */
const PARTS = [
  { program: '/usr/bin/redis-server', package: 'redis-server' },
  { program: '/usr/sbin/postfix', package: 'postfix' },
  { program: '/usr/bin/swaks', package: 'swaks' },
  { program: '/usr/bin/openssl', package: 'openssl' },
  { program: '/usr/bin/miltertest', package: 'miltertest' },
  // With it comes libmilter itself.
  { program: '/usr/include/libmilter/mfapi.h', package: 'libmilter-dev' },
  { program: '/usr/bin/cc', package: 'gcc' },
  { program: '/usr/bin/mlmmj-receive', package: 'mlmmj' },
]

const say = text => process.stderr.write(`${text}\n`)

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: ROOT, stdio: 'inherit', ...options })
  if (result.error !== undefined) throw result.error
  return result.status ?? 1
}

function installPackages() {
  const stamp = join(ROOT, 'node_modules', '.package-lock.json')
  const fresh =
    existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(join(ROOT, 'package-lock.json')).mtimeMs
  if (fresh) return
  say('installing npm packages')
  const status = run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund'])
  if (status !== 0) process.exit(status)
}

/** Installs Debian packages without starting their services: the tests start their own. Some are unpacked only. */
function installParts() {
  const missing = PARTS.filter(part => !existsSync(part.program)).map(part => part.package)
  const toUnpack = UNPACKED_PARTS.filter(part => !isUnpacked(part))
  if (missing.length + toUnpack.length === 0) return
  if (process.getuid?.() !== 0 || !existsSync('/usr/bin/apt-get')) return
  say(`installing ${[...missing, ...toUnpack.map(({ name }) => `${name} (unpacked)`)].join(', ')}`)
  const noStart = '/usr/sbin/policy-rc.d'
  const ours = !existsSync(noStart)
  if (ours) writeFileSync(noStart, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] }
    run('apt-get', ['-qq', 'update'], quiet)
    if (missing.includes('postfix')) {
      const answers =
        'postfix postfix/main_mailer_type select Local only\npostfix postfix/mailname string localhost\n'
      spawnSync('debconf-set-selections', [], { input: answers, stdio: ['pipe', 'ignore', 'inherit'] })
    }
    const install = packages =>
      run('apt-get', ['-qq', '-y', '--no-install-recommends', 'install', ...packages], quiet) === 0
    // One that cannot be had keeps no other away.
    if (missing.length > 0 && !install(missing)) {
      for (const name of missing) if (!install([name])) say(`${name} could not be installed`)
    }
    for (const part of toUnpack) {
      try {
        unpack(part, env)
      } catch (error) {
        say(`${part.name} could not be unpacked: ${error.message}`)
      }
    }
  } catch (error) {
    say(`not everything could be installed: ${error.message}`)
  } finally {
    if (ours) rmSync(noStart, { force: true })
  }
}

/** Runs the tests and gives their counts. */
function runTests(folder, args) {
  const report = join(folder, 'report.json')
  const leftOut = join(folder, 'left-out')
  writeFileSync(leftOut, '')
  const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${report}`]
  const status = run('npx', ['--no-install', 'vitest', 'run', ...reporters, ...args], {
    env: { ...process.env, POSTERN_LEFT_OUT: leftOut },
  })
  const lines = [
    ...new Set(
      readFileSync(leftOut, 'utf8')
        .split('\n')
        .filter(line => line !== ''),
    ),
  ]
  if (!existsSync(report)) return { status: status || 1, passed: 0, failed: 0, skipped: 0, leftOut: lines }
  const counts = JSON.parse(readFileSync(report, 'utf8'))
  const brokenFiles = counts.testResults.filter(
    file => file.status === 'failed' && file.assertionResults.every(test => test.status !== 'failed'),
  ).length
  return {
    status,
    passed: counts.numPassedTests,
    failed: counts.numFailedTests + brokenFiles,
    skipped: counts.numPendingTests + counts.numTodoTests,
    leftOut: lines,
  }
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major < 20 || (major === 20 && minor < 19)) {
  say(`Postern needs Node 20.19 or newer; this is ${process.versions.node}`)
  process.exit(1)
}

installPackages()
installParts()

const args = process.argv.slice(2)
const whole = args.length === 0
let broken = false
if (whole) {
  const steps = [
    ['lint', ['--no-install', 'biome', 'check', '.']],
    ['types', ['--no-install', 'tsc', '--noEmit']],
  ]
  for (const [name, command] of steps) {
    say(`checking ${name}`)
    if (run('npx', command) !== 0) {
      say(`${name}: failed`)
      broken = true
    }
  }
}
say('building')
if (run('npm', ['run', '--silent', 'build']) !== 0) {
  say('build: failed')
  process.exit(1)
}

const folder = mkdtempSync(join(tmpdir(), 'postern-test-'))
try {
  const result = runTests(folder, args)
  for (const line of result.leftOut) say(line)
  if (CI && result.leftOut.length > 0) {
    say('nothing may be left out in CI')
    broken = true
  }
  const skipped = result.skipped > 0 ? `, ${result.skipped} skipped` : ''
  process.stdout.write(`${result.passed} passed, ${result.failed} failed${skipped}\n`)
  process.exitCode = broken || result.status !== 0 || result.failed > 0 ? 1 : 0
} finally {
  rmSync(folder, { recursive: true, force: true })
}
