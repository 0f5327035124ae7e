/** Debian's miltertest, through every command: an MTA's side of the protocol that is not ours. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { requirePart } from '../support/parts.ts'
import { type RunningMilter, startMilter } from './milter-server.ts'
import { gateOf } from './world.ts'

const MILTERTEST = '/usr/bin/miltertest'
const SCRIPT = fileURLToPath(new URL('miltertest.lua', import.meta.url))

const missing = requirePart('milter by miltertest', MILTERTEST)

describe.skipIf(missing !== undefined)('miltertest', () => {
  let server: RunningMilter | undefined
  afterEach(async () => {
    await server?.stop()
  })

  test.each(['tcp', 'unix'] as const)('%s', async kind => {
    server = await startMilter(kind, { gate: await gateOf('lists'), settings: { traceHeader: true } })
    const { endpoint } = server
    const socket = endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `inet:${endpoint.port}@127.0.0.1`
    const { stdout, stderr } = await promisify(execFile)(MILTERTEST, ['-D', `SOCKET=${socket}`, '-s', SCRIPT])
    expect(`${stdout}${stderr}`.trim()).toBe('all well')
    expect(server.problems()).toEqual([])
  })
})
