/** Postfix's own client of the protocol: postmap(1). */
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Transport } from '../policy/policy-server.ts'
import { away } from '../policy/stores.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { requirePart } from '../support/parts.ts'
import { putState } from '../support/vectors.ts'
import { lookupIn, type RunningSocketmap, startSocketmap } from './socketmap-server.ts'

const POSTMAP = '/usr/sbin/postmap'

interface Found {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** Looks one key up. */
function postmap(key: string, table: string): Promise<Found> {
  return new Promise(resolve => {
    execFile(POSTMAP, ['-q', key, table], (error, stdout, stderr) => {
      resolve({ status: Number(error?.code ?? 0), stdout, stderr })
    })
  })
}

describe.skipIf(requirePart('socketmap with postmap', POSTMAP)).each<Transport>(['tcp', 'unix'])(
  'postmap -q over %s',
  transport => {
    let server: RunningSocketmap
    let absent: RunningSocketmap
    beforeAll(async () => {
      const store = new MemoryStore()
      await putState(store, {
        postern: 1,
        domains: [{ domain: 'lists.example.org' }],
        lists: [{ address: 'team@lists.example.org' }, { address: 'josé@lists.example.org' }],
      })
      server = await startSocketmap(transport, { lookup: lookupIn(store) })
      absent = await startSocketmap(transport, { lookup: lookupIn(away('late')) })
    })
    afterAll(async () => {
      await server.stop()
      await absent.stop()
    })

    test.each([
      ['recipient', 'team@lists.example.org', 'team@lists.example.org'],
      ['recipient', 'Team-Owner@Lists.Example.ORG', 'team@lists.example.org'],
      ['recipient', 'josé@lists.example.org', 'josé@lists.example.org'],
      ['domain', 'lists.example.org', 'lists.example.org'],
      ['transport', 'anybody@lists.example.org', 'lmtp:inet:127.0.0.1:10042'],
      ['alias', 'abuse@lists.example.org', 'postmaster@example.org'],
      ['restriction', 'anybody@lists.example.org', 'postern'],
    ])('%s %s', async (map, key, value) => {
      expect(await postmap(key, `${server.table}:${map}`)).toEqual({
        status: 0,
        stdout: `${value}\n`,
        stderr: '',
      })
    })

    test.each([
      ['recipient', 'nosuch@lists.example.org'],
      ['recipient', '@lists.example.org'],
      ['recipient', `${'x'.repeat(3000)}@lists.example.org`],
      ['domain', 'example.org'],
      ['transport', '*'],
      ['alias', 'team@lists.example.org'],
      ['restriction', 'bob@elsewhere.example'],
    ])('%s: nothing', async (map, key) => {
      expect(await postmap(key, `${server.table}:${map}`)).toEqual({ status: 1, stdout: '', stderr: '' })
    })

    test('a map that there is not is an error, with the reason', async () => {
      const { status, stdout, stderr } = await postmap('x', `${server.table}:nosuch`)
      expect([status, stdout]).toEqual([1, ''])
      expect(stderr).toContain(
        'permanent error: there is no map of that name; the maps are recipient, domain',
      )
    })

    test('a key that is too long is an error, with the reason', async () => {
      const { status, stderr } = await postmap('x'.repeat(6000), `${server.table}:recipient`)
      expect(status).toBe(1)
      expect(stderr).toContain('permanent error: a request is too long')
    })

    test('a store that is away is no answer at all', async () => {
      const { status, stdout, stderr } = await postmap('team@lists.example.org', `${absent.table}:recipient`)
      expect([status, stdout]).toEqual([1, ''])
      expect(stderr).toContain('temporary error: Postern cannot look it up now; try again later')
    })

    test('many keys on one connection', async () => {
      const child = spawn(POSTMAP, ['-q', '-', `${server.table}:recipient`])
      const keys = Array.from(
        { length: 10_000 },
        (_, i) => `${i % 2 === 0 ? 'team' : `x${i}`}@lists.example.org`,
      )
      child.stdin.end(`${keys.join('\n')}\n`)
      let stdout = ''
      child.stdout.on('data', chunk => (stdout += String(chunk)))
      expect(await once(child, 'close')).toEqual([0, null])
      expect(stdout).toBe('team@lists.example.org\tteam@lists.example.org\n'.repeat(5000))
    })
  },
)
