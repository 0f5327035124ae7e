/** The socketmap server as the daemon runs it: by unix socket, reloaded, and ended. */
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openEmbeddedStore } from '../../src/store/embedded.ts'
import { SocketmapClient } from '../socketmap/socketmap-server.ts'
import { putState } from '../support/vectors.ts'
import { Served } from './served.ts'

let cwd: string
let served: Served | undefined
beforeEach(async () => {
  cwd = mkdtempSync(join(tmpdir(), 'postern-lookup-'))
  const store = await openEmbeddedStore({ path: join(cwd, 'store') })
  await putState(store, {
    postern: 1,
    domains: [{ domain: 'lists.example.org' }],
    lists: [{ address: 'team@lists.example.org' }],
  })
  await store.close()
})
afterEach(async () => {
  served?.signal('SIGKILL')
  await served?.end()
  served = undefined
  rmSync(cwd, { recursive: true, force: true })
})

function configure(socketmap: string, lmtp = 'unix:lmtp'): void {
  writeFileSync(
    join(cwd, 'postern.toml'),
    `[store]\npath = "store"\n[policy]\nlisten = []\n[milter]\nlisten = []\n[web]\nlisten = []\n[lmtp]\nlisten = ["${lmtp}"]\ncallout_listen = []\n[socketmap]\n${socketmap}\n`,
  )
}

test('look-ups go by the configuration in force, on connections that live on', async () => {
  configure('listen = ["unix:maps"]\nsocket_mode = "0600"')
  served = await Served.ready({ cwd })
  const path = join(cwd, 'maps')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  const client = await SocketmapClient.connect({ path })
  expect(await client.ask('recipient team@lists.example.org')).toBe('OK team@lists.example.org')
  expect(await client.ask('transport lists.example.org')).toBe(`OK lmtp:unix:${cwd}/lmtp`)
  expect(await client.ask('alias abuse@lists.example.org')).toBe('NOTFOUND ')

  // Where the sink listens does not change before a restart, and neither does the way to it.
  configure('listen = ["unix:elsewhere"]\npostmaster = "root@example.org"', '127.0.0.1:24')
  served.signal('SIGHUP')
  await served.says(/ configuration reloaded;/)
  expect(served.said.match(/(?<=needs a restart; the old value stays; key=<)[^>]+/g)).toEqual([
    'lmtp.listen',
    'socketmap.listen',
    'socketmap.socket_mode',
  ])
  expect(await client.ask('transport lists.example.org')).toBe(`OK lmtp:unix:${cwd}/lmtp`)
  expect(await client.ask('alias abuse@lists.example.org')).toBe('OK root@example.org')

  configure('transport = "lmtp:unix:postern/lmtp"')
  served.signal('SIGHUP')
  await served.says(/(?:.* configuration reloaded;[^\n]*\n[\s\S]*){2}/)
  expect(await client.ask('transport lists.example.org')).toBe('OK lmtp:unix:postern/lmtp')

  expect(await served.stop()).toBe(0)
  expect(await client.rest()).toBe('')
  expect(existsSync(path)).toBe(false)
  expect(served.said).not.toContain('error')
})
