/** `[delivery.relay.NAME]`: what is wrong with it, and what it means. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type ConfigResult, loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'

const directory = mkdtempSync(join(tmpdir(), 'postern-config-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function load(text: string): ConfigResult {
  writeFileSync(join(directory, 'postern.toml'), text, { mode: 0o600 })
  return loadConfig({ cwd: directory, env: {} })
}

function problemsOf(text: string): readonly string[] {
  const result = load(text)
  return result.ok ? [] : result.problems.map(formatProblem)
}

const M = '[delivery.relay.m]\n'

describe('what is wrong', () => {
  test.each<[string, string, string[]]>([
    ['no endpoint', M, ['postern.toml:1:17: delivery.relay.m.to: expected a string, not something else']],
    [
      'an endpoint without a port',
      `${M}to = "127.0.0.1"\n`,
      ['postern.toml:2:6: delivery.relay.m.to: expected HOST:PORT, [IPV6]:PORT or unix:/path'],
    ],
    [
      'any port',
      `${M}to = "127.0.0.1:0"\n`,
      ['postern.toml:2:6: delivery.relay.m.to: expected the port of an LMTP server'],
    ],
    [
      'its own sink',
      `${M}to = "127.0.0.1:10042"\n`,
      [
        "postern.toml:2:6: delivery.relay.m.to: 127.0.0.1:10042 is this server's own: it stands in lmtp.listen[0]",
      ],
    ],
    [
      'a key of another name',
      `${M}to = "[::1]:24"\nmax_conections = 3\n`,
      ['postern.toml:3:1: delivery.relay.m.max_conections: unknown key; did you mean max_connections?'],
    ],
    [
      'a name that an object has of itself',
      '[delivery.relay.__proto__]\nto = "[::1]:24"\n[delivery.pipe]\n__proto__ = 1\n',
      [
        'postern.toml:1:17: delivery.relay.__proto__: no name for anything',
        'postern.toml:4:13: delivery.pipe.__proto__: no name for anything',
      ],
    ],
    [
      'a key outside a name',
      '[delivery.relay]\nto = "[::1]:24"\n',
      ['postern.toml:2:6: delivery.relay.to: expected a table, not a string'],
    ],
    ...(
      [
        ['max_connections', 0, 'must be at least 1'],
        ['max_connections', 1001, 'must be at most 1000'],
        ['max_recipients', 0, 'must be at least 1'],
        ['idle_timeout', 0, 'must be at least 1'],
        ['idle_timeout', 3601, 'must be at most 3600'],
        ['connect_timeout', 301, 'must be at most 300'],
        ['reply_timeout', 0, 'must be at least 1'],
        ['timeout', 9, 'must be at least 10'],
      ] as const
    ).map(([key, value, message]): [string, string, string[]] => [
      `${key} = ${value}`,
      `${M}to = "[::1]:24"\n${key} = ${value}\n`,
      [`postern.toml:3:${key.length + 4}: delivery.relay.m.${key}: ${message}`],
    ]),
    ...['Mailman', 'a.b', '-a', '', 'x'.repeat(64)].map((name): [string, string, string[]] => [
      `the name ${JSON.stringify(name)}`,
      `[delivery.relay."${name}"]\nto = "[::1]:24"\n`,
      [expect.stringContaining('expected the name of a delivery: small letters, digits, - and _') as string],
    ]),
    ...['maildir', 'discard'].map((name): [string, string, string[]] => [
      `the name ${name}`,
      `[delivery.relay.${name}]\nto = "[::1]:24"\n`,
      [expect.stringContaining(`delivery.relay.${name}: the name is taken by delivery.${name}`) as string],
    ]),
    [
      'a default that is not there',
      `delivery.default = "n"\n${M}to = "[::1]:24"\n`,
      [expect.stringMatching(/delivery\.default: expected the name of a delivery: m, /) as string],
    ],
  ])('%s', (_name, text, problems) => {
    expect(problemsOf(text)).toEqual(problems)
  })
})

test('what it means', () => {
  const loaded = load(`[delivery]\ndefault = "mailman"
[delivery.relay.mailman]\nto = "127.0.0.1:8024"
[delivery.relay.other]\nto = "unix:x.sock"\nmax_connections = 2\nmax_recipients = 1\nidle_timeout = 3
connect_timeout = 4\nreply_timeout = 5\ntimeout = 60\nxforward = true\n`)
  if (!loaded.ok) throw new Error(loaded.problems.map(formatProblem).join('\n'))
  const { delivery } = loaded.value
  expect(delivery.default).toBe('mailman')
  expect(delivery.named['mailman']).toEqual({
    kind: 'relay',
    to: { kind: 'tcp', host: '127.0.0.1', port: 8024 },
    maxConnections: 10,
    maxRecipients: 1000,
    idleTimeoutMs: 60_000,
    connectTimeoutMs: 30_000,
    replyTimeoutMs: 300_000,
    timeoutMs: 570_000,
    xforward: false,
  })
  expect(delivery.named['other']).toEqual({
    kind: 'relay',
    to: { kind: 'unix', path: join(directory, 'x.sock') },
    maxConnections: 2,
    maxRecipients: 1,
    idleTimeoutMs: 3000,
    connectTimeoutMs: 4000,
    replyTimeoutMs: 5000,
    timeoutMs: 60_000,
    xforward: true,
  })
})
