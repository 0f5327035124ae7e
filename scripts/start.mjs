/**
 * `npm start`: installs and builds what is missing or out of date, then runs `postern serve`. Arguments after `--` are
 * passed on, and so are signals and the exit code.
 *
 * Plain Node without dependencies, because it runs before there are any, and in words that old versions understand.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const MAIN = join(ROOT, 'dist', 'cli', 'main.js')
/** As old as the sources were when they were last built without an error. */
const STAMP = join(ROOT, 'dist', '.built')

function say(text) {
  process.stderr.write(`postern: ${text}\n`)
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  say(`Node.js 20.19 or later is needed, and this is ${process.versions.node}; see https://nodejs.org/`)
  process.exit(1)
}

function ageOf(path) {
  return existsSync(path) ? statSync(path).mtimeMs : Number.NEGATIVE_INFINITY
}

function newestIn(directory) {
  let newest = Number.NEGATIVE_INFINITY
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name)
    newest = Math.max(newest, ageOf(path), entry.isDirectory() ? newestIn(path) : newest)
  }
  return newest
}

/** Runs npm quietly; its errors are shown. */
function npm(...args) {
  const own = process.env.npm_execpath
  const [command, ...first] = own !== undefined && existsSync(own) ? [process.execPath, own] : ['npm']
  const options = { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' }
  const result = spawnSync(command, [...first, '--loglevel=error', ...args], options)
  if (result.status === 0) return
  process.stderr.write(result.stdout === null ? '' : result.stdout)
  say(`npm ${args.join(' ')} failed${result.error === undefined ? '' : `: ${result.error.message}`}`)
  process.exit(1)
}

function install() {
  const lock = join(ROOT, 'package-lock.json')
  if (ageOf(join(ROOT, 'node_modules', '.package-lock.json')) >= ageOf(lock)) return
  say('installing packages')
  npm('ci', '--include=dev')
}

function build() {
  const inputs = ['package.json', 'package-lock.json', 'tsconfig.json', 'tsconfig.build.json']
  const newest = Math.max(newestIn(join(ROOT, 'src')), ...inputs.map(name => ageOf(join(ROOT, name))))
  if (existsSync(MAIN) && ageOf(STAMP) >= newest) return
  say('building')
  const started = new Date()
  npm('run', 'build')
  mkdirSync(join(ROOT, 'dist'), { recursive: true })
  writeFileSync(STAMP, '')
  utimesSync(STAMP, started, started)
}

function serve() {
  const child = spawn(process.execPath, [MAIN, 'serve', ...process.argv.slice(2)], { stdio: 'inherit' })
  const onTerminal = process.stdin.isTTY === true
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    // A terminal that is closed hangs up, and nobody would see the server that goes on.
    const meant = signal === 'SIGHUP' && onTerminal ? 'SIGTERM' : signal
    process.on(signal, () => child.kill(meant))
  }
  // The shell in which npm runs this dies of a signal without passing it on; the server is not left behind.
  const parent = process.ppid
  const orphaned = () => {
    if (process.ppid !== parent) child.kill('SIGTERM')
  }
  if (process.env.npm_lifecycle_event === 'start') setInterval(orphaned, 500).unref()
  child.on('error', error => {
    say(error.message)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exitCode = signal === null ? code : 128 + constants.signals[signal]
  })
}

checkNode()
install()
build()
serve()
