import { once } from 'node:events'
import {
  linkSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Endpoint, parseEndpoint } from '../../src/app/endpoint.ts'
import { inheritedSockets } from '../../src/daemon/inherited-sockets.ts'
import { type Listener, listen } from '../../src/daemon/listen.ts'

const root = mkdtempSync(join(tmpdir(), 'postern-listen-'))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let directory = ''
let path = ''
const listeners: Listener[] = []
beforeEach(() => {
  directory = mkdtempSync(join(root, 'case-'))
  path = join(directory, 'socket')
})
afterEach(() => {
  for (const listener of listeners.splice(0)) listener.close()
})

function greeter(word: string): Server {
  return createServer(socket => socket.on('error', () => {}).end(word))
}

async function start(
  text: string,
  { word = 'hello', socketMode = 0o660 } = {},
): Promise<Listener & { readonly endpoint: Endpoint }> {
  const endpoint = parseEndpoint(text)
  if (!endpoint.ok) throw new Error(endpoint.problem)
  const listener = await listen(greeter(word), {
    key: 'policy.listen[0]',
    endpoint: endpoint.value,
    socketMode,
  })
  listeners.push(listener)
  if (listener.endpoint === undefined) throw new Error('no endpoint')
  return { ...listener, endpoint: listener.endpoint }
}

async function greetingOf(endpoint: Endpoint): Promise<string> {
  const socket = connect(endpoint.kind === 'unix' ? { path: endpoint.path } : endpoint)
  let text = ''
  socket.on('data', chunk => {
    text += chunk
  })
  await once(socket, 'close')
  return text
}

/** Leaves a socket file behind, as a process does that is killed. */
async function leaveStaleSocket(): Promise<void> {
  const server = createServer().listen({ path: `${path}.old` })
  await once(server, 'listening')
  linkSync(`${path}.old`, path)
  server.close()
  await once(server, 'close')
}

describe('TCP', () => {
  test('the endpoint tells the port that the system chose', async () => {
    const listener = await start('127.0.0.1:0')
    expect(listener.endpoint).toMatchObject({ kind: 'tcp', host: '127.0.0.1' })
    expect(await greetingOf(listener.endpoint)).toBe('hello')
  })

  test('a port in use is said to be so, and its owner is not harmed', async () => {
    const { endpoint } = await start('127.0.0.1:0', { word: 'first' })
    const port = endpoint.kind === 'tcp' ? endpoint.port : 0
    await expect(start(`127.0.0.1:${port}`)).rejects.toMatchObject({
      code: 'POSTERN_CANNOT_LISTEN',
      message: `policy.listen[0]: cannot listen on 127.0.0.1:${port}: already in use; does another postern serve run?`,
    })
    expect(await greetingOf(endpoint)).toBe('first')
  })

  test('an address of another host', async () => {
    await expect(start('192.0.2.1:0')).rejects.toThrow(
      'policy.listen[0]: cannot listen on 192.0.2.1:0: this host has no such address',
    )
  })
})

describe('unix sockets', () => {
  test.each([0o600, 0o660, 0o666])('have the mode %o from the moment they exist', async socketMode => {
    const umask = process.umask(0)
    const server = greeter('hello')
    const { listen: original } = server
    let atBirth = 0
    server.listen = (...options: unknown[]) => {
      Reflect.apply(original, server, options)
      atBirth = lstatSync(path).mode & 0o777
      return server
    }
    listeners.push(await listen(server, { key: '', endpoint: { kind: 'unix', path }, socketMode }))
    expect(process.umask(umask)).toBe(0)
    expect([atBirth, lstatSync(path).mode & 0o777]).toEqual([socketMode, socketMode])
    expect(await greetingOf({ kind: 'unix', path })).toBe('hello')
  })

  test('are removed when they are closed, and only their own', async () => {
    const listener = await start(`unix:${path}`)
    listener.close()
    expect(readdirSync(directory)).toEqual([])
  })

  test('that nobody listens on any more give way', async () => {
    await leaveStaleSocket()
    expect(lstatSync(path).isSocket()).toBe(true)
    await start(`unix:${path}`, { word: 'new' })
    expect(await greetingOf({ kind: 'unix', path })).toBe('new')
  })

  test('that somebody listens on do not', async () => {
    await start(`unix:${path}`, { word: 'first' })
    await expect(start(`unix:${path}`)).rejects.toThrow(
      `policy.listen[0]: cannot listen on unix:${path}: already in use; does another postern serve run?`,
    )
    expect(await greetingOf({ kind: 'unix', path })).toBe('first')
  })

  test.each<[string, () => void]>([
    ['a file', () => writeFileSync(path, 'precious')],
    [
      'a link to a file',
      () => {
        writeFileSync(`${path}.target`, 'precious')
        symlinkSync(`${path}.target`, path)
      },
    ],
  ])('do not take the place of %s', async (_, make) => {
    make()
    await expect(start(`unix:${path}`)).rejects.toThrow(
      `policy.listen[0]: cannot listen on unix:${path}: there is a file of that name, and it is no socket`,
    )
    expect(readFileSync(path, 'utf8')).toBe('precious')
  })

  test('need their directory', async () => {
    await expect(start(`unix:${directory}/none/socket`)).rejects.toThrow('its directory does not exist')
  })

  test('a stale one that has been replaced meanwhile is left alone', async () => {
    await leaveStaleSocket()
    const starting = start(`unix:${path}`)
    renameSync(path, `${path}.away`)
    const other = greeter('other').listen({ path })
    await expect(starting).rejects.toThrow('already in use')
    expect(await greetingOf({ kind: 'unix', path })).toBe('other')
    other.close()
  })
})

describe('sockets from systemd', () => {
  test.each<[string, Record<string, string>, object]>([
    [
      'none',
      {},
      { fds: { policy: [], milter: [], lmtp: [], callout: [], socketmap: [], web: [] }, strangers: [] },
    ],
    [
      'by name',
      { LISTEN_PID: '7', LISTEN_FDS: '4', LISTEN_FDNAMES: 'lmtp:policy:policy:ftp' },
      {
        fds: { policy: [4, 5], milter: [], lmtp: [3], callout: [], socketmap: [], web: [] },
        strangers: ['ftp'],
      },
    ],
    [
      'for another process',
      { LISTEN_PID: '8', LISTEN_FDS: '1', LISTEN_FDNAMES: 'lmtp' },
      { fds: { policy: [], milter: [], lmtp: [], callout: [], socketmap: [], web: [] }, strangers: [] },
    ],
    [
      'without names',
      { LISTEN_PID: '7', LISTEN_FDS: '1' },
      { fds: { policy: [], milter: [], lmtp: [], callout: [], socketmap: [], web: [] }, strangers: [''] },
    ],
    [
      'in a number that is none',
      { LISTEN_PID: '7', LISTEN_FDS: 'x', LISTEN_FDNAMES: 'lmtp' },
      { fds: { policy: [], milter: [], lmtp: [], callout: [], socketmap: [], web: [] }, strangers: [] },
    ],
  ])('%s', (_, env, expected) => {
    expect(inheritedSockets(env, 7)).toEqual(expected)
  })
})
