/**
 * What happens between the octets and the disk: the order of system calls before a copy counts as delivered, and a
 * disk that fails at each of them. The file system is the real one; its calls are watched, and made to fail.
 */
import type { FileHandle } from 'node:fs/promises'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'

const disk = vi.hoisted(() => ({
  calls: [] as string[],
  /** Throws for a call that is to fail. */
  fail: (_call: string): void => {},
  /** Writes wait for it. */
  wait: Promise.resolve(),
}))

vi.mock('node:fs/promises', async original => {
  const real = await original<typeof import('node:fs/promises')>()
  const watched = (call: string): void => {
    disk.calls.push(call)
    disk.fail(call)
  }
  return {
    ...real,
    open: async (path: string, ...rest: [string?, number?]): Promise<FileHandle> => {
      const handle = await real.open(path, ...rest)
      const append = handle.appendFile.bind(handle)
      const sync = handle.sync.bind(handle)
      handle.appendFile = async data => {
        watched(`write ${path}`)
        await disk.wait
        return append(data)
      }
      handle.sync = async () => {
        watched(`sync ${path}`)
        return sync()
      }
      return handle
    },
    rename: async (from: string, to: string) => {
      watched(`rename ${to}`)
      return real.rename(from, to)
    },
  }
})

const { createMaildirDelivery } = await import('../../src/delivery/maildir.ts')
const { Spool } = await import('../../src/lmtp/spool.ts')
const { SharedFlush } = await import('../../src/delivery/durable.ts')
const { address } = await import('../support/vectors.ts')
const { startSink } = await import('../support/lmtp-sink.ts')
const { LmtpClient } = await import('../support/lmtp-client.ts')

let root = ''

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-durability-'))
  disk.calls = []
  disk.fail = () => {}
  disk.wait = Promise.resolve()
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

const LIST = address('team@lists.example.org')
const TEAM = { recipient: LIST, list: LIST.key, service: undefined, disposition: 'deliver' } as const
const ENVELOPE = { sender: LIST, client: {}, id: 'ID1', receivedAt: 0, smtputf8: false }
const MESSAGE = {
  size: 12,
  async *read() {
    yield Buffer.from('Subject: x\r\n')
  },
}

function deliver() {
  return createMaildirDelivery({ root: join(root, 'a', 'b'), hostname: 'h' }).deliver(ENVELOPE, MESSAGE, [
    TEAM,
  ])
}

/** The calls, with the parts of their paths that differ taken out. */
function calls(): readonly string[] {
  return disk.calls.map(call => call.replace(root, '').replace(/\/\d+\.M[^/]*$/, '/FILE'))
}

async function files(): Promise<readonly string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true })
  return entries.filter(entry => entry.isFile()).map(entry => entry.name)
}

test('a copy is on the disk, with every name above it, before it is delivered', async () => {
  expect(await deliver()).toEqual([{ kind: 'delivered' }])
  const list = '/a/b/lists.example.org/team'
  expect(calls()).toEqual([
    // The root was not there, nor the directory above it.
    'sync /a',
    'sync ',
    'sync /a/b',
    'sync /a/b/lists.example.org',
    `sync ${list}`,
    `write ${list}/tmp/FILE`,
    `sync ${list}/tmp/FILE`,
    `rename ${list}/new/FILE`,
    `sync ${list}/new`,
  ])
})

test('a folder that a crash may have left is made sure of once, and not again', async () => {
  await deliver()
  disk.calls = []
  const again = createMaildirDelivery({ root: join(root, 'a', 'b'), hostname: 'h' })
  await again.deliver(ENVELOPE, MESSAGE, [TEAM])
  expect(calls().slice(0, 3)).toEqual([
    'sync /a/b',
    'sync /a/b/lists.example.org',
    'sync /a/b/lists.example.org/team',
  ])
  disk.calls = []
  await again.deliver(ENVELOPE, MESSAGE, [TEAM])
  expect(calls().length).toBe(4)
})

