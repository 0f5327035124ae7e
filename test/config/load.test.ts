import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { formatEndpoint } from '../../src/app/endpoint.ts'
import type { Config, RedisStoreConfig } from '../../src/config/config.ts'
import { type ConfigResult, loadConfig } from '../../src/config/load.ts'
import { formatProblem, nearest } from '../../src/config/problems.ts'

const root = mkdtempSync(join(tmpdir(), 'postern-config-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(root, 'case-'))
})

function load(text: string | Buffer | undefined, env: Record<string, string> = {}): ConfigResult {
  if (text !== undefined) writeFileSync(join(directory, 'postern.toml'), text, { mode: 0o600 })
  return loadConfig({ cwd: directory, env })
}

function linesOf(result: ConfigResult): string[] {
  return result.ok ? [] : result.problems.map(formatProblem)
}

function configOf(result: ConfigResult): Config {
  if (!result.ok) throw new Error(linesOf(result).join('\n'))
  return result.value
}

function redisOf(result: ConfigResult): RedisStoreConfig {
  const { store } = configOf(result)
  if (store.kind !== 'redis') throw new Error('not Redis')
  return store
}

describe('what is wrong is said by file, line, column and key', () => {
  test.each<[string, string, string[]]>([
    ['not TOML', '[policy]\nlisten = ["a"\n', ['postern.toml:3:1: expected comma or end of structure']],
    [
      'a key twice',
      '[log]\nlevel = "info"\nlevel = "warn"\n',
      ['postern.toml:3:1: trying to redefine an already defined table or value'],
    ],
    [
      'a password is not repeated',
      '[redis]\npassword = "hunter2" x\n',
      ['postern.toml:2:22: each key-value declaration must be followed by an end-of-line'],
    ],
    [
      'an unknown section',
      '[polcy]\nlisten = []\n',
      ['postern.toml:1:2: polcy: unknown key; did you mean policy?'],
    ],
    [
      'an unknown key',
      '[lmtp]\nmax-size = 1\n',
      ['postern.toml:2:1: lmtp.max-size: unknown key; did you mean max_size?'],
    ],
    [
      'an unknown key in an inline table',
      'log = { fromat = "json" }\n',
      ['postern.toml:1:9: log.fromat: unknown key; did you mean format?'],
    ],
    [
      'a key in the wrong table',
      '[delivery]\npath = "x"\n',
      [
        'postern.toml:2:1: delivery.path: unknown key here; it belongs in [store], [delivery.maildir] or [held]',
      ],
    ],
    [
      'a key like no other',
      '[trial]\n"black magic" = 1\n',
      ['postern.toml:2:1: trial."black magic": unknown key; known here: enabled, listen'],
    ],
    [
      'a section that is a value',
      'log = "json"\n',
      ['postern.toml:1:7: log: expected a table, not a string'],
    ],
    [
      'a section twice over',
      '[[log]]\nlevel = "info"\n',
      ['postern.toml:1:3: log: expected a table, not an array'],
    ],
    [
      'a string for a number',
      '[site]\nmax_recipients = "10"\n',
      ['postern.toml:2:18: site.max_recipients: expected a whole number, not a string'],
    ],
    [
      'a fraction',
      '[redis]\ntimeout = 2.5\n',
      ['postern.toml:2:11: redis.timeout: expected a whole number, not a fraction'],
    ],
    [
      'a number for a string',
      '[policy]\nsocket_mode = 660\n',
      ['postern.toml:2:15: policy.socket_mode: expected a string, not a whole number'],
    ],
    [
      'a date',
      '[log]\nlevel = 1979-05-27\n',
      ['postern.toml:2:9: log.level: expected "debug", "info", "warn" or "error"'],
    ],
    [
      'a string for an array',
      '[policy]\nlisten = "127.0.0.1:1"\n',
      ['postern.toml:2:10: policy.listen: expected an array, not a string'],
    ],
    [
      'a number for a truth',
      '[trial]\nenabled = 1\n',
      ['postern.toml:2:11: trial.enabled: expected true or false, not a whole number'],
    ],
    [
      'a bad endpoint in an array of several lines',
      '[policy]\nlisten = [\n  "127.0.0.1:1",\n  "127.0.0.1",\n]\n',
      ['postern.toml:4:3: policy.listen[1]: expected HOST:PORT, [IPV6]:PORT or unix:/path'],
    ],
    [
      'a port beyond all ports',
      '[lmtp]\nlisten = ["[::1]:70000"]\n',
      ['postern.toml:2:11: lmtp.listen[0]: expected HOST:PORT, [IPV6]:PORT or unix:/path'],
    ],
    [
      'a unix socket without a path',
      '[lmtp]\nlisten = ["unix:"]\n',
      ['postern.toml:2:11: lmtp.listen[0]: expected a path after unix:'],
    ],
    [
      'a path too long for a socket',
      `[lmtp]\nlisten = ["unix:/${'x'.repeat(107)}"]\n`,
      ["postern.toml:2:11: lmtp.listen[0]: a unix socket's path has at most 107 bytes"],
    ],
    [
      'a bad network',
      '[lmtp]\nallow = ["10.0.0.1/8"]\n',
      ['postern.toml:2:10: lmtp.allow[0]: the host part must be zero: did you mean 10.0.0.0/8 or 10.0.0.1'],
    ],
    [
      'a name for a network',
      '[lmtp]\nxforward = ["localhost"]\n',
      ['postern.toml:2:13: lmtp.xforward[0]: not an IP address or network'],
    ],
    [
      'a bad host name',
      '[lmtp]\nhostname = "no name"\n',
      ['postern.toml:2:12: lmtp.hostname: the domain has a label that is not a name'],
    ],
    [
      'an idle timeout below the standard',
      '[lmtp]\nidle_timeout = 60\n',
      ['postern.toml:2:16: lmtp.idle_timeout: must be at least 300 (RFC 5321 §4.5.3.2.7)'],
    ],
    [
      'too small',
      '[policy]\nmax_connections = 0\n',
      ['postern.toml:2:19: policy.max_connections: must be at least 1'],
    ],
    ['too large', '[redis]\nport = 70000\n', ['postern.toml:2:8: redis.port: must be at most 65535']],
    ['an empty path', '[store]\npath = ""\n', ['postern.toml:2:8: store.path: must not be empty']],
    [
      'no such choice',
      '[policy]\non_store_failure = "reject"\n',
      ['postern.toml:2:20: policy.on_store_failure: expected "defer", "pass" or "disconnect"'],
    ],
    [
      'no octal mode',
      '[policy]\nsocket_mode = "rw-rw----"\n',
      ['postern.toml:2:15: policy.socket_mode: expected an octal mode of a socket in quotes, such as "0660"'],
    ],
    [
      'a mode that keeps the owner out',
      '[lmtp]\nsocket_mode = "0060"\n',
      ['postern.toml:2:15: lmtp.socket_mode: expected an octal mode of a socket in quotes, such as "0660"'],
    ],
    [
      'braces in the key prefix',
      '[redis]\nprefix = "{p}"\n',
      ['postern.toml:2:10: redis.prefix: expected printable ASCII characters without spaces, { and }'],
    ],
    [
      'an address for a local part',
      '[site]\nprobe_local_parts = ["a@b"]\n',
      ['postern.toml:2:22: site.probe_local_parts[0]: expected the part of an address before the @'],
    ],
    [
      'a URL of something else',
      '[redis]\nurl = "http://:hunter2@h"\n',
      ['postern.toml:2:7: redis.url: expected a URL that begins with redis://, rediss:// or unix://'],
    ],
    [
      'a password with a slash',
      '[redis]\nurl = "redis://:hun/ter2@h:6379"\n',
      [
        'postern.toml:2:7: redis.url: not a URL; characters such as @ / : # in a password are written %40 %2F %3A %23',
      ],
    ],
    [
      'a name for a database',
      '[redis]\nurl = "redis://h/lists"\n',
      ['postern.toml:2:7: redis.url: the database is a number: redis://HOST:PORT/0'],
    ],
    [
      'two places for Redis',
      '[redis]\nurl = "redis://h"\nhost = "h"\nsocket = "s"\n',
      [
        'postern.toml:3:8: redis.host: cannot stand beside url',
        'postern.toml:3:8: redis.host: cannot stand beside socket',
        'postern.toml:4:10: redis.socket: cannot stand beside url',
      ],
    ],
    [
      'two passwords',
      '[redis]\nurl = "redis://:hunter2@h"\npassword = "hunter3"\n',
      ['postern.toml:3:12: redis.password: cannot stand beside url'],
    ],
    [
      'no password file',
      '[redis]\npassword_file = "none"\n',
      ['postern.toml:2:17: redis.password_file: cannot read the file: ENOENT'],
    ],
    [
      'one endpoint for two fronts',
      '[lmtp]\nlisten = ["127.0.0.1:1"]\n[policy]\nlisten = ["127.0.0.1:1"]\n',
      ['postern.toml:2:11: lmtp.listen[0]: 127.0.0.1:1 stands in policy.listen[0] too'],
    ],
    [
      'a transport that is none, and a postmaster who is nobody',
      '[socketmap]\ntransport = "127.0.0.1:10042 "\npostmaster = "postmaster"\n',
      [
        'postern.toml:2:13: socketmap.transport: expected transport:nexthop, such as lmtp:inet:127.0.0.1:10042',
        'postern.toml:3:14: socketmap.postmaster: an address needs an @',
      ],
    ],
    [
      'a trial MTA for others',
      '[trial]\nlisten = "0.0.0.0:25"\n',
      ['postern.toml:2:10: trial.listen: the trial MTA listens on this host only: 127.0.0.1:PORT'],
    ],
    [
      'a trial MTA with nobody to ask',
      '[policy]\nlisten = []\n[trial]\nenabled = true\n',
      ['postern.toml:4:11: trial.enabled: the trial MTA needs an endpoint in policy.listen'],
    ],
    [
      'all at once, in the order of the file',
      '[lmtp]\nidle_timeout = 1\nlisen = []\n[log]\nlevel = 5\n[polcy]\n',
      [
        'postern.toml:2:16: lmtp.idle_timeout: must be at least 300 (RFC 5321 §4.5.3.2.7)',
        'postern.toml:3:1: lmtp.lisen: unknown key; did you mean listen?',
        'postern.toml:5:9: log.level: expected "debug", "info", "warn" or "error"',
        'postern.toml:6:2: polcy: unknown key; did you mean policy?',
      ],
    ],
    [
      'a key of every object',
      '__proto__ = 1\nconstructor = 2\n[log.toString]\n',
      [
        'postern.toml:1:1: __proto__: unknown key; known here: delivery, held, journal, lmtp, log, milter, policy, redis, senders, serve, site, socketmap, store, trial, web',
        'postern.toml:2:1: constructor: unknown key; known here: delivery, held, journal, lmtp, log, milter, policy, redis, senders, serve, site, socketmap, store, trial, web',
        'postern.toml:3:6: log.toString: unknown key; known here: addresses, format, key_file, level',
      ],
    ],
  ])('%s', (_, text, lines) => {
    expect(linesOf(load(text))).toEqual(lines)
  })

  test.each<[string, (file: string) => void, string]>([
    ['missing', () => {}, 'conf/x.toml: cannot read it: there is no such file'],
    ['a directory', file => mkdirSync(file), 'conf/x.toml: cannot read it: it is a directory'],
    ['not UTF-8', file => writeFileSync(file, Buffer.from([0x61, 0xff])), 'conf/x.toml: not UTF-8 text'],
    [
      'too large',
      file => writeFileSync(file, Buffer.alloc(4 * 1024 * 1024 + 1, '#')),
      'conf/x.toml: larger than a configuration may be (4194304 bytes)',
    ],
  ])('a file that is %s', (_, make, line) => {
    mkdirSync(join(directory, 'conf'))
    make(join(directory, 'conf/x.toml'))
    expect(linesOf(loadConfig({ file: 'conf/x.toml', cwd: directory, env: {} }))).toEqual([line])
  })

  test('a bad URL in the environment, without the URL', () => {
    expect(linesOf(load(undefined, { POSTERN_REDIS_URL: 'redis://:hunter2@' }))).toEqual([
      'POSTERN_REDIS_URL: not a URL; characters such as @ / : # in a password are written %40 %2F %3A %23',
    ])
  })
})

