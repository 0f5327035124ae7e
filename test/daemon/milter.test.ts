/** The milter as the daemon runs it, with either engine. */
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { requireLibmilter } from '../milter/libmilter-host.ts'
import { MtaClient } from '../milter/mta-client.ts'
import { command } from '../milter/mta-wire.ts'
import { type Postern, startPostern } from '../support/daemon.ts'
import { freePort } from '../support/ports.ts'

const nodeOptions = process.env['NODE_OPTIONS']
let postern: Postern | undefined
afterEach(async () => {
  await postern?.remove()
  postern = undefined
  if (nodeOptions === undefined) delete process.env['NODE_OPTIONS']
  else process.env['NODE_OPTIONS'] = nodeOptions
})

const missing = { native: undefined, libmilter: requireLibmilter() }

describe.each(['native', 'libmilter'] as const)('milter.engine = "%s", by unix socket', engine => {
  test.skipIf(missing[engine])(
    'the socket has its mode, and a second daemon does not take it away',
    async () => {
      const threads = new URL('../support/typescript-in-threads.mjs', import.meta.url).href
      process.env['NODE_OPTIONS'] = `--import ${threads}`
      const directory = mkdtempSync(join(tmpdir(), 'postern-milter-'))
      const path = join(directory, 'milter')
      const config = `[milter]\nengine = "${engine}"\nlisten = ["unix:${path}"]\nsocket_mode = "0600"\n`
      try {
        postern = await startPostern({ config })
        expect(statSync(path).mode & 0o777).toBe(0o600)
        await expect(startPostern({ config })).rejects.toThrow(/milter\.listen\[0\]: .*already in use/)
        const mta = await MtaClient.greeted({ kind: 'unix', path })
        expect(await mta.ask(command.mail('<eve@example.com>'))).toEqual(['c'])
        mta.send(command.abort(), command.quit())
        expect(await mta.answer()).toBeUndefined()
        expect(await postern.stop()).toBe(0)
      } finally {
        rmSync(directory, { recursive: true, force: true })
      }
    },
    60_000,
  )
})

describe.each(['native', 'libmilter'] as const)('milter.engine = "%s"', engine => {
  test.skipIf(missing[engine])(
    'judges by the store, and ends in order',
    async () => {
      // Run from its sources, the program needs this for its threads.
      const threads = new URL('../support/typescript-in-threads.mjs', import.meta.url).href
      process.env['NODE_OPTIONS'] = `--import ${threads}`
      const endpoint: Endpoint = { kind: 'tcp', host: '127.0.0.1', port: await freePort() }
      postern = await startPostern({
        config: `[milter]\nengine = "${engine}"\nlisten = ["127.0.0.1:${endpoint.port}"]\n`,
      })
      await postern.must('domain', 'add', 'lists.example.org')
      await postern.must('list', 'add', 'team@lists.example.org', '--preset', 'members')
      await postern.must('member', 'add', 'team@lists.example.org', 'alice@example.net')
      const mta = await MtaClient.greeted(endpoint)
      expect(await mta.ask(command.mail('<eve@example.com>'))).toEqual(['c'])
      expect(await mta.ask(command.rcpt('<team@lists.example.org>'))).toEqual([
        'y 550 5.7.2 You are not permitted to post to team@lists.example.org',
      ])
      mta.send(command.abort())
      expect(await mta.ask(command.mail('<alice@example.net>'))).toEqual(['c'])
      expect(await mta.ask(command.rcpt('<team@lists.example.org>'))).toEqual(['c'])
      mta.send(command.abort(), command.quit())
      expect(await mta.answer()).toBeUndefined()
      // libmilter looks every five seconds whether it is to end.
      expect(await postern.stop()).toBe(0)
    },
    60_000,
  )
})
