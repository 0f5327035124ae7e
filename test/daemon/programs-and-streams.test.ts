/** Programs and streams as the daemon uses them: one message to lists with each, and an end in the midst of one. */
import { chmodSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { copiesIn, documentOf, heldFor } from '../integration/site.ts'
import { type Postern, startPostern } from '../support/daemon.ts'
import { LmtpClient } from '../support/lmtp-client.ts'
import { type RedisServer, redisMissing, startRedis } from '../support/redis-server.ts'

const MESSAGE = 'From: alice@example.net\r\nSubject: x\r\n\r\nHello.\r\n'
const PROGRAMS = {
  takes: 'cat >"$PWD/taken"; ls -l /proc/$$/fd >"$PWD/open"',
  refuses: 'cat >/dev/null; echo "5.1.6 The list has moved"; exit 67',
  fails: 'cat >/dev/null; echo "no such file" >&2; exit 78',
  endless: 'cat >/dev/null; echo $$ >"$PWD/pid"; sleep 1000',
  slow: 'cat >/dev/null; touch "$PWD/begun"; sleep 1; touch "$PWD/done"',
}

describe.skipIf(redisMissing('programs and streams in the daemon') !== undefined)('the daemon', () => {
  let redis: RedisServer
  let postern: Postern

  beforeAll(async () => {
    redis = await startRedis()
    postern = await startPostern({ redisUrl: redis.url })
    const pipes = Object.entries(PROGRAMS).map(([name, lines]) => {
      const path = join(postern.directory, name)
      writeFileSync(path, `#!/bin/sh\n${lines}\n`)
      chmodSync(path, 0o755)
      return `[delivery.pipe.${name}]\ncommand = ["${path}"]\ndirectory = "."\n`
    })
    // A running daemon is told of them.
    const file = join(postern.directory, 'postern.toml')
    const missing = '[delivery.pipe.missing]\ncommand = ["/nowhere/program"]\n'
    const streams = `[delivery.stream.kept]\n[delivery.stream.full]\nurl = "${redis.url}"\nmax_entries = 1\n`
    writeFileSync(file, [readFileSync(file, 'utf8'), ...pipes, missing, streams].join('\n'))
    process.kill(postern.pid(), 'SIGHUP')
    await vi.waitFor(() => expect(postern.log()).toMatch(/ configuration reloaded;/), 10_000)
    const lists = [...Object.keys(PROGRAMS), 'missing', 'kept', 'full'].map(name => ({
      name,
      settings: { delivery: name },
      members: ['alice@example.net'],
    }))
    const held = {
      name: 'held',
      settings: { delivery: 'takes', member_action: 'hold' },
      members: ['alice@example.net'],
    }
    await postern.load(documentOf([...lists, held]))
  })

  afterAll(async () => {
    await postern?.remove()
    await redis?.remove()
  })

  async function send(...lists: readonly string[]): Promise<readonly string[]> {
    if (postern.lmtp.kind !== 'tcp') throw new Error('no port')
    const client = await LmtpClient.greeted({ port: postern.lmtp.port })
    client.send(
      'MAIL FROM:<alice@example.net>',
      ...lists.map(name => `RCPT TO:<${name}@lists.example.org>`),
      'DATA',
    )
    expect((await client.replies(lists.length + 2)).at(-1)).toMatch(/^354 /)
    client.write(`${MESSAGE}.\r\n`)
    const replies = await client.replies(lists.length)
    client.destroy()
    return replies
  }

  test('tells each recipient what became of its copy', async () => {
    const replies = await send('refuses', 'takes', 'missing', 'full', 'kept', 'fails', 'full', 'held')
    expect(replies).toEqual([
      // The program has refused it for good, and nobody knows whether a bounce would reach who sent it.
      expect.stringMatching(
        /^250 2\.0\.0 <refuses@lists\.example\.org> taken as .* and waits for a moderator$/,
      ),
      expect.stringMatching(/^250 2\.0\.0 <takes@lists\.example\.org> taken as /),
      '451 4.3.0 Temporary failure; try again later',
      expect.stringMatching(/^250 2\.0\.0 <full@lists\.example\.org> taken as /),
      expect.stringMatching(/^250 2\.0\.0 <kept@lists\.example\.org> taken as /),
      '451 4.3.5 The delivery program is not set up; try again later',
      '451 4.3.1 There is no room for the message at the moment; try again later',
      expect.stringMatching(/^250 2\.0\.0 <held@lists\.example\.org> taken as .* and waits for a moderator$/),
    ])
    expect(readFileSync(join(postern.directory, 'taken'), 'utf8')).toMatch(/\nSubject: x\n\nHello\.\n$/)
    // Nothing that the daemon has open: of sockets only its own three.
    const open = readFileSync(join(postern.directory, 'open'), 'utf8').trim().split('\n')
    expect(open.filter(line => line.includes(' -> socket:'))).toHaveLength(3)
    expect(open.filter(line => /store|\.toml|postern-spool/.test(line))).toEqual([])
    expect(await heldFor(postern, 'held')).toHaveLength(1)
    expect(copiesIn(postern, 'takes')).toEqual([])

    const client = new Redis(redis.url, { protocol: 2 })
    const entries = [
      await client.xrange('postern:stream:kept', '-', '+'),
      await client.xrange('postern:stream:full', '-', '+'),
    ]
    client.disconnect()
    expect(entries.map(each => each.map(([, fields]) => fields.at(-1)))).toEqual([[MESSAGE], [MESSAGE]])

    const log = postern.log()
    expect(log).toMatch(
      /message held;.* delivery=<refuses> .*reason=<?late-refusal-held.*550 5\.1\.6 The list has moved/,
    )
    expect(log).toMatch(
      /refused by the next hop;.* delivery=<fails> .*fails ended with EX_CONFIG: no such file/,
    )
    expect(log).toMatch(/error: message not delivered;.*\/nowhere\/program could not be started.*ENOENT/)
    expect(log).toMatch(/refused by the next hop;.* delivery=<full> .*postern:stream:full holds 1 entries/)
  })

  test('ends when a program has ended that it had started, and the MTA has heard of it', async () => {
    const replies = send('slow')
    await vi.waitFor(() => expect(existsSync(join(postern.directory, 'begun'))).toBe(true), 10_000)
    expect(await postern.stop()).toBe(0)
    expect(await replies).toEqual([expect.stringMatching(/^250 2\.0\.0 /)])
    expect(existsSync(join(postern.directory, 'done'))).toBe(true)
    expect(postern.log()).not.toMatch(/ unexpected failure/)
  })

  describe('at work for a client that has gone', () => {
    let pid: number

    beforeEach(async () => {
      if (existsSync(join(postern.directory, 'pid'))) rmSync(join(postern.directory, 'pid'))
      await postern.stop()
      await postern.start()
      if (postern.lmtp.kind !== 'tcp') throw new Error('no port')
      const client = await LmtpClient.greeted({ port: postern.lmtp.port })
      client.send('MAIL FROM:<alice@example.net>', 'RCPT TO:<endless@lists.example.org>', 'DATA')
      await client.replies(3)
      client.write(`${MESSAGE}.\r\n`)
      const pidFile = join(postern.directory, 'pid')
      await vi.waitFor(
        () => expect(existsSync(pidFile) && readFileSync(pidFile, 'utf8')).toMatch(/\n$/),
        10_000,
      )
      pid = Number(readFileSync(pidFile, 'utf8'))
      client.destroy()
    })

    /** Whether the program is there, and is more than a process that nobody has asked for its end. */
    const runs = (): boolean =>
      existsSync(`/proc/${pid}`) && !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))

    test('does not keep the daemon, and takes the program along', async () => {
      const before = Date.now()
      expect(await postern.stop()).toBe(0)
      expect(Date.now() - before).toBeLessThan(30_000)
      expect(postern.log()).toMatch(
        / error: delivery not closed in order; delivery=<endless> cause=<given up with 1 under way, which will come again>/,
      )
      await vi.waitFor(() => expect(runs()).toBe(false), 10_000)
    })

    test('a second signal takes it along as well', async () => {
      const before = postern.log().length
      process.kill(postern.pid(), 'SIGTERM')
      await vi.waitFor(() => expect(postern.log().slice(before)).toContain(' stopping; '), 10_000)
      expect(await postern.stop()).toBe(143)
      await vi.waitFor(() => expect(runs()).toBe(false), 10_000)
    })
  })
})