describe('what a configuration means', () => {
  test('without a file everything has its default and the trial MTA is on', () => {
    const config = configOf(load(undefined))
    expect(config.file).toBeUndefined()
    expect(config.trial.enabled).toBe(true)
    expect(config.store).toEqual({ kind: 'embedded', path: join(directory, 'var/store') })
    expect(config.policy.listen.map(formatEndpoint)).toEqual(['127.0.0.1:10040'])
    expect(config.lmtp.allow.map(network => network.text)).toEqual(['127.0.0.0/8', '::1'])
    expect(config.lmtp.hostname).not.toBe('')
  })

  test('with a file, an empty one too, the trial MTA is off', () => {
    expect(configOf(load('')).trial.enabled).toBe(false)
    expect(configOf(load('[trial]\nenabled = true\n')).trial.enabled).toBe(true)
  })

  test('relative paths are relative to the directory of the file', () => {
    mkdirSync(join(directory, 'etc'))
    const text = '[store]\npath = "s"\n[delivery.maildir]\npath = "/m"\n[policy]\nlisten = ["unix:../p"]\n'
    writeFileSync(join(directory, 'etc/x.toml'), text)
    const config = configOf(loadConfig({ file: 'etc/x.toml', cwd: directory, env: {} }))
    expect(config.file).toBe(join(directory, 'etc/x.toml'))
    expect(config.store).toMatchObject({ path: join(directory, 'etc/s') })
    expect(config.delivery.named['maildir']).toEqual({ kind: 'maildir', path: '/m' })
    expect(config.policy.listen).toEqual([{ kind: 'unix', path: join(directory, 'p') }])
    expect(config.log.keyFile).toBe(join(directory, 'etc/var/log-key'))
  })

  test('values come in their own types, frozen', () => {
    const config = configOf(
      load(
        [
          '[site]\nmax_recipients = 0\nrefuse_mtas_at = "CONNECT"\nprobe_local_parts = ["Probe"]',
          'max_hops = 9\nlate_refusal = "discard"\nadmission_days = 8',
          '[policy]\nlisten = []\nsocket_mode = "660"\non_store_failure = "pass"',
          '[lmtp]\nidle_timeout = 301\nhostname = "MX.Example.ORG"\nsocket_mode = "0606"\nallow = ["192.0.2.0/24"]',
          '[delivery]\ndefault = "discard"\n[log]\nformat = "json"\naddresses = "hashed"\n',
        ].join('\n'),
      ),
    )
    expect(config.site).toMatchObject({
      maxRecipients: 0,
      refuseMtasAt: 'CONNECT',
      probeLocalParts: ['probe'],
      maxHops: 9,
      lateRefusal: 'discard',
      admissionDays: 8,
    })
    expect(config.policy).toEqual({
      listen: [],
      socketMode: 0o660,
      onStoreFailure: 'pass',
      maxConnections: 1000,
    })
    expect(config.lmtp).toMatchObject({
      idleTimeoutMs: 301_000,
      hostname: 'mx.example.org',
      socketMode: 0o606,
    })
    expect(config.delivery.default).toBe('discard')
    expect(
      Object.isFrozen(config) && Object.isFrozen(config.lmtp.allow) && Object.isFrozen(config.site),
    ).toBe(true)
  })

  test('a byte order mark is no part of the text', () => {
    expect(linesOf(load('\ufefflog = 1\n'))).toEqual([
      'postern.toml:1:7: log: expected a table, not a whole number',
    ])
  })
})

