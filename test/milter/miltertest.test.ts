/** Debian's miltertest, through every command: an MTA's side of the protocol that is not ours. On either engine. */
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, describe, expect, test } from 'vitest'
import { requirePart } from '../support/parts.ts'
import { type Engine, type Place, placeFor, startEngine } from './engine.ts'
import { requireLibmilter } from './libmilter-host.ts'

const MILTERTEST = '/usr/bin/miltertest'
const SCRIPT = fileURLToPath(new URL('miltertest.lua', import.meta.url))

const missing = requirePart('milter by miltertest', MILTERTEST)
const withoutLibmilter = requireLibmilter()

describe.skipIf(missing !== undefined)('miltertest', () => {
  let place: Place
  let engine: Engine | undefined
  afterEach(async () => {
    await engine?.stop()
    place.remove()
  })

  test.each([
    ['native', 'tcp'],
    ['native', 'unix'],
    ['libmilter', 'tcp'],
    ['libmilter', 'unix'],
  ] as const)('%s on %s', async (name, kind) => {
    if (name === 'libmilter' && withoutLibmilter !== undefined) return
    place = await placeFor(kind)
    engine = await startEngine(name, place.endpoint, { traceHeader: true })
    const { endpoint } = place
    const socket = endpoint.kind === 'unix' ? `unix:${endpoint.path}` : `inet:${endpoint.port}@127.0.0.1`
    const { stdout, stderr } = await promisify(execFile)(MILTERTEST, ['-D', `SOCKET=${socket}`, '-s', SCRIPT])
    expect(`${stdout}${stderr}`.trim()).toBe('all well')
    expect(engine.lines()).toMatchObject([{ level: 'warn', message: 'the MTA offers less than is of use' }])
  })
})
