import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import type { Config } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import { commandOf, firstSteps } from '../../src/daemon/first-steps.ts'
import { transition } from '../../src/daemon/reload.ts'

const directory = mkdtempSync(join(tmpdir(), 'postern-reload-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function config(text: string): Config {
  const file = join(directory, 'postern.toml')
  writeFileSync(file, text, { mode: 0o600 })
  const result = loadConfig({ file, cwd: directory, env: {} })
  if (!result.ok) throw new Error(JSON.stringify(result.problems))
  return result.value
}

describe('what can change at once, and what cannot', () => {
  test.each<[string, string, string, readonly string[]]>([
    ['nothing', '[redis]', '[redis]', []],
    [
      'what can',
      '[log]\nlevel = "debug"',
      '[lmtp]\nmax_size = 5000\n[policy]\nmax_connections = 1\n[socketmap]\ntransport = "x:"\n[web]\nhosts = ["gate.example.org"]',
      [],
    ],
    [
      'endpoints',
      '',
      '[policy]\nlisten = []\n[lmtp]\nlisten = ["[::1]:1"]\ncallout_listen = []\n[socketmap]\nlisten = []\n[web]\nlisten = []',
      ['policy.listen', 'lmtp.listen', 'lmtp.callout_listen', 'socketmap.listen', 'web.listen'],
    ],
    [
      'modes',
      '',
      '[policy]\nsocket_mode = "0666"\n[lmtp]\nsocket_mode = "0666"\n[socketmap]\nsocket_mode = "0666"\n[web]\nsocket_mode = "0666"',
      ['policy.socket_mode', 'lmtp.socket_mode', 'socketmap.socket_mode', 'web.socket_mode'],
    ],
    ['another store', '', '[redis]', ['store and redis']],
    [
      'another password, which no way of printing shows',
      '[redis]\npassword = "a"',
      '[redis]\npassword = "b"',
      ['store and redis'],
    ],
    ['the trial MTA', '', '[trial]\nenabled = true', ['trial']],
    ['workers', '', '[serve]\nworkers = 2', ['serve.workers']],
  ])('%s', (_, before, after, keys) => {
    const old = config(before)
    const next = config(after)
    const planned = transition(old, next)
    expect(planned.needRestart).toEqual(keys)
    expect(planned.config).toEqual({
      ...next,
      serve: old.serve,
      store: old.store,
      trial: old.trial,
      policy: { ...next.policy, listen: old.policy.listen, socketMode: old.policy.socketMode },
      lmtp: {
        ...next.lmtp,
        listen: old.lmtp.listen,
        calloutListen: old.lmtp.calloutListen,
        socketMode: old.lmtp.socketMode,
      },
      socketmap: {
        ...next.socketmap,
        listen: old.socketmap.listen,
        socketMode: old.socketmap.socketMode,
      },
      web: { ...next.web, listen: old.web.listen, socketMode: old.web.socketMode },
    })
    expect(transition(planned.config, next).needRestart).toEqual(keys)
  })
})

describe('the first steps', () => {
  const cwd = '/home/a/postern'
  test.each<[string, string, Record<string, string>, string]>([
    ['a clone', '/home/a/postern/dist/cli/main.js', {}, 'node dist/cli/main.js'],
    ['a clone elsewhere', '/opt/postern/dist/cli/main.js', {}, 'node /opt/postern/dist/cli/main.js'],
    ['a path with a space', '/opt/my mail/main.js', {}, "node '/opt/my mail/main.js'"],
    ['npx', '/home/a/.npm/_npx/1/node_modules/.bin/postern', { npm_command: 'exec' }, 'npx postern'],
    ['an installation', '/usr/bin/postern', {}, 'postern'],
  ])('by %s', (_, script, env, command) => {
    expect(commandOf({ script, cwd, env })).toBe(command)
  })

  test('in full', () => {
    const invocation = { script: '/home/a/postern/dist/cli/main.js', cwd, env: {} }
    expect(firstSteps(invocation, { kind: 'tcp', host: '127.0.0.1', port: 10025 })).toBe(`
There is no configuration file, so everything has its default. Next, in a second shell:

  cd /home/a/postern
  node dist/cli/main.js domain add lists.example
  node dist/cli/main.js list add team@lists.example --preset members
  node dist/cli/main.js member add team@lists.example alice@example.net

Then ask who may post:

  node dist/cli/main.js ask --sender alice@example.net --list team@lists.example
  node dist/cli/main.js ask --sender mallory@example.net --list team@lists.example --explain

or send to the trial MTA, and see the one refused and the other delivered below var/mail:

  swaks --server 127.0.0.1:10025 --to team@lists.example --from mallory@example.net
  swaks --server 127.0.0.1:10025 --to team@lists.example --from alice@example.net

`)
    expect(firstSteps(invocation, undefined)).not.toContain('swaks')
  })
})