describe('Redis', () => {
  const tcp = (host: string, port: number) => ({ kind: 'tcp', host, port })
  test.each<[string, string, Record<string, string>, object, string | undefined]>([
    [
      '[redis] alone',
      '[redis]',
      {},
      { endpoint: tcp('127.0.0.1', 6379), tls: false, db: 0, prefix: 'postern:', timeoutMs: 2000 },
      undefined,
    ],
    [
      'a URL',
      '[redis]\nurl = "redis://bob:p%40ss@h.example:7000/3"',
      {},
      { endpoint: tcp('h.example', 7000), username: 'bob', db: 3 },
      'p@ss',
    ],
    [
      'a URL with TLS and IPv6',
      '[redis]\nurl = "rediss://[::1]"',
      {},
      { endpoint: tcp('::1', 6379), tls: true },
      undefined,
    ],
    [
      'a URL of a socket',
      '[redis]\nurl = "unix:///run/redis.sock?db=2"',
      {},
      { endpoint: { kind: 'unix', path: '/run/redis.sock' }, db: 2 },
      undefined,
    ],
    [
      'parts',
      '[redis]\nhost = "h"\nport = 1\ndb = 4\ntls = true\nusername = "u"\npassword = "p"\nprefix = "x:"\ntimeout = 100',
      {},
      { endpoint: tcp('h', 1), tls: true, db: 4, username: 'u', prefix: 'x:', timeoutMs: 100 },
      'p',
    ],
    ['a socket', '[redis]\nsocket = "/run/r"', {}, { endpoint: { kind: 'unix', path: '/run/r' } }, undefined],
    [
      'the environment alone',
      '',
      { POSTERN_REDIS_URL: 'redis://:e@h' },
      { endpoint: tcp('h', 6379), prefix: 'postern:' },
      'e',
    ],
    [
      'the environment over the file',
      '[redis]\nurl = "redis://:f@file"\nprefix = "x:"',
      { POSTERN_REDIS_URL: 'redis://:e@env' },
      { endpoint: tcp('env', 6379), prefix: 'x:' },
      'e',
    ],
    [
      'the environment with the password of the file',
      '[redis]\nhost = "file"\npassword = "f"',
      { POSTERN_REDIS_URL: 'redis://env' },
      { endpoint: tcp('env', 6379) },
      'f',
    ],
    [
      'an empty variable, which says nothing',
      '[redis]\nhost = "file"',
      { POSTERN_REDIS_URL: '' },
      { endpoint: tcp('file', 6379) },
      undefined,
    ],
  ])('%s', (_, text, env, expected, password) => {
    const redis = redisOf(load(text, env))
    expect(redis).toMatchObject(expected)
    expect(redis.password?.reveal()).toBe(password)
  })

  test('the password may stand in a file of its own', () => {
    writeFileSync(join(directory, 'secret'), 'hunter2\n', { mode: 0o600 })
    expect(redisOf(load('[redis]\npassword_file = "secret"')).password?.reveal()).toBe('hunter2')
  })

  test('a password is shown by no way of printing it', () => {
    const config = configOf(load('[redis]\nurl = "redis://:hunter2@h"'))
    const shown = `${JSON.stringify(config)} ${inspect(config, { depth: 9, showHidden: true })} ${redisOf(load(undefined)).password}`
    expect(shown).toContain('"password":"[secret]"')
    expect(shown).not.toContain('hunter2')
  })
})

