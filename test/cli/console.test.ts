/** What transcripts cannot show: terminals, progress, readers who go away, stores that are away, and bugs. */
import { EventEmitter } from 'node:events'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Store, StoreUnavailable } from '../../src/app/ports.ts'
import { linesOf } from '../../src/cli/lines-of-input.ts'
import { Output, OutputClosed, OutputFailed, type Stream } from '../../src/cli/output.ts'
import { reportFailure } from '../../src/cli/report-failure.ts'
import { problem } from '../../src/core/parsed.ts'
import type { ListAddress } from '../../src/core/transaction.ts'
import type { Who } from '../../src/core/who.ts'
import { anyDocument } from '../app/documents.ts'
import { Console, type ConsoleOptions, KeptStream } from './console.ts'

async function withTeam(options: ConsoleOptions = {}): Promise<Console> {
  const console = new Console(options)
  await console.must('domain', 'add', 'a.example')
  await console.must('list', 'add', 'team@a.example')
  return console
}

const ASK = ['ask', '--sender', 'eve@example.com', '--list', 'team@a.example'] as const

describe('terminals', () => {
  test('a verdict has its colour', async () => {
    const { stdout } = await (await withTeam({ terminal: true })).run(ASK)
    expect(stdout).toContain('\u001b[31mreject\u001b[39m')
  })

  test('no terminal, no colour', async () => {
    const { stdout, stderr } = await (await withTeam()).run(ASK)
    expect(stdout + stderr).not.toContain('\u001b')
  })

  test('a terminal that wants none gets none', () => {
    const stream = new KeptStream({ terminal: true })
    stream.hasColors = () => false
    expect(new Output(stream).styled('red', 'x')).toBe('x')
  })
})

