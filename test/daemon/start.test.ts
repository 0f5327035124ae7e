import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'

/** A package like ours in all that `npm start` looks at, that installs without a network and builds in no time. */
const directory = mkdtempSync(join(tmpdir(), 'postern-start-'))
const PACKAGE = {
  name: 'x',
  version: '1.0.0',
  type: 'module',
  dependencies: { y: 'file:y' },
  scripts: { build: 'node build.mjs', start: 'node scripts/start.mjs' },
}
const SERVER = `
const { argv } = process
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    process.stderr.write('got ' + signal + '\\n')
    if (signal !== 'SIGHUP') process.exit(7)
  })
}
setInterval(() => {}, 1000)
process.stderr.write('serving ' + JSON.stringify(argv.slice(2)) + '\\n')
`

beforeAll(() => {
  for (const name of ['src/deep', 'y']) mkdirSync(join(directory, name), { recursive: true })
  writeFileSync(join(directory, 'y/package.json'), '{"name":"y","version":"1.0.0"}')
  cpSync(new URL('../../scripts/start.mjs', import.meta.url), join(directory, 'scripts/start.mjs'))
  const lock = {
    name: 'x',
    version: '1.0.0',
    lockfileVersion: 3,
    requires: true,
    packages: { '': PACKAGE, 'node_modules/y': { resolved: 'y', link: true }, y: { version: '1.0.0' } },
  }
  writeFileSync(join(directory, 'package.json'), JSON.stringify(PACKAGE))
  writeFileSync(join(directory, 'package-lock.json'), JSON.stringify(lock))
  for (const name of ['tsconfig.json', 'tsconfig.build.json', 'src/deep/a.ts'])
    writeFileSync(join(directory, name), '')
  writeFileSync(
    join(directory, 'build.mjs'),
    `import { cpSync, existsSync } from 'node:fs'
     if (existsSync('broken')) { console.log('src/a.ts: error'); process.exit(2) }
     cpSync('server.mjs', 'dist/cli/main.js')`,
  )
  writeFileSync(join(directory, 'server.mjs'), SERVER)
})
const runs: Run[] = []
afterEach(async () => {
  for (const { child, ended } of runs.splice(0)) {
    child.kill('SIGTERM')
    await ended
  }
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

interface Run {
  readonly child: ChildProcess
  said(): string
  /** Waits until it has said something, or has ended. */
  says(text: string): Promise<void>
  ended: Promise<unknown>
}

function run(command: string, args: readonly string[], env: Record<string, string> = {}): Run {
  const { npm_lifecycle_event: _, ...outer } = process.env
  const child = spawn(command, args, {
    cwd: directory,
    env: { ...outer, ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  let heard = (): void => {}
  child.stderr.on('data', chunk => {
    said += String(chunk)
    heard()
  })
  const ended = once(child, 'close').finally(() => heard())
  const made: Run = {
    child,
    ended,
    said: () => said,
    says: async text => {
      while (!said.includes(text)) {
        if (child.exitCode !== null) throw new Error(`it ended and said: ${said}`)
        await new Promise<void>(resolve => {
          heard = resolve
        })
      }
    },
  }
  runs.push(made)
  return made
}

function start(...args: readonly string[]): Run {
  return run(process.execPath, ['scripts/start.mjs', ...args])
}

/** Sets a file's time so many seconds from now. */
function touch(name: string, seconds: number): void {
  const time = new Date(Date.now() + seconds * 1000)
  utimesSync(join(directory, name), time, time)
}

describe('npm start', () => {
  test('installs, builds and serves; the second time it only serves; signals and exit code are passed on', async () => {
    const first = start('--config', 'x.toml')
    await first.says('serving')
    expect(first.said()).toBe(
      'postern: installing packages\npostern: building\nserving ["serve","--config","x.toml"]\n',
    )
    first.child.kill('SIGHUP')
    await first.says('got SIGHUP')
    first.child.kill('SIGTERM')
    await first.ended
    expect(first.child.exitCode).toBe(7)

    const second = start()
    await second.says('serving')
    expect(second.said()).toBe('serving ["serve"]\n')
    second.child.kill('SIGINT')
    await second.ended
    expect(second.said()).toContain('got SIGINT')
  })

  test.each([
    ['a source that is newer', 'src/deep/a.ts', 'postern: building\n'],
    ['a lock file that is newer', 'package-lock.json', 'postern: installing packages\npostern: building\n'],
  ])('%s is noticed', async (_, name, steps) => {
    touch(name, 0)
    const served = start()
    await served.says('serving')
    expect(served.said()).toBe(`${steps}serving ["serve"]\n`)
    served.child.kill('SIGTERM')
    await served.ended
  })

  test('a build that fails is shown, is no build, and is tried again', async () => {
    touch('src/deep/a.ts', 0)
    writeFileSync(join(directory, 'broken'), '')
    for (const attempt of [start(), start()]) {
      await attempt.ended
      expect(attempt.child.exitCode).toBe(1)
      expect(attempt.said()).toContain('src/a.ts: error')
      expect(attempt.said()).toContain('postern: npm run build failed\n')
    }
    rmSync(join(directory, 'broken'))
  })

  test('by npm itself: what ends npm ends the server', async () => {
    const npm = run('npm', ['start'])
    await npm.says('serving')
    npm.child.kill('SIGTERM')
    await npm.says('got SIGTERM')
    await npm.ended
    expect(existsSync(join(directory, 'dist/.built'))).toBe(true)
  })

  test('an old Node is told so', async () => {
    const old = `Object.defineProperty(process, 'versions', { value: { node: '18.20.4' } })`
    const told = run(process.execPath, [
      '--import',
      `data:text/javascript,${encodeURIComponent(old)}`,
      'scripts/start.mjs',
    ])
    await told.ended
    expect(told.child.exitCode).toBe(1)
    expect(told.said()).toBe(
      'postern: Node.js 20.19 or later is needed, and this is 18.20.4; see https://nodejs.org/\n',
    )
  })
})