describe('a disk that fails', () => {
  const errno = (code: string): NodeJS.ErrnoException => Object.assign(new Error(`${code}: no`), { code })

  test.each([
    ['ENOSPC', /^write .*tmp/],
    ['EDQUOT', /^write .*tmp/],
    ['EIO', /^sync .*tmp/],
    ['EROFS', /^rename/],
    ['EIO', /^sync .*new$/],
    ['EIO', /^sync .*team$/],
  ])('with %s at %s: the copy is not delivered, and nothing is left', async (code, when) => {
    disk.fail = call => {
      if (when.test(call)) throw errno(code)
    }
    expect(await deliver()).toMatchObject([{ kind: 'failed', cause: { code } }])
    expect(await files()).toEqual([])
    disk.fail = () => {}
    expect(await deliver()).toEqual([{ kind: 'delivered' }])
    expect((await files()).length).toBe(1)
  })

  test('a full disk while a message arrives', async () => {
    const message = new Spool({ directory: join(root, 'spool'), memoryLimit: 100 })
    let writes = 0
    disk.fail = call => {
      if (call.startsWith('write') && ++writes > 3) throw errno('ENOSPC')
    }
    for (let count = 0; count < 10; count++) await message.append([Buffer.alloc(1000)])
    expect(message.failure).toMatchObject({ code: 'ENOSPC' })
    expect(writes).toBe(4)
    expect(await files()).toEqual([])
  })

  test('a full disk is told to each recipient as that, and nothing is lost or left', async () => {
    const sink = await startSink({
      delivery: createMaildirDelivery({ root: join(root, 'mail'), hostname: 'h' }),
      settings: { spoolDirectory: join(root, 'spool') },
    })
    const client = await LmtpClient.greeted(sink.address)
    const send = async (octets: number): Promise<readonly string[]> => {
      client.send(
        'MAIL FROM:<alice@example.net>',
        'RCPT TO:<team@lists.example.org>',
        'RCPT TO:<open@lists.example.org>',
        'DATA',
      )
      await client.replies(4)
      client.write(`${'x'.repeat(octets)}\r\n.\r\n`)
      return (await client.replies(2)).map(text => text.slice(0, 9))
    }
    disk.fail = call => {
      if (call.includes('/spool/')) throw errno('ENOSPC')
    }
    expect(await send(300_000)).toEqual(['451 4.3.1', '451 4.3.1'])
    disk.fail = () => {
      throw errno('ENOSPC')
    }
    expect(await send(100)).toEqual(['451 4.3.1', '451 4.3.1'])
    disk.fail = call => {
      if (/^write .*team/.test(call)) throw errno('ENOSPC')
    }
    expect(await send(100)).toEqual(['451 4.3.1', '250 2.0.0'])
    expect((await files()).length).toBe(1)
    client.destroy()
    await sink.close()
  })
})

test('a slow disk holds the client back: what cannot be kept yet is not read', async () => {
  const sink = await startSink({
    settings: { spoolDirectory: join(root, 'spool'), maxSize: 100_000_000 },
  })
  const accepted = new Promise<Socket>(resolve => sink.server.once('connection', resolve))
  const client = await LmtpClient.greeted(sink.address)
  const socket = await accepted
  client.send('MAIL FROM:<alice@example.net>', 'RCPT TO:<team@lists.example.org>', 'DATA')
  await client.replies(3)
  let goOn: () => void = () => {}
  disk.wait = new Promise(resolve => {
    goOn = resolve
  })
  client.write(Buffer.alloc(48_000_000, 'x\r\n'))
  client.send('', '.')
  await vi.waitFor(() => expect(disk.calls.length).toBe(1))
  await new Promise(resolve => setTimeout(resolve, 200))
  expect(socket.bytesRead).toBeLessThan(1_000_000)
  expect(disk.calls.length).toBe(1)
  goOn()
  expect((await client.reply()).text).toMatch(/^250 2\.0\.0 /)
  expect(sink.copies[0]?.bytes.length).toBe(48_000_002)
  client.destroy()
  await sink.close()
})

describe('a flush that many share', () => {
  test('runs once for those who wait for it, and once more for those who come while it runs', async () => {
    const flush = new SharedFlush(root)
    const first = flush.flush()
    const later = Promise.all([flush.flush(), flush.flush(), flush.flush()])
    await first
    await later
    expect(calls()).toEqual(['sync ', 'sync '])
    await flush.flush()
    expect(calls().length).toBe(3)
  })

  test('that fails is told to everybody who shared it, and to nobody else', async () => {
    const flush = new SharedFlush(root)
    let count = 0
    disk.fail = () => {
      if (++count === 2) throw new Error('no')
    }
    const first = flush.flush()
    const shared = [flush.flush(), flush.flush()]
    await first
    expect((await Promise.allSettled(shared)).map(each => each.status)).toEqual(['rejected', 'rejected'])
    await flush.flush()
  })
})
