/** Delivery to programs that are really started: what they get, what their exit status becomes, and every way to fail. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { parseArgument } from '../../src/app/argument.ts'
import type { Delivery, DeliveryOutcome, Envelope, Message } from '../../src/app/message.ts'
import { NULL_SENDER } from '../../src/core/address.ts'
import { parseIpAddress } from '../../src/core/network.ts'
import { formatReply } from '../../src/core/reply.ts'
import { createPipeDelivery, type PipeSettings } from '../../src/delivery/pipe.ts'
import { EXIT_MEANINGS } from '../../src/delivery/pipe-exit.ts'
import { address, must } from '../support/vectors.ts'
import { ENVELOPE, message, to } from './mail.ts'

const TEAM = 'team@lists.example.org'
const TEXT = 'Subject: x\r\n\r\nHello.\r\n'

let root = ''
let filesOpen = 0

/** The files that this process holds open, sockets and pipes among them. */
function openFiles(): number {
  return readdirSync('/proc/self/fd').length
}

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-pipe-'))
  filesOpen = openFiles()
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
  // Handles that were let go of are closed a moment later.
  await vi.waitFor(() => expect(openFiles()).toBeLessThanOrEqual(filesOpen))
})

/** Writes a program of the test's own, whose working directory is the test's. */
async function program(lines: string, interpreter = '/bin/sh'): Promise<string> {
  const path = join(root, 'program')
  await writeFile(path, `#!${interpreter}\n${lines}\n`)
  await chmod(path, 0o755)
  return path
}

interface Options extends Partial<Omit<PipeSettings, 'args'>> {
  readonly program: string
  readonly args?: readonly string[]
}

function pipe({ args = [], ...settings }: Options): Delivery {
  return createPipeDelivery({
    name: 'program',
    args: args.map(text => must(parseArgument(text))),
    directory: root,
    environment: {},
    lineEnds: 'lf',
    traceFields: false,
    timeoutMs: 10_000,
    graceMs: 1000,
    maxProcesses: 10,
    hostname: 'sink.example.org',
    ...settings,
  })
}

async function outcomeOf(
  delivery: Delivery,
  sent: Message = message(TEXT),
): Promise<DeliveryOutcome | undefined> {
  return (await delivery.deliver(ENVELOPE, sent, [to(TEAM)]))[0]
}

function read(name: string): string {
  return readFileSync(join(root, name), 'latin1')
}

