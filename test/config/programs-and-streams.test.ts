/** `[delivery.pipe.NAME]` and `[delivery.stream.NAME]`: what is wrong with them, what they mean, and what is warned of. */
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import type { Config, DeliverySettings } from '../../src/config/config.ts'
import { type ConfigResult, loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'

const root = mkdtempSync(join(tmpdir(), 'postern-config-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(root, 'case-'))
})

function load(text: string, env: Record<string, string> = {}): ConfigResult {
  writeFileSync(join(directory, 'postern.toml'), text, { mode: 0o600 })
  return loadConfig({ cwd: directory, env })
}

function configOf(result: ConfigResult): Config {
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'))
  return result.value
}

function deliveryOf(name: string, text: string, env?: Record<string, string>): DeliverySettings | undefined {
  return configOf(load(text, env)).delivery.named[name]
}

const PIPE = '[delivery.pipe.p]\n'
const STREAM = '[delivery.stream.s]\n'

describe('what is wrong', () => {
  test.each<[string, string, string[]]>([
    [
      'a program without a command',
      PIPE,
      ['postern.toml:1:16: delivery.pipe.p.command: expected an array, not something else'],
    ],
    [
      'a command that is a line for a shell',
      `${PIPE}command = "/bin/cat >x"\n`,
      ['postern.toml:2:11: delivery.pipe.p.command: expected an array, not a string'],
    ],
    [
      'a command without a program',
      `${PIPE}command = []\n`,
      ['postern.toml:2:11: delivery.pipe.p.command: expected a program and its arguments'],
    ],
    ...['cat', './cat', '/', '/bin/', '/lists/{list_local}', '{list}', ''].map(
      (program): [string, string, string[]] => [
        `the program ${JSON.stringify(program)}`,
        `${PIPE}command = ["${program}", "x"]\n`,
        [
          'postern.toml:2:12: delivery.pipe.p.command[0]: expected the whole path of a program, without placeholders',
        ],
      ],
    ),
    [
      'a placeholder that there is not',
      `${PIPE}command = ["/bin/cat", "{nexthop}"]\n`,
      [
        'postern.toml:2:24: delivery.pipe.p.command[1]: there is no placeholder {nexthop}; there are {list}, {list_local}, {list_domain}, {service}, {recipient}, {sender}, {id}',
      ],
    ],
    [
      'a sender in a path',
      `${PIPE}command = ["/bin/cat", "-F", "/var/mail/{sender}"]\n`,
      [
        'postern.toml:2:30: delivery.pipe.p.command[2]: {sender} cannot stand in a path: who sends mail chooses what is in it',
      ],
    ],
    [
      'a variable without a name',
      `${PIPE}command = ["/bin/cat"]\nenvironment = ["=x", "A=b"]\n`,
      ['postern.toml:3:16: delivery.pipe.p.environment[0]: expected NAME=value'],
    ],
    [
      'an unknown key',
      `${PIPE}command = ["/bin/cat"]\ntimout = 1\n`,
      ['postern.toml:3:1: delivery.pipe.p.timout: unknown key; did you mean timeout?'],
    ],
    [
      'a name that is none',
      '[delivery.pipe."A b"]\ncommand = ["/bin/cat"]\n',
      [
        'postern.toml:1:16: delivery.pipe."A b": expected the name of a delivery: small letters, digits, - and _',
      ],
    ],
    [
      'one name for a program and a stream',
      '[redis]\n[delivery.pipe.x]\ncommand = ["/bin/cat"]\n[delivery.stream.x]\n',
      ['postern.toml:4:18: delivery.stream.x: the name is taken by delivery.pipe.x'],
    ],
    [
      'a name that is always there',
      '[delivery.pipe.discard]\ncommand = ["/bin/cat"]\n',
      ['postern.toml:1:16: delivery.pipe.discard: the name is taken by delivery.discard'],
    ],
    [
      'a default that there is not',
      `[delivery]\ndefault = "q"\n${PIPE}command = ["/bin/cat"]\n`,
      ['postern.toml:2:11: delivery.default: expected the name of a delivery: p, maildir, discard'],
    ],
    [
      'a stream without Redis',
      `${STREAM}max_entries = 1\n`,
      ['postern.toml:1:18: delivery.stream.s: a stream needs a url where there is no [redis]'],
    ],
    [
      'a stream whose URL is none, which is not repeated',
      `${STREAM}url = "http://user:hunter2@x"\n`,
      [
        'postern.toml:2:7: delivery.stream.s.url: expected a URL that begins with redis://, rediss:// or unix://',
      ],
    ],
    [
      'a stream for messages that Redis does not take',
      `[redis]\n${STREAM}max_message_size = 536870913\n`,
      ['postern.toml:3:20: delivery.stream.s.max_message_size: must be at most 536870912'],
    ],
  ])('%s', (_, text, lines) => {
    const result = load(text)
    expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual(lines)
  })
})

describe('what it means', () => {
  test('a program with defaults, and with everything', () => {
    expect(deliveryOf('p', `${PIPE}command = ["/bin/cat"]\n`)).toEqual({
      kind: 'pipe',
      program: '/bin/cat',
      args: [],
      directory: '/',
      environment: {},
      lineEnds: 'lf',
      traceFields: true,
      timeoutMs: 120_000,
      maxProcesses: 10,
    })
    const text = [
      'command = ["/opt/{{x}}", "-L", "/lists/{list_local}"]',
      'directory = "work"',
      'environment = ["HOME=/x", "EMPTY=", "TWO=a=b"]',
      'line_ends = "crlf"',
      'trace_fields = false',
      'timeout = 7',
      'max_processes = 1',
    ].join('\n')
    expect(deliveryOf('p', `[delivery]\ndefault = "p"\n${PIPE}${text}\n`)).toEqual({
      kind: 'pipe',
      program: '/opt/{x}',
      args: [['-L'], ['/lists/', { placeholder: 'list_local' }]],
      directory: join(directory, 'work'),
      environment: { HOME: '/x', EMPTY: '', TWO: 'a=b' },
      lineEnds: 'crlf',
      traceFields: false,
      timeoutMs: 7000,
      maxProcesses: 1,
    })
  })

  test('a stream in the store’s Redis', () => {
    const redis = '[redis]\nhost = "r.example"\nprefix = "x:"\npassword = "hunter2"\n'
    expect(deliveryOf('s', `${redis}${STREAM}`)).toMatchObject({
      kind: 'stream',
      redis: { endpoint: { kind: 'tcp', host: 'r.example', port: 6379 }, tls: false, db: 0 },
      key: 'x:stream:s',
      maxEntries: 10_000,
      maxMessageSize: 52_428_800,
      waitReplicas: 0,
      timeoutMs: 30_000,
    })
    const inEnvironment = deliveryOf('s', STREAM, { POSTERN_REDIS_URL: 'redis://e.example:1/3' })
    expect(inEnvironment).toMatchObject({
      redis: { endpoint: { host: 'e.example', port: 1 }, db: 3 },
      key: 'postern:stream:s',
    })
  })

  test('a stream in a Redis of its own', () => {
    const settings = deliveryOf(
      's',
      `[redis]\nprefix = "x:"\n${STREAM}url = "rediss://u:hunter2@r.example:1/2"\nkey = "mail"\nwait_replicas = 1\ntimeout = 7\n`,
    )
    expect(settings).toMatchObject({
      redis: { endpoint: { host: 'r.example', port: 1 }, tls: true, username: 'u', db: 2 },
      key: 'mail',
      waitReplicas: 1,
      timeoutMs: 7000,
    })
    expect(settings?.kind === 'stream' && settings.redis.password?.reveal()).toBe('hunter2')
    expect(JSON.stringify(settings)).not.toContain('hunter2')
    expect(deliveryOf('s', `[redis]\nprefix = "x:"\n${STREAM}url = "redis://r.example"\n`)).toMatchObject({
      key: 'postern:stream:s',
    })
  })
})

test('a password in a file that everybody may read is warned of', () => {
  writeFileSync(join(directory, 'postern.toml'), `${STREAM}url = "redis://:hunter2@r.example"\n`)
  chmodSync(join(directory, 'postern.toml'), 0o644)
  expect(configOf(loadConfig({ cwd: directory, env: {} })).warnings.map(formatProblem)).toEqual([
    'postern.toml:2:7: delivery.stream.s.url: every user of this host may read this file and the password in it',
  ])
})

test('deliveries that take longer than the mail server waits are warned of', () => {
  const pipe = (name: string, timeout: number): string =>
    `[delivery.pipe.${name}]\ncommand = ["/bin/cat"]\ntimeout = ${timeout}\n`
  const relay = (name: string, timeout: number): string =>
    `[delivery.relay.${name}]\nto = "127.0.0.1:24"\ntimeout = ${timeout}\n`
  const text = [pipe('p', 299), pipe('q', 300), relay('r', 599), relay('s', 600)].join('')
  const message =
    'Postfix waits for 600 s at the end of a message (lmtp_data_done_timeout), and sends again what takes longer'
  expect(configOf(load(text)).warnings.map(formatProblem)).toEqual([
    `postern.toml:12:11: delivery.relay.s.timeout: ${message}`,
    `postern.toml:6:11: delivery.pipe.q.timeout: ${message}; a copy may take twice this`,
  ])
})

test('a program that is not there, or none, is warned of', () => {
  const text = ['/bin/cat', '/nowhere/x', '/etc/passwd', '/bin']
    .map((program, index) => `[delivery.pipe.p${index}]\ncommand = ["${program}"]\n`)
    .join('')
  expect(configOf(load(text)).warnings.map(formatProblem)).toEqual([
    'postern.toml:4:12: delivery.pipe.p1.command[0]: there is no such program, or it may not be executed',
    'postern.toml:6:12: delivery.pipe.p2.command[0]: there is no such program, or it may not be executed',
    'postern.toml:8:12: delivery.pipe.p3.command[0]: there is no such program, or it may not be executed',
  ])
})
