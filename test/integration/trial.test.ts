/** What a newcomer sees who sends to the trial MTA: swaks, and a dialogue piped in as `nc` does it. */
import { execFile } from 'node:child_process'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatEndpoint } from '../../src/app/endpoint.ts'
import { type Postern, startPostern } from '../support/daemon.ts'
import { requirePart } from '../support/parts.ts'
import { SmtpClient } from '../support/smtp-client.ts'
import { copiesIn, heldFor } from './site.ts'

const SUITE = 'swaks and the trial MTA'

describe('the trial MTA in front of the running gate', () => {
  let postern: Postern
  beforeAll(async () => {
    postern = await startPostern({ trial: true })
    await postern.must('domain', 'add', 'lists.example.org')
    await postern.must('list', 'add', 'team@lists.example.org', '--preset', 'members')
    await postern.must('list', 'add', 'talk@lists.example.org', '--preset', 'moderated')
    await postern.must('member', 'add', 'team@lists.example.org', 'alice@example.net')
  })
  afterAll(() => postern?.remove())

  const swaks = (from: string, to: string): Promise<string> =>
    new Promise(resolve => {
      const args = ['--server', formatEndpoint(postern.trial), '--from', from, '--to', to]
      execFile('/usr/bin/swaks', args, (_error, stdout) => resolve(stdout))
    })

  describe.skipIf(requirePart(SUITE, '/usr/bin/swaks') !== undefined)('with swaks', () => {
    test("a stranger gets the list's reply", async () => {
      expect(await swaks('mallory@example.net', 'team@lists.example.org')).toContain(
        '\n<** 550 5.7.2 You are not permitted to post to team@lists.example.org\n',
      )
    })

    test("a member's message is in the maildir", async () => {
      expect(await swaks('alice@example.net', 'team@lists.example.org')).toMatch(
        /\n<- {2}250 2\.0\.0 <team@lists\.example\.org> taken as /,
      )
      const [copy] = copiesIn(postern, 'team')
      expect(copy?.toString()).toMatch(/\(Postern trial MTA\) with ESMTP id .*This is a test mailing/s)
    })
  })

  test('a dialogue that is piped in', async () => {
    const before = copiesIn(postern, 'team').length
    const client = await SmtpClient.open(postern.trial)
    client.send(
      'EHLO me\r\nMAIL FROM:<mallory@example.net>\r\nRCPT TO:<team@lists.example.org>\r\nRSET\r\n' +
        'MAIL FROM:<alice@example.net>\r\nRCPT TO:<team@lists.example.org>\r\nDATA\r\nSubject: hello\r\n\r\nHello.\r\n.\r\nQUIT\r\n',
    )
    client.end()
    const replies: string[] = []
    for (let n = 0; n < 10; n++) replies.push(await client.read())
    expect(replies.map(reply => reply.slice(0, 3))).toEqual(
      '220 250 250 550 250 250 250 354 250 221'.split(' '),
    )
    expect(replies[3]).toBe('550 5.7.2 You are not permitted to post to team@lists.example.org')
    expect(copiesIn(postern, 'team')).toHaveLength(before + 1)
  })

  test('what waits for a moderator says so', async () => {
    const client = await SmtpClient.connect(postern.trial)
    await client.dialogue('EHLO me', 'MAIL FROM:<mallory@example.net>', 'RCPT TO:<talk@lists.example.org>')
    expect(await client.data('Subject: hello\r\n\r\nHello.\r\n')).toMatch(
      /^250 2\.0\.0 <talk@lists\.example\.org> taken as \S+ and waits for a moderator$/,
    )
    await client.quit()
    expect(copiesIn(postern, 'talk')).toEqual([])
    expect(await heldFor(postern, 'talk')).toHaveLength(1)
  })

  test.each([
    [
      'an unknown list',
      'RCPT TO:<nosuch@lists.example.org>',
      '550 5.1.1 There is no list nosuch@lists.example.org',
    ],
  ])('%s', async (_, command, reply) => {
    const client = await SmtpClient.connect(postern.trial)
    await client.dialogue('EHLO me', 'MAIL FROM:<alice@example.net>')
    expect(await client.command(command)).toBe(reply)
    await client.quit()
  })

  test('the null sender may ask and not post', async () => {
    const client = await SmtpClient.connect(postern.trial)
    expect(
      await client.dialogue('EHLO me', 'MAIL FROM:<>', 'RCPT TO:<team@lists.example.org>', 'DATA'),
    ).toEqual([
      expect.stringMatching(/^250-/),
      '250 Accepted',
      '250 Accepted',
      '550 5.7.2 The null sender may not post to a list, and every recipient is one',
    ])
    await client.quit()
  })

  test('a refused MTA is refused at EHLO, a forbidden sender at MAIL', async () => {
    await postern.must('forbid', 'add', '@spam.example')
    await postern.must('mta', 'add', '--refuse', '.bad.example')
    const client = await SmtpClient.connect(postern.trial)
    expect(await client.command('EHLO mx.bad.example')).toBe('550 5.7.1 This host may not send mail here')
    await client.command('EHLO me')
    expect(await client.command('MAIL FROM:<x@spam.example>')).toBe(
      '550 5.7.1 This sender may not post to any list here',
    )
    await client.quit()
  })
})