describe('progress', () => {
  const people = Array.from({ length: 5_000 }, (_, i) => ({ who: `p${i}@b.example`, roles: ['member'] }))
  const document = JSON.stringify({ postern: 1, lists: [{ address: 'team@a.example', people }] })

  test('on a terminal, a line every second', async () => {
    let now = 0
    const clock = (): number => {
      now += 500
      return now
    }
    const { stderr, stdout } = await (await withTeam({ terminal: true, clock })).run(
      ['import', '-'],
      document,
    )
    expect(
      stderr
        .replaceAll(/\u001b\[\d+m/g, '')
        .split('\n')
        .slice(0, -1),
    ).toEqual(['team@a.example: 2000 people read …', 'team@a.example: 4000 people read …'])
    expect(stdout).toMatch(/^team@a\.example: list replaced; people: 5000 added/)
  })

  test('elsewhere, a line a list', async () => {
    const { stderr, stdout } = await (await withTeam()).run(['import', '-'], document)
    expect({ stderr, lines: stdout.split('\n').length }).toEqual({ stderr: '', lines: 2 })
  })
})

describe('the store away', () => {
  const away = async (): Promise<never> => {
    throw new StoreUnavailable('redis at 127.0.0.1:1: refused', { cause: new Error('connect ECONNREFUSED') })
  }

  test('commands say so, and why', async () => {
    const finished = await new Console({ openStore: away }).run(['domain', 'ls'])
    expect(finished).toEqual({
      status: 69,
      stdout: '',
      stderr: [
        'postern: the store cannot be reached',
        '  redis at 127.0.0.1:1: refused',
        '  connect ECONNREFUSED',
        '  next: postern check-config shows which store is configured',
        '',
      ].join('\n'),
    })
  })

  test('ask gives the answer that an MTA would get', async () => {
    const { status, stdout, stderr } = await new Console({ openStore: away }).run([...ASK, '--json'])
    expect(status).toBe(75)
    expect(JSON.parse(stdout)).toMatchObject({
      verdict: 'defer',
      reason: 'store-unavailable',
      reply: { code: 451 },
    })
    expect(stderr).toBe('warning: the store cannot be reached: redis at 127.0.0.1:1: refused\n')
  })
})

describe('records that cannot be understood', () => {
  const damaged = async (): Promise<Console> => {
    const { store } = await withTeam()
    const address = 'team@a.example' as ListAddress
    const settings = problem('state: expected one of active, paused, closed, not "x"')
    const who = 'Hand@b.example' as Who
    const parts: Partial<Store> = {
      getList: async () => ({ address, settings }),
      lists: async function* () {
        yield { address, settings }
      },
      people: async function* () {
        yield { who, person: problem('never found as it is written') }
      },
    }
    const proxy = new Proxy(store, {
      get: (target, name) => {
        const part: unknown = Reflect.get(parts, name) ?? Reflect.get(target, name)
        return typeof part === 'function' ? part.bind(target) : part
      },
    })
    return new Console({ store: proxy })
  }

  test('are listed as what they are', async () => {
    const console = await damaged()
    expect(await console.must('list', 'ls')).toMatch(/^team@a\.example\tunreadable\tstate: expected/)
    expect(JSON.parse(await console.must('list', 'ls', '--json'))).toMatchObject([
      { problem: expect.stringMatching(/^state/) },
    ])
    expect(await console.must('member', 'ls', 'team@a.example')).toBe(
      '"Hand@b.example"\tunreadable: never found as it is written\n',
    )
    expect(JSON.parse(await console.must('member', 'ls', 'team@a.example', '--json'))).toEqual([
      { who: 'Hand@b.example', problem: 'never found as it is written' },
    ])
  })

  test.each([
    [['list', 'show', 'team@a.example']],
    [['list', 'set', 'team@a.example', 'state=active']],
    [['export']],
  ])('%j ends with 65', async args => {
    const { status, stderr } = await (await damaged()).run(args)
    expect(status).toBe(65)
    expect(stderr).toContain('state: expected one of active, paused, closed, not "x"')
    expect(stderr).toContain('  next: ')
  })
})

describe('ask', () => {
  test('judges rates by the posts that were made, and counts none of its own', async () => {
    const console = await withTeam()
    await console.must('list', 'set', 'team@a.example', 'rate=2/1h', 'nonmember_action=accept')
    const post = (message: string) =>
      console.store.countPost({
        list: 'team@a.example' as ListAddress,
        sender: 'eve@example.com' as Who,
        message,
        posts: 2,
        seconds: 3600,
      })
    await post('one')
    for (let i = 0; i < 3; i++) expect(await console.run(ASK)).toMatchObject({ status: 0 })
    await post('two')
    expect(await console.run(ASK)).toMatchObject({
      status: 75,
      stdout: expect.stringContaining('reply    450 4.7.1'),
    })
  })
})

describe('import', () => {
  test('of any JSON, and of a document with any JSON in it, ends with 0 or 65', async () => {
    const documents = fc.oneof(
      fc.json(),
      fc.jsonValue().map(value => JSON.stringify({ postern: 1, lists: value })),
      fc
        .jsonValue()
        .map(value => JSON.stringify({ postern: 1, domains: [{ domain: 'a.example' }], bans: value })),
      anyDocument.map(document => JSON.stringify(document)),
      fc.tuple(anyDocument, fc.nat(), fc.string({ maxLength: 3 })).map(([document, at, noise]) => {
        const text = JSON.stringify(document)
        return text.slice(0, at % text.length) + noise + text.slice((at % text.length) + noise.length)
      }),
    )
    await fc.assert(
      fc.asyncProperty(documents, async document => {
        const { status, stderr } = await new Console().run(['import', '-'], document)
        expect([0, 65]).toContain(status)
        expect(stderr.startsWith('postern: standard input, line ')).toBe(status === 65)
      }),
      { numRuns: 300 },
    )
  })
})

describe('failures', () => {
  const told = async (error: unknown) => {
    const stderr = new KeptStream()
    const status = await reportFailure(error, { stderr: new Output(stderr) })
    return { status, text: stderr.text }
  }
  const coded = (code: string) => Object.assign(new Error('what it says'), { code })

  test.each([
    ['POSTERN_STORE_UNAVAILABLE', 69],
    ['POSTERN_STORE_SCHEMA', 78],
    ['POSTERN_STORE_UNUSABLE', 78],
    ['POSTERN_STORED_DATA', 65],
    ['POSTERN_STAGING_LOST', 75],
    ['POSTERN_EXPORT_UNREADABLE', 65],
    ['POSTERN_IMPORT_INTERRUPTED', 130],
    ['POSTERN_OUTPUT_FAILED', 74],
    ['EACCES', 77],
    ['EPERM', 77],
    ['EIO', 74],
    ['ENOSPC', 74],
  ])('%s ends with %i', async (code, status) => {
    const finished = await told(coded(code))
    expect(finished.status).toBe(status)
    expect(finished.text).toMatch(/^postern: /)
    expect(finished.text).toContain('what it says')
    expect(finished.text).not.toContain(' at ')
  })

  test('a bug is called one, with where it is', async () => {
    const { status, text } = await told(new TypeError('x is not a function'))
    expect(status).toBe(70)
    expect(text).toMatch(/^postern: this is a bug in Postern/)
    expect(text).toContain('TypeError: x is not a function\n')
    expect(text).toContain('console.test.ts')
  })

  test('something else that was thrown', async () => {
    expect(await told('text')).toEqual({
      status: 70,
      text: 'postern: this is a bug in Postern; please report it with these lines\n  text\n',
    })
  })

  test('a reader who has gone is no failure', async () => {
    expect(await told(new OutputClosed('gone'))).toEqual({ status: 0, text: '' })
  })

  test('a chain of causes that ends nowhere', async () => {
    const error: Error & { code?: string } = coded('EIO')
    error.cause = error
    expect((await told(error)).text.split('\n').length).toBeLessThan(10)
  })
})

/** A stream that takes nothing until it is drained. */
class SlowStream extends EventEmitter implements Stream {
  text = ''
  write(text: string): boolean {
    this.text += text
    return false
  }
}

describe('output', () => {
  const failing = (code: string) => Object.assign(new Error(`write ${code}`), { code })

  test('waits for a stream that is full', async () => {
    const stream = new SlowStream()
    let written = false
    const writing = new Output(stream).line('x').then(() => {
      written = true
    })
    await Promise.resolve()
    expect({ written, text: stream.text }).toEqual({ written: false, text: 'x\n' })
    stream.emit('drain')
    await writing
    expect(written).toBe(true)
  })

  test.each([
    ['EPIPE', OutputClosed],
    ['ENOSPC', OutputFailed],
  ] as const)('%s while it waits', async (code, kind) => {
    const stream = new SlowStream()
    const writing = new Output(stream).line('x')
    stream.emit('error', failing(code))
    await expect(writing).rejects.toThrow(kind)
  })

  test('an error before is met at the next line', async () => {
    const stream = new SlowStream()
    const output = new Output(stream)
    stream.emit('error', failing('EPIPE'))
    await expect(output.line('x')).rejects.toThrow(OutputClosed)
    expect(stream.text).toBe('')
  })

  test('talk that nobody can hear stops nothing', async () => {
    const stream = new SlowStream()
    const output = new Output(stream, { mayFail: true })
    const writing = output.line('x')
    stream.emit('error', failing('EPIPE'))
    await writing
    await output.line('y')
    expect(stream.text).toBe('x\n')
  })

  test('many lines are written together', async () => {
    const stream = new KeptStream()
    let writes = 0
    const write = stream.write.bind(stream)
    stream.write = text => {
      writes++
      return write(text)
    }
    const output = new Output(stream)
    for (let i = 0; i < 10_000; i++) await output.add('0123456789\n')
    await output.flush()
    expect(stream.text).toHaveLength(110_000)
    expect(writes).toBeLessThan(10)
  })
})

describe('lines of input', () => {
  async function* chunks(...parts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
    for (const part of parts) yield typeof part === 'string' ? new TextEncoder().encode(part) : part
  }
  const lines = async (...parts: readonly (string | Uint8Array)[]) => {
    const found: string[] = []
    for await (const { text, number } of linesOf(chunks(...parts))) found.push(`${number} ${text}`)
    return found
  }

  test.each([
    [['a\nb\n'], ['1 a', '2 b']],
    [['a\r\nb'], ['1 a', '2 b']],
    [
      ['a', 'b\n\n', 'c'],
      ['1 ab', '2 ', '3 c'],
    ],
    [[''], []],
    [[new Uint8Array([0xc3]), new Uint8Array([0xa4])], ['1 ä']],
  ])('%j', async (parts, want) => {
    expect(await lines(...parts)).toEqual(want)
  })

  test.each([
    ['no UTF-8', ['a\nb', new Uint8Array([0xff, 0x0a])]],
    ['a cut character', ['a\n', new Uint8Array([0xc3])]],
    ['a line without end', ['x'.repeat(10_000)]],
  ])('%s', async (_, parts) => {
    await expect(lines(...parts)).rejects.toMatchObject({ status: 65 })
  })
})

describe('the daemon', () => {
  test.each([0, 69, 78] as const)("its exit status %i is the command's", async status => {
    expect(await new Console({ serve: async () => status }).run(['serve'])).toMatchObject({ status })
  })
})