describe('warnings', () => {
  const warningsOf = (text: string): string[] => {
    const result = load(text)
    return result.ok ? result.value.warnings.map(formatProblem) : linesOf(result)
  }
  test.each<[string, string, string[]]>([
    [
      'nothing to warn of',
      '[policy]\nlisten = ["127.0.0.1:1", "unix:/p"]\n[lmtp]\nlisten = ["0.0.0.0:2"]\n',
      [],
    ],
    [
      'a policy server for the world',
      '[policy]\nlisten = ["0.0.0.0:1"]\n',
      [
        'postern.toml:2:11: policy.listen[0]: 0.0.0.0:1 can be reached from other hosts, and whoever reaches it may ask who may post',
      ],
    ],
    [
      'look-ups for the world',
      '[socketmap]\nlisten = ["0.0.0.0:1"]\n',
      [
        'postern.toml:2:11: socketmap.listen[0]: 0.0.0.0:1 can be reached from other hosts, and whoever reaches it may ask which lists there are',
      ],
    ],
    [
      'figures for the world',
      '[web]\nlisten = ["0.0.0.0:1", "[::1]:2"]\n',
      [
        'postern.toml:2:11: web.listen[0]: 0.0.0.0:1 can be reached from other hosts, and whoever reaches it may read how the gate is',
      ],
    ],
    [
      'a socket for every user',
      '[lmtp]\nlisten = ["unix:/p"]\nsocket_mode = "0666"\n',
      ['postern.toml:3:15: lmtp.socket_mode: every user of this host may connect to the socket'],
    ],
    [
      'an embedded store that is not used',
      '[store]\npath = "x"\n[redis]\n',
      ['postern.toml:1:2: store: has no effect: the store is Redis'],
    ],
  ])('%s', (_, text, lines) => {
    expect(warningsOf(text)).toEqual(lines)
  })

  test('secrets that everybody may read', () => {
    writeFileSync(join(directory, 'secret'), 'hunter2')
    chmodSync(join(directory, 'secret'), 0o644)
    expect(warningsOf('[redis]\npassword_file = "secret"\n')).toEqual([
      'postern.toml:2:17: redis.password_file: every user of this host may read the file',
    ])
    chmodSync(join(directory, 'postern.toml'), 0o644)
    expect(warningsOf('[redis]\npassword = "hunter2"\n')).toEqual([
      'postern.toml:2:12: redis.password: every user of this host may read this file and the password in it',
    ])
  })
})

describe('the known word that was meant', () => {
  const known = ['listen', 'max_size', 'max_recipients', 'on_store_failure']
  test.each([
    ['lsiten', 'listen'],
    ['max-size', 'max_size'],
    ['MaxSize', 'max_size'],
    ['max_recipient', 'max_recipients'],
    ['on_redis_failure', 'on_store_failure'],
    ['x', undefined],
    ['path', undefined],
    ['l'.repeat(10_000), undefined],
  ])('%s', (word, meant) => {
    expect(nearest(word, known)).toBe(meant)
  })
})
