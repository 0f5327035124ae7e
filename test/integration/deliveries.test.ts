/**
 * Postfix → Postern with lists that have deliveries of their own: one message for all of them, and each gets its own; one
 * whose delivery is not there waits in Postfix until it is.
 */
import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { DOMAIN, leftOutWithoutPostfix, type Site, showLogsOnFailure, startSite } from './site.ts'

const ANYBODY = { nonmember_action: 'accept' }
const MESSAGE = `From: alice@example.net\r\nTo: lists@${DOMAIN}\r\nSubject: one for all\r\n\r\nHello.\r\n`

describe.skipIf(leftOutWithoutPostfix('lists with deliveries of their own'))('one message', () => {
  let directory: string
  let site: Site
  const pipe = (name: string): string =>
    `[delivery.pipe.${name}]\ncommand = ["/bin/sh", "-c", "cat > '${directory}/${name}.$$'"]\n`
  const piped = (name: string): readonly string[] =>
    readdirSync(directory)
      .filter(file => file.startsWith(`${name}.`))
      .map(file => readFileSync(join(directory, file), 'utf8'))

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'postern-piped-'))
    chmodSync(directory, 0o777)
    site = await startSite({
      store: 'embedded',
      postfix: { snippets: ['main.cf.policy-rcpt', 'main.cf.lmtp'] },
      config: pipe('program'),
      lists: [
        { name: 'own', settings: { ...ANYBODY, delivery: 'maildir' } },
        { name: 'domain', settings: ANYBODY },
        { name: 'dropped', settings: { ...ANYBODY, delivery: 'discard' } },
        { name: 'late', settings: { ...ANYBODY, delivery: 'later' } },
      ],
      document: { domains: [{ domain: DOMAIN, delivery: 'program' }] },
      failuresExpected: true,
    })
  })

  afterAll(async () => {
    await site?.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  showLogsOnFailure(() => site)

  test('goes to each list’s own delivery; where there is none, it waits until there is', async () => {
    const names = ['own', 'domain', 'dropped', 'late']
    const client = await site.outsider()
    const replies = await client.dialogue(
      'MAIL FROM:<alice@example.net>',
      ...names.map(name => `RCPT TO:<${name}@${DOMAIN}>`),
    )
    expect(replies.map(reply => reply.slice(0, 3))).toEqual(['250', '250', '250', '250', '250'])
    expect(await client.data(MESSAGE)).toMatch(/^250 /)

    const deferred = await site.postfix.waitForLog(/to=<late@lists\.example\.org>.* status=deferred/)
    expect(deferred).toMatch(/dsn=4\.3\.0, .* 451 4\.3\.0 Temporary failure/)
    for (const name of names.slice(0, 3)) {
      await site.postfix.waitForLog(new RegExp(`to=<${name}@lists\\.example\\.org>.* status=sent`))
    }
    expect(site.copies('own')).toHaveLength(1)
    expect(piped('program')).toEqual([expect.stringMatching(/^Subject: one for all$/m)])
    for (const name of ['domain', 'dropped', 'late']) expect(site.copies(name)).toEqual([])
    await vi.waitFor(
      () =>
        expect(site.postern.log()).toMatch(
          /error: message not delivered.*list=<late@lists\.example\.org>.*the configuration has no delivery later/,
        ),
      10_000,
    )

    const file = join(site.postern.directory, 'postern.toml')
    writeFileSync(file, readFileSync(file, 'utf8') + pipe('later'))
    process.kill(site.postern.pid(), 'SIGHUP')
    await vi.waitFor(() => expect(site.postern.log()).toContain('configuration reloaded'), 10_000)
    expect(await site.settled()).toEqual([])
    expect(piped('later')).toEqual([expect.stringMatching(/^Subject: one for all$/m)])
    expect([site.copies('own').length, piped('program').length]).toEqual([1, 1])
    expect(existsSync(join(site.postern.maildirRoot, DOMAIN, 'late'))).toBe(false)
  })
})