/** Whether a process whose id a program has written to a file is there, and no mere entry that nobody asks about. */
function runs(pidFile: string): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${read(pidFile).trim()}/stat`, 'latin1'))
  } catch {
    return false
  }
}

describe('a program gets', () => {
  test('the message with LF, and the fields of final delivery where they are wanted', async () => {
    const cat = await program('cat >content')
    expect(await outcomeOf(pipe({ program: cat }))).toEqual({ kind: 'delivered' })
    expect(read('content')).toBe('Subject: x\n\nHello.\n')
    await outcomeOf(pipe({ program: cat, traceFields: true }))
    expect(read('content')).toBe(
      'Return-Path: <alice@example.net>\nDelivered-To: team@lists.example.org\n' +
        'Received: from mx.example.org ([192.0.2.1])\n\tby sink.example.org (Postern) with LMTP id ID1\n' +
        '\tfor <team@lists.example.org>; Fri, 2 Jan 2026 03:04:05 +0000\n' +
        'Subject: x\n\nHello.\n',
    )
  })

  test('every octet as it came, if CR LF is wanted', async () => {
    const octets = Buffer.from(Array.from({ length: 3_000_001 }, (_, index) => (index * 7919) % 256))
    const delivery = pipe({ program: await program('cat >content'), lineEnds: 'crlf' })
    expect(await outcomeOf(delivery, message(octets))).toEqual({ kind: 'delivered' })
    expect(readFileSync(join(root, 'content')).equals(octets)).toBe(true)
  })

  test('its arguments as they are, in its directory', async () => {
    const show = await program('for each; do echo "<$each>"; done >arguments; pwd >>arguments')
    const args = [
      'a b',
      '$HOME;`id`',
      '*',
      '/spool/{list_domain}/{list_local}',
      '-f{sender}',
      '{recipient}',
      '{service}',
    ]
    await pipe({ program: show, args }).deliver(ENVELOPE, message(TEXT), [to('Team@lists.example.org')])
    expect(read('arguments').split('\n')).toEqual([
      '<a b>',
      '<$HOME;`id`>',
      '<*>',
      '</spool/lists.example.org/team>',
      '<-falice@example.net>',
      '<Team@lists.example.org>',
      '<>',
      root,
      '',
    ])
  })

  test('an environment that holds nothing of ours', async () => {
    const show = await program('cat /proc/$$/environ >environment')
    const envelope: Envelope = {
      ...ENVELOPE,
      client: {
        ip: must(parseIpAddress('192.0.2.7')),
        name: 'a\nb.example.net',
        helo: 'helo',
        user: 'alice',
      },
    }
    process.env['POSTERN_REDIS_URL'] = 'redis://:secret@127.0.0.1'
    try {
      await pipe({ program: show, environment: { HOME: '/nowhere', LIST: 'never' } }).deliver(
        envelope,
        message(TEXT),
        [to('Team+confsub-Abc@lists.example.org', { list: address(TEAM).key, service: 'confsub' })],
      )
    } finally {
      delete process.env['POSTERN_REDIS_URL']
    }
    expect(read('environment').split('\0').sort()).toEqual([
      '',
      'CLIENT_ADDRESS=192.0.2.7',
      'CLIENT_HELO=helo',
      'CLIENT_HOSTNAME=a?b.example.net',
      'DOMAIN=lists.example.org',
      'EXTENSION=confsub-Abc',
      'HOME=/nowhere',
      'LIST=team@lists.example.org',
      'LOCAL=Team+confsub-Abc',
      'MESSAGE_ID=ID1',
      'PATH=/usr/local/bin:/usr/bin:/bin',
      'RECIPIENT=Team+confsub-Abc@lists.example.org',
      'SASL_USERNAME=alice',
      'SENDER=alice@example.net',
      'SERVICE=confsub',
    ])
  })

  test('a null sender, and one that is no address, as a sender that is empty or clean', async () => {
    const show = await program('printf "%s|%s\\n" "$SENDER" "$1" >>senders')
    const delivery = pipe({ program: show, args: ['{sender}'] })
    await delivery.deliver({ ...ENVELOPE, sender: NULL_SENDER }, message(TEXT), [to(TEAM)])
    const malformed = { kind: 'malformed-sender', text: 'a\0b\n\x1b' } as const
    await delivery.deliver({ ...ENVELOPE, sender: malformed }, message(TEXT), [to(TEAM)])
    expect(read('senders')).toBe('|\na?b??|a?b??\n')
  })

  test('a run for each recipient, and two for the same one', async () => {
    const delivery = pipe({ program: await program('cat >/dev/null; echo "$RECIPIENT" >>recipients') })
    const recipients = [to(TEAM), to(TEAM), to('open@lists.example.org')]
    expect(await delivery.deliver(ENVELOPE, message(TEXT), recipients)).toEqual(
      recipients.map(() => ({ kind: 'delivered' })),
    )
    expect(read('recipients').trim().split('\n').sort()).toEqual(['open@lists.example.org', TEAM, TEAM])
  })
})

describe('what a sender or a list is called', () => {
  test('cannot become an option', async () => {
    const delivery = pipe({ program: await program('touch started'), args: ['{sender}'] })
    const sender = address('-oQ/tmp@example.net')
    const [outcome] = await delivery.deliver({ ...ENVELOPE, sender }, message(TEXT), [to(TEAM)])
    expect(outcome).toMatchObject({
      kind: 'failed',
      cause: { message: expect.stringMatching(/argument 1: \{sender\} begins with - /) },
    })
    expect(existsSync(join(root, 'started'))).toBe(false)
  })

  test.each([
    ['"../../etc"@lists.example.org', '/spool/%2E.%2F..%2Fetc'],
    ['".."@lists.example.org', '/spool/%2E.'],
    ['"a/b c"@lists.example.org', '/spool/a%2Fb%20c'],
    ["o'brien@lists.example.org", '/spool/o%27brien'],
  ])('%s stays one name in a path', async (list, want) => {
    const delivery = pipe({
      program: await program('printf %s "$1" >argument'),
      args: ['/spool/{list_local}'],
    })
    await delivery.deliver(ENVELOPE, message(TEXT), [to(list)])
    expect(read('argument')).toBe(want)
  })
})

describe('exit status', () => {
  const said = '\n  \x1b[1mNot\tfor you\x07\nsecond line'

  test.each([
    [64, '451 4.3.5 The delivery program was called wrongly; try again later'],
    [65, '554 5.6.0 [1mNot for you'],
    [66, '451 4.3.0 The delivery program lacks a file; try again later'],
    [67, '550 5.1.1 [1mNot for you'],
    [68, '550 5.1.2 [1mNot for you'],
    [69, '554 5.3.0 [1mNot for you'],
    [70, '451 4.3.0 The delivery program has failed; try again later'],
    [71, '451 4.3.0 The system has failed; try again later'],
    [72, '451 4.3.0 The system lacks a file; try again later'],
    [73, '451 4.2.0 The message could not be written; try again later'],
    [74, '451 4.3.0 Reading or writing failed; try again later'],
    [75, '451 4.3.0 Temporary failure; try again later'],
    [76, '554 5.5.0 [1mNot for you'],
    [77, '550 5.7.1 [1mNot for you'],
    [78, '451 4.3.5 The delivery program is not set up; try again later'],
  ])('%i is %s', async (status, want) => {
    const delivery = pipe({
      program: await program(`cat >/dev/null; printf '%b' "$1" >&2; exit ${status}`),
      args: [said.replaceAll('\x1b', '\\033').replaceAll('\x07', '\\a').replaceAll('\n', '\\n')],
    })
    const outcome = await outcomeOf(delivery)
    expect(outcome?.kind === 'refused' && formatReply(outcome.reply)).toBe(want)
    expect(outcome).toMatchObject({
      cause: {
        code: 'POSTERN_PIPE',
        message: `${join(root, 'program')} ended with ${EXIT_MEANINGS[status]?.name}: [1mNot for you | second line`,
      },
    })
  })

  test('every one of sysexits has a meaning', () => {
    expect(Object.keys(EXIT_MEANINGS).map(Number)).toEqual(
      Array.from({ length: 15 }, (_, index) => 64 + index),
    )
  })

  test.each([
    [67, '', '550 5.1.1 There is no such recipient'],
    [69, '5.7.1 Members only', '554 5.7.1 Members only'],
    [69, '4.2.2 Mailbox full', '451 4.2.2 Mailbox full'],
    [69, '2.0.0 Fine', '554 5.3.0 2.0.0 Fine'],
    [69, '5.7.1', '554 5.3.0 5.7.1'],
    [69, 'Ü', '554 5.3.0 \\x{DC}'],
    [75, '5.7.1 Members only', '451 4.3.0 Temporary failure; try again later'],
  ])('%i with %j is %s', async (status, said, want) => {
    const outcome = await outcomeOf(pipe({ program: await program(`echo '${said}'; exit ${status}`) }))
    expect(outcome?.kind === 'refused' && formatReply(outcome.reply)).toBe(want)
  })

  test.each([1, 2, 63, 79, 126, 127, 255])('%i, outside of sysexits, is temporary', async status => {
    const outcome = await outcomeOf(pipe({ program: await program(`echo 5.7.1 no; exit ${status}`) }))
    expect(outcome).toMatchObject({
      kind: 'failed',
      cause: {
        message: `${join(root, 'program')} ended with ${status}, which sysexits(3) does not have: 5.7.1 no`,
      },
    })
  })
})

describe('a program that', () => {
  const failsWith = (message: RegExp, cause?: unknown) => ({
    kind: 'failed',
    cause: {
      code: 'POSTERN_PIPE',
      message: expect.stringMatching(message),
      ...(cause !== undefined && { cause }),
    },
  })

  test('is missing', async () => {
    expect(await outcomeOf(pipe({ program: '/nowhere/program' }))).toMatchObject(
      failsWith(/^\/nowhere\/program could not be started$/, { code: 'ENOENT' }),
    )
  })

  test('has no directory to run in', async () => {
    const delivery = pipe({ program: await program('exit 0'), directory: join(root, 'nowhere') })
    expect(await outcomeOf(delivery)).toMatchObject(
      failsWith(/could not be started: there is no directory .*nowhere$/, { code: 'ENOENT' }),
    )
  })

  test('is not executable', async () => {
    const path = await program('exit 0')
    await chmod(path, 0o644)
    expect(await outcomeOf(pipe({ program: path }))).toMatchObject(
      failsWith(/could not be started$/, { code: 'EACCES' }),
    )
  })

  test('is a directory', async () => {
    expect(await outcomeOf(pipe({ program: root }))).toMatchObject(
      failsWith(/could not be started$/, { code: 'EACCES' }),
    )
  })

  test('has more arguments than a program may have', async () => {
    const delivery = pipe({ program: await program('exit 0'), args: ['x'.repeat(4_000_000)] })
    expect(await outcomeOf(delivery)).toMatchObject(failsWith(/could not be started$/, { code: 'E2BIG' }))
  })

  test('hangs, with a child, is ended with it', async () => {
    const hangs = await program('sleep 1000 & echo $! >child; echo at it; echo $$ >self; wait')
    const outcome = await outcomeOf(pipe({ program: hangs, timeoutMs: 1500 }))
    expect(outcome).toMatchObject(failsWith(/did not end in 1\.5 s, and said: at it$/))
    await vi.waitFor(() => expect([runs('self'), runs('child')]).toEqual([false, false]))
  })

  test('hangs and does not hear SIGTERM is killed', async () => {
    const deaf = await program(
      "trap '' TERM; (trap '' TERM; sleep 1000) & echo $! >child; echo $$ >self; while :; do sleep 1000; done",
    )
    const begun = performance.now()
    const outcome = await outcomeOf(pipe({ program: deaf, timeoutMs: 1500, graceMs: 2000 }))
    expect(performance.now() - begun).toBeLessThan(5300)
    expect(outcome).toMatchObject(failsWith(/did not end in 1\.5 s$/))
    await vi.waitFor(() => expect([runs('self'), runs('child')]).toEqual([false, false]))
  })

  test('ends in good order when it is told to, has taken the message', async () => {
    const slow = await program(
      "trap 'echo done >taken; exit 0' TERM; cat >/dev/null; while :; do sleep 0.05; done",
    )
    expect(await outcomeOf(pipe({ program: slow, timeoutMs: 1500 }))).toEqual({ kind: 'delivered' })
    expect(read('taken')).toBe('done\n')
  })

  test('floods its output is never held up, and its last line is kept', async () => {
    const flood = 'cat >/dev/null; head -c 20000000 /dev/zero | tr "\\0" x; echo; echo flooded; exit'
    expect(await outcomeOf(pipe({ program: await program(`${flood} 0`) }))).toEqual({ kind: 'delivered' })
    const outcome = await outcomeOf(pipe({ program: await program(`${flood} 67`) }))
    expect(outcome).toMatchObject({
      kind: 'refused',
      cause: { message: expect.stringMatching(/ended with EX_NOUSER: … x+ \| flooded$/) },
    })
    expect(outcome?.kind === 'refused' && formatReply(outcome.reply).length).toBeLessThanOrEqual(510)
    expect(outcome?.kind === 'refused' && (outcome.cause as Error).message.length).toBeLessThan(5300)
  })

  test('is killed by somebody else', async () => {
    expect(await outcomeOf(pipe({ program: await program('echo oh; kill -SEGV $$') }))).toMatchObject(
      failsWith(/was ended by SIGSEGV, and said: oh$/),
    )
  })

  test('leaves a child that keeps its output open is not waited for', async () => {
    const leaves = await program('cat >/dev/null; sleep 1000 & echo $! >child; exit 0')
    const begun = performance.now()
    expect(await outcomeOf(pipe({ program: leaves }))).toEqual({ kind: 'delivered' })
    expect(performance.now() - begun).toBeLessThan(5000)
    // A program that says that it has taken the message may go on with it by itself.
    expect(runs('child')).toBe(true)
    await vi.waitFor(() => expect(openFiles()).toBeLessThanOrEqual(filesOpen))
    process.kill(Number(read('child')), 'SIGKILL')
  })

  test('fails, and leaves a child, takes it along', async () => {
    const leaves = await program('sleep 1000 & echo $! >child; echo no; exit 1')
    expect(await outcomeOf(pipe({ program: leaves }))).toMatchObject(failsWith(/: no$/))
    await vi.waitFor(() => expect(runs('child')).toBe(false))
  })

  test('fails, and leaves a child that has gone its own way with the output, is not waited for', async () => {
    const leaves = await program(
      'setsid sh -c "echo \\$\\$ >child; exec sleep 1000" & while [ ! -s child ]; do sleep 0.01; done; echo no; exit 1',
    )
    const begun = performance.now()
    expect(await outcomeOf(pipe({ program: leaves }))).toMatchObject(failsWith(/: no$/))
    expect(performance.now() - begun).toBeLessThan(5000)
    await vi.waitFor(() => expect(openFiles()).toBeLessThanOrEqual(filesOpen))
    process.kill(Number(read('child')), 'SIGKILL')
  })

  test.each([
    ['closes its input at once', 'exec <&-; sleep 0.2; exit'],
    ['reads nothing', 'exit'],
    ['reads some of it', 'head -c 100 >/dev/null; exit'],
  ])('%s: its status decides', async (_, lines) => {
    const big = message(Buffer.alloc(10_000_000, 'x\r\n'))
    expect(await outcomeOf(pipe({ program: await program(`${lines} 0`) }), big)).toEqual({
      kind: 'delivered',
    })
    const refused = await outcomeOf(pipe({ program: await program(`${lines} 77`) }), big)
    expect(refused?.kind === 'refused' && refused.reply.code).toBe(550)
    expect(await outcomeOf(pipe({ program: await program(`${lines} 1`) }), big)).toMatchObject({
      kind: 'failed',
    })
  })

  test('does not read holds the message back', async () => {
    let pulled = 0
    const sent: Message = {
      size: 100_000_000,
      async *read() {
        for (; pulled < 1000; pulled++) yield Buffer.alloc(100_000)
      },
    }
    const outcome = await outcomeOf(pipe({ program: await program('exec sleep 1000'), timeoutMs: 500 }), sent)
    expect(outcome).toMatchObject(failsWith(/did not end/))
    expect(pulled).toBeLessThan(20)
  })

  test('gets only a part of a message that cannot be read further is ended before it can take the part', async () => {
    const broken: Message = {
      size: 100,
      async *read() {
        yield Buffer.from('Subject: x\r\n')
        throw new Error('the spool is gone')
      },
    }
    const outcome = await outcomeOf(pipe({ program: await program('cat >/dev/null; touch taken') }), broken)
    expect(outcome).toMatchObject(
      failsWith(/the message could not be read$/, { message: 'the spool is gone' }),
    )
    expect(existsSync(join(root, 'taken'))).toBe(false)
  })
})

describe('many copies', () => {
  test('have so many processes at a time and no more', async () => {
    const counts = await program(
      'cat >/dev/null; mkdir running.$$; while [ ! -e met ] && [ $(ls -d running.* | wc -l) -lt 3 ]; do sleep 0.01; done; touch met; ls -d running.* | wc -l >>counts; rmdir running.$$',
    )
    const delivery = pipe({ program: counts, maxProcesses: 3 })
    const outcomes = await delivery.deliver(
      ENVELOPE,
      message(TEXT),
      Array.from({ length: 12 }, () => to(TEAM)),
    )
    expect(outcomes).toEqual(Array.from({ length: 12 }, () => ({ kind: 'delivered' })))
    const running = read('counts').trim().split('\n').map(Number)
    expect(running).toHaveLength(12)
    expect(Math.max(...running)).toBe(3)
  })

  test('that do not get their turn in time are deferred', async () => {
    const delivery = pipe({ program: await program('exec sleep 1000'), maxProcesses: 1, timeoutMs: 300 })
    const outcomes = await delivery.deliver(ENVELOPE, message(TEXT), [to(TEAM), to(TEAM), to(TEAM)])
    expect(outcomes.map(outcome => outcome.kind === 'failed' && (outcome.cause as Error).message)).toEqual([
      expect.stringMatching(/did not end in 0\.3 s$/),
      expect.stringMatching(/all 1 processes were busy for 0\.3 s$/),
      expect.stringMatching(/all 1 processes were busy for 0\.3 s$/),
    ])
  })

  test('under way are finished before the delivery is let go of', async () => {
    const delivery = pipe({ program: await program('cat >/dev/null; sleep 0.3; touch done') })
    const outcome = outcomeOf(delivery)
    await delivery.close?.()
    expect(existsSync(join(root, 'done'))).toBe(true)
    expect(await outcome).toEqual({ kind: 'delivered' })
  })
})
