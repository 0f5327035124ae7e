/** The journal as the daemon writes it: what MTAs were answered is found by whoever asks later. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { StoredEvent } from '../../src/app/journal.ts'
import { eventsOf } from '../../src/app/journal-query.ts'
import type { Store } from '../../src/app/ports.ts'
import { parseReasonId } from '../../src/app/reason-id.ts'
import { hashingCloak, loadCloakKey } from '../../src/daemon/address-cloak.ts'
import { openEmbeddedStore } from '../../src/store/embedded.ts'
import { openEmbeddedJournal } from '../../src/store/embedded-journal.ts'
import { openRedisStore } from '../../src/store/redis.ts'
import { openRedisJournal } from '../../src/store/redis-journal.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'
import { putState } from '../support/vectors.ts'
import { PolicyClient, Served } from './served.ts'

let cwd: string
let redis: RedisServer | undefined
const running: Served[] = []
const clients: PolicyClient[] = []
beforeEach(() => {
  cwd = mkdtempSync(join(tmpdir(), 'postern-journal-'))
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  for (const served of running.splice(0)) {
    served.signal('SIGKILL')
    await served.end()
  }
  await redis?.remove()
  redis = undefined
  rmSync(cwd, { recursive: true, force: true })
})

function configure(text: string): void {
  const off = ['milter', 'socketmap', 'web'].map(front => `[${front}]\nlisten = []\n`).join('')
  writeFileSync(
    join(cwd, 'postern.toml'),
    `[policy]\nlisten = ["127.0.0.1:0"]\n[lmtp]\nlisten = []\ncallout_listen = []\n${off}${text}`,
  )
}

async function start(): Promise<PolicyClient> {
  const served = await Served.ready({ cwd })
  running.push(served)
  const client = new PolicyClient(served.endpoint('policy'))
  clients.push(client)
  return client
}

async function fill(store: Store): Promise<void> {
  await putState(store, {
    postern: 1,
    domains: [{ domain: 'lists.example.org' }],
    lists: [{ address: 'team@lists.example.org' }],
  })
  await store.close()
}

const TEAM = 'team@lists.example.org'

test.skipIf(redisMissing('the journal of two daemons') !== undefined)(
  'two daemons on one Redis have one journal, and each refusal is found by its id',
  async () => {
    redis = await startRedis()
    const place = { endpoint: { kind: 'unix', path: redis.socket } } as const
    await fill(openRedisStore(place))
    const refs: string[] = []
    for (const node of ['mx1', 'mx2']) {
      configure(
        `[redis]\nsocket = "${redis.socket}"\n[journal]\nnode = "${node}"\n[site]\nreason_ids = true\nwhy_url = "https://x.example/{id}"\n`,
      )
      const client = await start()
      const action = (await client.ask('eve@example.com', TEAM)) ?? ''
      const [, ref = '', again] =
        /^550 5\.7\.2 .* \(ref (\w{8}), https:\/\/x\.example\/(\w{8})\)$/.exec(action) ?? []
      expect([ref.length, again]).toEqual([8, ref])
      refs.push(ref)
      expect(await client.ask('eve@example.com', 'x@elsewhere.example')).toBe('DUNNO')
    }
    for (const served of running) expect(await served.stop()).toBe(0)
    const journal = openRedisJournal(place)
    const found: StoredEvent[] = []
    for (const ref of refs) found.push(...(await eventsOf(journal, parseReasonId(ref)!, Date.now())))
    expect(found).toMatchObject([
      { node: 'mx1', ref: refs[0], verdict: 'reject', sender: 'eve@example.com', list: TEAM, phase: 'RCPT' },
      { node: 'mx2', ref: refs[1] },
    ])
    expect(await journal.count()).toBe(2)
    expect(await journal.nodes()).toMatchObject([
      { node: 'mx1', state: 'stopped', written: 1, lost: 0 },
      { node: 'mx2', state: 'stopped', written: 1 },
    ])
    await journal.close()
  },
)

test('the embedded store has it too, with hashes in place of addresses, and the log has the same ones', async () => {
  await fill(await openEmbeddedStore({ path: join(cwd, 'store') }))
  configure(
    '[store]\npath = "store"\n[journal]\naddresses = "hashed"\n[log]\naddresses = "hashed"\nkey_file = "key"\n',
  )
  const client = await start()
  expect(await client.ask('eve@example.com', TEAM)).toBe(`550 5.7.2 You are not permitted to post to ${TEAM}`)
  expect(await running[0]!.stop()).toBe(0)
  const journal = await openEmbeddedJournal({ path: join(cwd, 'store') })
  const events = await journal.after(undefined, 10)
  await journal.close()
  const hash = hashingCloak(loadCloakKey(join(cwd, 'key'))).address('eve@example.com')
  expect(events).toMatchObject([{ sender: hash, list: TEAM }])
  expect(JSON.stringify(events)).not.toContain('eve@')
  expect(running[0]!.said).toContain(`from=<${hash}>`)
})

test('a key file that cannot be used ends it in one line', async () => {
  configure('[journal]\naddresses = "hashed"\n[log]\nkey_file = "postern.toml"\n')
  const served = new Served({ cwd })
  running.push(served)
  expect(await served.end()).toBe(78)
  expect(served.said).toMatch(/^postern: log\.key_file: expected 64 hexadecimal digits in .*\n$/)
})

test('none where it is turned off', async () => {
  await fill(await openEmbeddedStore({ path: join(cwd, 'store') }))
  configure('[store]\npath = "store"\n[journal]\nenabled = false\n')
  const client = await start()
  expect(await client.ask('eve@example.com', TEAM)).toMatch(/^550 /)
  expect(await running[0]!.stop()).toBe(0)
  const journal = await openEmbeddedJournal({ path: join(cwd, 'store') })
  expect([await journal.count(), await journal.nodes()]).toEqual([0, []])
  await journal.close()
})
