/** The spool: what it keeps, where, and that nothing is left. */
import { mkdtemp, readdir, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Spool } from '../../src/lmtp/spool.ts'

let root = ''

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'postern-spool-'))
})

afterEach(async () => {
  await rm(root, { recursive: true, force: true })
})

function spool(memoryLimit = 1000): Spool {
  return new Spool({ directory: join(root, 'spool'), memoryLimit })
}

async function contents(message: Spool): Promise<string> {
  const chunks: Uint8Array[] = []
  for await (const chunk of message.read()) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

/** Open files of this process that have no name any more. */
async function nameless(): Promise<number> {
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map(fd => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  return links.filter(link => link.startsWith(root) && link.endsWith('(deleted)')).length
}

describe('a small message', () => {
  test('stays in memory', async () => {
    const message = spool()
    expect(message.append([Buffer.from('a'), Buffer.from('bc')])).toBeUndefined()
    expect(message.size).toBe(3)
    expect(await contents(message)).toBe('abc')
    expect(await contents(message)).toBe('abc')
    expect(await readdir(root)).toEqual([])
  })

  test('may come octet by octet, and does not cost a piece each', async () => {
    const message = spool(100_000)
    for (let count = 0; count < 10_000; count++) message.append([Buffer.from('x')])
    let pieces = 0
    for await (const piece of message.read()) pieces += piece.length > 0 ? 1 : 0
    expect(pieces).toBeLessThan(300)
    expect((await contents(message)).length).toBe(10_000)
  })
})

describe('a message beyond the bound', () => {
  test('goes to a file that has no name', async () => {
    const message = spool()
    const text = 'line of text\r\n'.repeat(20_000)
    for (let at = 0; at < text.length; at += 700)
      await message.append([Buffer.from(text.slice(at, at + 700))])
    expect(await readdir(join(root, 'spool'))).toEqual([])
    expect(await nameless()).toBe(1)
    expect(message.size).toBe(text.length)
    expect(await contents(message)).toBe(text)
    const [first, second] = await Promise.all([contents(message), contents(message)])
    expect([first, second]).toEqual([text, text])
    await message.dispose()
    expect(await nameless()).toBe(0)
    await expect(contents(message)).rejects.toThrow()
  })

  test('can be let go of while it is being written', async () => {
    const message = spool()
    const writing = message.append([Buffer.alloc(5000)])
    await Promise.all([message.dispose(), message.dispose()])
    await writing
    expect(message.append([Buffer.alloc(5000)])).toBeUndefined()
    expect(await nameless()).toBe(0)
    expect(await readdir(join(root, 'spool'))).toEqual([])
  })
})

describe('a spool that fails', () => {
  test('keeps the cause, and nothing else', async () => {
    await writeFile(join(root, 'spool'), 'in the way')
    const message = spool()
    await message.append([Buffer.alloc(5000)])
    expect((message.failure as NodeJS.ErrnoException).code).toMatch(/^(?:EEXIST|ENOTDIR)$/)
    expect(message.append([Buffer.alloc(5000)])).toBeUndefined()
    expect(await nameless()).toBe(0)
  })
})
