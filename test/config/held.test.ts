/** `[held]`: the queue of messages that wait for a moderator. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { loadConfig } from '../../src/config/load.ts'
import { formatProblem } from '../../src/config/problems.ts'

let directory = ''

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'postern-held-config-'))
})

afterEach(() => rmSync(directory, { recursive: true, force: true }))

function load(text: string) {
  writeFileSync(join(directory, 'postern.toml'), text)
  return loadConfig({ cwd: directory, env: {} })
}

function held(text: string) {
  const result = load(text)
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'))
  return result.value.held
}

test('without it messages wait for ever, and nobody is told anything', () => {
  expect(held('')).toEqual({
    path: join(directory, 'var/held'),
    maxMessages: 10_000,
    maxSize: 1_073_741_824,
    expireAfterMs: undefined,
    expireAction: 'discard',
    notices: undefined,
  })
})

test('every key', () => {
  const text = `[held]
path = "/srv/held"
max_messages = 5
max_size = 0
expire_days = 14
expire_action = "accept"
notices = "smtp://127.0.0.1:2525"
`
  expect(held(text)).toEqual({
    path: '/srv/held',
    maxMessages: 5,
    maxSize: 0,
    expireAfterMs: 14 * 86_400_000,
    expireAction: 'accept',
    notices: { kind: 'tcp', host: '127.0.0.1', port: 2525 },
  })
})

test.each([
  ['smtp://mail.example.org', { kind: 'tcp', host: 'mail.example.org', port: 25 }],
  ['smtp://[::1]:2525/', { kind: 'tcp', host: '::1', port: 2525 }],
  ['smtp://[::1]', { kind: 'tcp', host: '::1', port: 25 }],
])('notices by %s', (url, endpoint) => {
  expect(held(`[held]\nnotices = "${url}"\n`).notices).toEqual(endpoint)
})

test.each([
  'localhost:25',
  'http://localhost:25',
  'smtp://',
  'smtp://user:secret@mail.example.org',
  'smtp://unix:/x',
])('notices by %s are none', url => {
  const result = load(`[held]\nnotices = "${url}"\n`)
  expect(result.ok ? [] : result.problems.map(formatProblem)).toEqual([
    expect.stringMatching(/^postern\.toml:2:11: held\.notices: expected /),
  ])
})
