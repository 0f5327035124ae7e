/**
 * A body of a gigabyte, and the daemon as an operator runs it, on either engine: the body is passed over, and others are
 * answered meanwhile.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, describe, expect, test } from 'vitest'
import { type Endpoint, formatEndpoint } from '../../src/app/endpoint.ts'
import { type Postern, startPostern } from '../support/daemon.ts'
import { type EngineName, type Place, placeFor } from './engine.ts'
import { requireLibmilter } from './libmilter-host.ts'
import { MtaClient } from './mta-client.ts'
import { command, frame } from './mta-wire.ts'

/** Data of one frame, as Postfix and Sendmail send it at most. */
const PIECE = 65_535
const PIECES = Math.ceil(2 ** 30 / PIECE)
const BODY = PIECES * PIECE
const HUNDRED_MEGABYTES = Math.ceil((100 * 2 ** 20) / PIECE)

/** What the daemon's memory may grow by, in bytes, whatever the body's size. */
const GROWTH = 128 * 1024 * 1024
/** What another session may wait for an answer, in milliseconds, on a machine with other things to do. */
const PATIENCE = 1000

const SHORT = 'short@lists.example.org'
const PARTS = 'parts@lists.example.org'
const TEAM = 'team@lists.example.org'

let postern: Postern | undefined
let place: Place | undefined
afterEach(async () => {
  await postern?.remove()
  place?.remove()
})

/** libmilter on the unix socket that docs/milter.md advises: on TCP its answers wait for one another. */
async function start(engine: EngineName): Promise<{ endpoint: Endpoint; pid: number }> {
  place = await placeFor(engine === 'native' ? 'tcp' : 'unix')
  const { endpoint } = place
  const listen = `["${formatEndpoint(endpoint)}"]`
  postern = await startPostern({ config: `[milter]\nengine = "${engine}"\nlisten = ${listen}\n` })
  await postern.load({
    postern: 1,
    domains: [{ domain: 'lists.example.org' }],
    lists: [
      { address: SHORT, settings: { nonmember_action: 'accept', max_size: BODY } },
      { address: PARTS, settings: { nonmember_action: 'accept', refused_parts: 'video/* .exe' } },
      { address: TEAM, people: [{ who: 'alice@example.net', roles: ['member'] }] },
    ],
  })
  return { endpoint, pid: postern.pid() }
}

/** A process's memory, in bytes: now, or at most since it was last set back. */
function memory(pid: number, what: 'VmRSS' | 'VmHWM'): number {
  const [, kilobytes] =
    new RegExp(`^${what}:\\s+(\\d+) kB$`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kilobytes) * 1024
}

const missing = { native: undefined, libmilter: requireLibmilter() }

describe.each(['native', 'libmilter'] as const)('engine %s', engine => {
  test.skipIf(missing[engine])(
    'a huge body is counted to its end, and not kept, and others are answered',
    async () => {
      const { endpoint, pid } = await start(engine)
      const huge = await MtaClient.greeted(endpoint)
      expect(await huge.ask(command.mail('<eve@example.com>'))).toEqual(['c'])
      expect(await huge.ask(command.rcpt(`<${SHORT}>`))).toEqual(['c'])
      expect(await huge.ask(command.data())).toEqual(['c'])
      expect(await huge.ask(command.header('From', 'eve@example.com'), command.endOfHeaders())).toEqual(['c'])

      const other = await MtaClient.greeted(endpoint)
      let over = false
      let transactions = 0
      let longest = 0
      const others = (async (): Promise<void> => {
        while (!over) {
          const begun = performance.now()
          expect(await other.ask(command.mail('<eve@example.com>'))).toEqual(['c'])
          expect(await other.ask(command.rcpt(`<${TEAM}>`))).toEqual([
            `y 550 5.7.2 You are not permitted to post to ${TEAM}`,
          ])
          other.send(command.abort())
          longest = Math.max(longest, performance.now() - begun)
          transactions++
          await new Promise(resolve => setTimeout(resolve, 10))
        }
      })()

      // Sets the peak back to what is used now (proc(5), clear_refs).
      writeFileSync(`/proc/${pid}/clear_refs`, '5')
      const before = memory(pid, 'VmRSS')
      // Many frames a write, as a fast MTA has them in its buffer; libmilter's answers to them are taken as they come.
      const PER_WRITE = 16
      const piece = frame('B', Buffer.alloc(PIECE, 'x'))
      const pieces = Buffer.concat(Array.from({ length: PER_WRITE }, () => piece))
      for (let left = PIECES; left > 0; left -= PER_WRITE) {
        const now = Math.min(left, PER_WRITE)
        await huge.pour(pieces.subarray(0, now * piece.length))
        for (let due = engine === 'libmilter' ? now : 0; due > 0; due--) expect(await huge.answer()).toBe('c')
      }
      // With the field and the empty line it is larger than the list takes, and not without them.
      expect(await huge.ask(command.endOfMessage())).toEqual([
        `y 552 5.3.4 The message is larger than the ${BODY} bytes that ${SHORT} takes`,
      ])
      over = true
      await others
      const growth = memory(pid, 'VmHWM') - before
      expect(growth).toBeLessThan(GROWTH)
      expect(transactions).toBeGreaterThan(10)
      expect(longest).toBeLessThan(PATIENCE)
      // The connection is as good as it was.
      huge.send(command.abort())
      expect(await huge.ask(command.mail('<eve@example.com>'))).toEqual(['c'])
      huge.send(command.abort(), command.quit())
      await huge.closed()
    },
    120_000,
  )

  test.skipIf(missing[engine])(
    'a hundred megabytes of parts are looked at, and not kept',
    async () => {
      const { endpoint, pid } = await start(engine)
      const client = await MtaClient.greeted(endpoint)
      /** A message of so many pieces; the last part tells what is asked about. */
      const send = async (pieces: number, last: string): Promise<readonly string[]> => {
        await client.ask(command.mail('<eve@example.com>'))
        expect(await client.ask(command.rcpt(`<${PARTS}>`))).toEqual(['c'])
        client.send(command.header('Content-Type', 'multipart/mixed; boundary=b'))
        expect(await client.ask(command.endOfHeaders())).toEqual(['c'])
        const piece = frame('B', Buffer.alloc(PIECE, `${'QUJD'.repeat(19)}\r\n`))
        client.send(command.body('--b\r\nContent-Type: image/png\r\n\r\n'))
        if (engine === 'libmilter') await client.answer()
        for (let left = pieces; left > 0; left--) {
          await client.pour(piece)
          if (engine === 'libmilter') expect(await client.answer()).toBe('c')
        }
        client.send(command.body(`\r\n--b\r\nContent-Type: ${last}\r\n\r\n`))
        if (engine === 'libmilter') await client.answer()
        const answers = await client.ask(command.endOfMessage())
        client.send(command.abort())
        return answers
      }
      const refused = `y 554 5.6.1 The list ${PARTS} does not take this kind of content: video/mp4`
      expect(await send(1, 'video/mp4')).toEqual([refused])
      writeFileSync(`/proc/${pid}/clear_refs`, '5')
      const before = memory(pid, 'VmRSS')
      expect(await send(HUNDRED_MEGABYTES, 'text/plain')).toEqual(['c'])
      expect(await send(HUNDRED_MEGABYTES, 'video/mp4')).toEqual([refused])
      const growth = memory(pid, 'VmHWM') - before
      expect(growth).toBeLessThan(GROWTH)
      client.send(command.quit())
      await client.closed()
    },
    120_000,
  )
})
