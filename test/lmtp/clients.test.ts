/** Real LMTP clients against the sink, with Maildirs behind it: nodemailer, swaks and Postfix's smtp-source. */
import { spawn } from 'node:child_process'
import { readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTransport } from 'nodemailer'
import { afterEach, describe, expect, test } from 'vitest'
import { createMaildirDelivery } from '../../src/delivery/maildir.ts'
import { type Sink, type SinkOptions, startSink } from '../support/lmtp-sink.ts'
import { requirePart } from '../support/parts.ts'

let sink: Sink | undefined
let mail = ''

async function start(options: SinkOptions = {}): Promise<Sink> {
  mail = join(tmpdir(), `postern-clients-${process.pid}-${Math.random().toString(36).slice(2)}`)
  sink = await startSink({
    ...options,
    delivery: createMaildirDelivery({ root: mail, hostname: 'sink.example.org' }),
  })
  return sink
}

afterEach(async () => {
  await sink?.close()
  await rm(mail, { recursive: true, force: true })
})

/** What stands in a list's Maildir. */
async function deliveredTo(list: string): Promise<readonly string[]> {
  const folder = join(mail, 'lists.example.org', list, 'new')
  const names = await readdir(folder).catch(() => [])
  return Promise.all(names.map(name => readFile(join(folder, name), 'utf8')))
}

interface Ran {
  readonly code: number | null
  readonly output: string
}

/** Runs a program to its end. */
function run(program: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    child.stdout.on('data', chunk => {
      output += chunk
    })
    child.stderr.on('data', chunk => {
      output += chunk
    })
    child.once('error', reject)
    child.once('close', code => resolve({ code, output }))
  })
}

describe('nodemailer', () => {
  const transport = ({ port }: Sink) =>
    createTransport({
      lmtp: true,
      host: '127.0.0.1',
      port,
      ignoreTLS: true,
      name: 'nodemailer.example.org',
    } as object)

  test('delivers to some, and hears of the others', async () => {
    const info = await transport(await start()).sendMail({
      envelope: {
        from: 'eve@example.com',
        to: ['open@lists.example.org', 'bob@elsewhere.example', 'team-owner@lists.example.org'],
      },
      raw: 'From: eve@example.com\r\nSubject: x\r\n\r\n.\r\n..two\r\nend\r\n',
    })
    expect(info).toMatchObject({
      accepted: ['open@lists.example.org', 'team-owner@lists.example.org'],
      rejected: ['bob@elsewhere.example'],
      rejectedErrors: [{ responseCode: 451 }],
    })
    const [copy = ''] = await deliveredTo('open')
    expect(copy).toContain('Received: from nodemailer.example.org ([127.0.0.1])\r\n')
    expect(copy.endsWith('From: eve@example.com\r\nSubject: x\r\n\r\n.\r\n..two\r\nend\r\n')).toBe(true)
  })

  test('is refused whole where nobody is left', async () => {
    const sending = transport(await start()).sendMail({
      envelope: { from: 'eve@example.com', to: ['bob@elsewhere.example'] },
      raw: 'Subject: x\r\n\r\n',
    })
    await expect(sending).rejects.toMatchObject({ responseCode: 451 })
  })

  test('sends UTF-8, and a big message with attachments', async () => {
    const info = await transport(await start()).sendMail({
      from: 'Jürgen <jürgen@example.com>',
      to: 'open@lists.example.org',
      subject: 'Grüße',
      text: 'Hallo',
      attachments: [{ filename: 'a.bin', content: Buffer.alloc(1_000_000, 7) }],
    })
    expect(info.accepted).toEqual(['open@lists.example.org'])
    const [copy = ''] = await deliveredTo('open')
    expect(copy.length).toBeGreaterThan(1_300_000)
  })
})

const SWAKS = '/usr/bin/swaks'

describe.skipIf(requirePart('LMTP from swaks', SWAKS) !== undefined)('swaks', () => {
  const swaks = ({ port }: Sink, ...args: readonly string[]): Promise<Ran> =>
    run(SWAKS, [
      '--protocol',
      'LMTP',
      '--server',
      '127.0.0.1',
      '--port',
      String(port),
      '--timeout',
      '10',
      ...args,
    ])

  test('gets a reply for each recipient that differs in case alone', async () => {
    const { code, output } = await swaks(
      await start(),
      ...['--from', 'alice@example.net', '--to', 'team@lists.example.org,TEAM@lists.example.org'],
    )
    expect(output.match(/^<- +250 2\.0\.0 <.*> taken as /gm)?.length).toBe(2)
    expect(code).toBe(0)
    expect((await deliveredTo('team')).length).toBe(2)
  })

  test('pipelining, with one recipient refused', async () => {
    const { output } = await swaks(
      await start(),
      ...['--pipeline', '--from', 'eve@example.com', '--to', 'bob@elsewhere.example,open@lists.example.org'],
    )
    expect(output).toMatch(/<\*\* 451 4\.3\.5 This is no address of a list/)
    expect(output).toMatch(/<- +250 2\.0\.0 <open@lists\.example\.org> taken as /)
    expect(output).toMatch(/<- +221 2\.0\.0 Bye/)
  })

  test('over a unix socket', async () => {
    const started = await start({ listen: 'unix' })
    const { code } = await run(SWAKS, [
      ...['--protocol', 'LMTP', '--socket', join(started.directory, 'lmtp'), '--timeout', '10'],
      ...['--from', 'alice@example.net', '--to', 'team@lists.example.org'],
    ])
    expect(code).toBe(0)
    expect((await deliveredTo('team')).length).toBe(1)
  })

  test('that drops the line in mid-message leaves nothing', async () => {
    const started = await start()
    await swaks(
      started,
      ...['--from', 'alice@example.net', '--to', 'team@lists.example.org', '--drop-after-send', 'DATA'],
    )
    expect(await deliveredTo('team')).toEqual([])
    expect(started.front.counts.messages).toBe(0)
  })
})

const SMTP_SOURCE = '/usr/sbin/smtp-source'

describe.skipIf(requirePart('LMTP from smtp-source', SMTP_SOURCE) !== undefined)('smtp-source', () => {
  test('delivers 200 messages to 3 recipients each over 10 connections', async () => {
    const started = await start({
      state: {
        postern: 1,
        domains: [{ domain: 'lists.example.org' }],
        lists: ['team', '2team', '3team'].map(name => ({
          address: `${name}@lists.example.org`,
          settings: { nonmember_action: 'accept' },
        })),
      },
    })
    const { code, output } = await run(SMTP_SOURCE, [
      ...['-L', '-s', '10', '-m', '200', '-r', '3', '-l', '3000', '-f', 'alice@example.net'],
      ...['-t', 'team@lists.example.org', `inet:127.0.0.1:${started.port}`],
    ])
    expect(output).toBe('')
    expect(code).toBe(0)
    expect(started.front.counts).toMatchObject({ messages: 200, delivered: 600, failed: 0 })
    expect((await deliveredTo('team')).length).toBe(200)
  })
})
