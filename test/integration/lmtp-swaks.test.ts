/** `swaks --protocol LMTP` straight at the sink: an LMTP client that is not ours. */
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Postern, startPostern } from '../support/daemon.ts'
import { requirePart } from '../support/parts.ts'
import { type RedisServer, startRedis } from '../support/redis-server.ts'
import { asSent, copiesIn, documentOf, storesFor } from './site.ts'

const SUITE = 'swaks and the LMTP sink'

const MESSAGE =
  'From: alice@example.net\nDate: Sun, 22 Nov 2026 10:00:00 +0000\nMessage-ID: <1@example.net>\n\n.\n..\nHello.\n'

interface Dialogue {
  readonly status: number
  /** What the server said, each line with its marker: `<-` for what went well, `<**` for a refusal. */
  readonly server: readonly string[]
}

function swaks(...args: readonly string[]): Promise<Dialogue> {
  return new Promise(resolve => {
    execFile('/usr/bin/swaks', [...args], (error, stdout) => {
      const status = error === null ? 0 : Number(error.code)
      resolve({ status, server: stdout.split('\n').filter(line => line.startsWith('<')) })
    })
  })
}

describe.skipIf(requirePart(SUITE, '/usr/bin/swaks') !== undefined).each(storesFor(SUITE))(
  'swaks and the sink on the %s store',
  store => {
    let postern: Postern
    let redis: RedisServer | undefined
    let file: string
    beforeAll(async () => {
      redis = store === 'redis' ? await startRedis() : undefined
      postern = await startPostern(redis === undefined ? {} : { redisUrl: redis.url })
      await postern.load(
        documentOf([
          { name: 'team', members: ['alice@example.net'] },
          { name: 'news', members: ['bob@example.net'] },
        ]),
      )
      file = join(postern.directory, 'message')
      writeFileSync(file, MESSAGE)
    })
    afterAll(async () => {
      await postern?.remove()
      await redis?.remove()
    })

    const at = (door: 'lmtp' | 'callout', ...args: readonly string[]): Promise<Dialogue> => {
      const endpoint = postern[door]
      const server = endpoint.kind === 'tcp' ? `${endpoint.host}:${endpoint.port}` : ''
      return swaks('--protocol', 'LMTP', '--server', server, '--data', `@${file}`, ...args)
    }
    const lmtp = (...args: readonly string[]): Promise<Dialogue> => at('lmtp', ...args)
    const callout = (...args: readonly string[]): Promise<Dialogue> =>
      at('callout', ...args, '--quit-after', 'RCPT')

    test('a member posts, to one address in two spellings: two recipients, two replies, two copies', async () => {
      const { status, server } = await lmtp(
        '--from',
        'alice@example.net',
        '--to',
        'team@lists.example.org,TEAM@lists.example.org',
        '--pipeline',
      )
      expect(server.filter(line => / taken as /.test(line))).toHaveLength(2)
      expect(status).toBe(0)
      const copies = copiesIn(postern, 'team')
      expect(copies).toHaveLength(2)
      expect(copies[0]?.toString()).toMatch(/\r\n\r\n\.\r\n\.\.\r\nHello\.\r\n/)
    })

    test('a stranger is refused at RCPT where it is asked, with one enhanced code', async () => {
      const { status, server } = await callout('--from', 'eve@example.net', '--to', 'team@lists.example.org')
      expect(server).toContain('<** 550 5.7.2 You are not permitted to post to team@lists.example.org')
      expect(status).not.toBe(0)
    })

    test('of two recipients one would be refused: it waits for a moderator', async () => {
      const { server } = await lmtp(
        '--from',
        'alice@example.net',
        '--to',
        'news@lists.example.org,team@lists.example.org',
      )
      const taken = server.filter(line => / taken as /.test(line))
      expect(taken.map(line => line.endsWith(' and waits for a moderator'))).toEqual([true, false])
      expect(copiesIn(postern, 'news')).toEqual([])
    })

    test('an unknown list, and no list domain at all', async () => {
      const unknown = await callout('--from', 'alice@example.net', '--to', 'nosuch@lists.example.org')
      expect(unknown.server).toContain('<** 550 5.1.1 There is no list nosuch@lists.example.org')
      const asked = await callout('--from', 'alice@example.net', '--to', 'bob@elsewhere.example')
      expect(asked.server.some(line => line.startsWith('<** 550 5.1.2 '))).toBe(true)
      const sent = await lmtp('--from', 'alice@example.net', '--to', 'bob@elsewhere.example')
      expect(sent.server.some(line => line.startsWith('<** 451 4.3.5 '))).toBe(true)
    })

    test('a client that goes away behind the dot has sent its message, in mid-data it has not', async () => {
      const before = copiesIn(postern, 'team').length
      await lmtp('--from', 'alice@example.net', '--to', 'team@lists.example.org', '--drop-after-send', 'DATA')
      expect(copiesIn(postern, 'team')).toHaveLength(before)
    })

    test('one who may not use SMTP verbs is told so', async () => {
      const { server } = await swaks(
        '--protocol',
        'SMTP',
        '--server',
        postern.lmtp.kind === 'tcp' ? `${postern.lmtp.host}:${postern.lmtp.port}` : '',
        '--to',
        'team@lists.example.org',
      )
      expect(server.some(line => line.startsWith('<** 500 5.5.1 '))).toBe(true)
    })

    test('copies begin with the lines that delivery adds', () => {
      const [copy] = copiesIn(postern, 'team')
      expect(copy?.toString()).toMatch(
        /^Return-Path: <alice@example\.net>\r\nDelivered-To: team@lists\.example\.org\r\n/,
      )
      expect(() => asSent(copy!)).toThrow('lines are missing')
    })
  },
)
