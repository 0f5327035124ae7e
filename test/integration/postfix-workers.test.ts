/**
 * Two workers behind a Postfix that asks the milter and the policy server and hands over by LMTP: a worker is killed in
 * the midst of it, and the configuration read again; nothing is lost, doubled or bounced, and all that is refused is refused.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { leftOutWithoutPostfix, type Site, showLogsOnFailure, startSite } from './site.ts'

const SUITE = 'Postfix with two workers'

/** The process ids of the workers. */
function workersOf(site: Site): number[] {
  const pid = site.postern.pid()
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number)
  return children.filter(child => readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('/daemon/worker.'))
}

describe.skipIf(leftOutWithoutPostfix(SUITE)).each([
  { sockets: 'unix', milter: undefined, snippet: 'main.cf.policy-rcpt' },
  { sockets: 'tcp', milter: 'native', snippet: 'main.cf.milter' },
] as const)('two workers, $snippet by $sockets', ({ sockets, milter, snippet }) => {
  let site: Site
  beforeAll(async () => {
    site = await startSite({
      store: 'embedded',
      sockets,
      ...(milter !== undefined && { milter }),
      config: '[serve]\nworkers = 2\n',
      postfix: { snippets: [snippet, 'main.cf.lmtp'], mainCf: 'enable_long_queue_ids = yes\n' },
      lists: [{ name: 'load', settings: { nonmember_action: 'reject' }, members: ['alice@example.net'] }],
      failuresExpected: true,
    })
  })
  afterAll(() => site?.stop())
  showLogsOnFailure(() => site)

  test('a worker killed, and a reload, under load', async () => {
    /** The messages that Postfix took upon itself, by the name that it gave them. */
    const taken = (): Set<string> => {
      const lines = site.postfix
        .log()
        .matchAll(/qmgr\[\d+\]: (\w+): from=<alice@example\.net>, .*queue active/g)
      return new Set([...lines].map(([, id]) => id ?? ''))
    }
    const moreTaken = async (more: number): Promise<void> => {
      const goal = taken().size + more
      await vi.waitUntil(() => taken().size >= goal, { timeout: 40_000, interval: 50 })
    }
    let over = false
    const load = (async (): Promise<void> => {
      while (!over) {
        await promisify(execFile)('smtp-source', [
          ...['-A', '-s', '10', '-m', '50', '-l', '500'],
          ...['-f', 'alice@example.net', '-t', 'load@lists.example.org'],
          `127.0.0.1:${site.postfix.endpoint.port}`,
        ])
      }
    })()
    try {
      await moreTaken(20)
      const [victim = 0, other] = workersOf(site)
      process.kill(victim, 'SIGKILL')
      await vi.waitUntil(() => /worker serves; worker=/.test(site.postern.log()), { timeout: 40_000 })
      expect(workersOf(site)).toHaveLength(2)
      expect(workersOf(site)).toContain(other)
      await moreTaken(20)
      process.kill(site.postern.pid(), 'SIGHUP')
      await vi.waitUntil(() => /configuration reloaded/.test(site.postern.log()), { timeout: 40_000 })
      await moreTaken(20)
    } finally {
      over = true
      await load
    }
    const client = await site.outsider()
    const [, refused] = await client.dialogue(
      'MAIL FROM:<eve@example.com>',
      'RCPT TO:<load@lists.example.org>',
    )
    expect(refused).toContain('You are not permitted to post to load@lists.example.org')
    await site.postfix.waitForEmptyQueue()
    const names = site
      .copies('load')
      .map(copy => / \(Postfix\) with E?SMTP id (\w+)/.exec(copy.toString())?.[1])
    // What a worker had stored but not confirmed when it was killed comes again: never lost, and doubled in that case alone.
    expect(new Set(names)).toEqual(taken())
    expect(names.length - taken().size).toBeLessThanOrEqual(10)
    expect(site.postfix.log()).not.toMatch(/status=bounced/)
  }, 120_000)
})
