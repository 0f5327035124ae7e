/** What sockets receive: the same by the shared buffer and, where Node has no such thing, by 'data'. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { Reception } from '../../src/milter/receive.ts'

let server: Server | undefined
const clients: Socket[] = []
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
  server?.close()
})

interface Received {
  readonly socket: Socket
  /** All of it so far, and the memory that each piece lay in. */
  text: string
  readonly memories: ArrayBufferLike[]
}

type Way = 'shared buffer' | 'data events'

/** A server that receives in one of the two ways, and a client of it. */
async function connected(way: Way, count = 1): Promise<{ clients: Socket[]; received: Received[] }> {
  const reception = new Reception(options => new Socket(options))
  const received: Received[] = []
  const all = new Promise<void>(resolve => {
    server = createServer(socket => {
      const one: Received = { socket, text: '', memories: [] }
      const { _handle: handle } = socket as unknown as { _handle: object }
      if (way === 'data events') Object.assign(handle, { useUserBuffer: undefined })
      reception.receive(socket, bytes => {
        one.text += bytes.toString('latin1')
        one.memories.push(bytes.buffer)
        socket.emit('heard')
      })
      received.push(one)
      if (received.length === count) resolve()
    }).listen(0, '127.0.0.1')
  })
  await once(server as unknown as Server, 'listening')
  const { port } = (server as unknown as Server).address() as AddressInfo
  for (let i = 0; i < count; i++) clients.push(connect(port, '127.0.0.1'))
  await all
  return { clients, received }
}

async function hears(one: Received, length: number): Promise<string> {
  while (one.text.length < length) await once(one.socket, 'heard')
  return one.text
}

describe.each<Way>(['shared buffer', 'data events'])('by %s', way => {
  test('all of it comes, in order', async () => {
    const { clients, received } = await connected(way, 2)
    const texts = clients.map((_, i) => `${i}${'abcdefg'.repeat(50_000)}${i}`)
    for (const [i, client] of clients.entries()) client.write(texts[i]!)
    for (const text of texts) {
      const one = received.find(({ socket }) => socket.remotePort === clients[texts.indexOf(text)]?.localPort)
      expect((await hears(one!, text.length)) === text).toBe(true)
    }
  })

  test('the end of it comes', async () => {
    const { clients, received } = await connected(way)
    const [{ socket }] = received as [Received]
    clients[0]?.end('bye')
    await once(socket, 'close')
    expect(received[0]?.text).toBe('bye')
  })

  test('a connection that is torn down is closed', async () => {
    const { clients, received } = await connected(way)
    const [{ socket }] = received as [Received]
    socket.on('error', () => {})
    const closed = new Promise(resolve => socket.on('close', resolve))
    clients[0]?.resetAndDestroy()
    await closed
    expect(socket.destroyed).toBe(true)
  })

  test('it is held back while the socket is paused', async () => {
    const { clients, received } = await connected(way)
    const [one] = received as [Received]
    clients[0]?.write('a')
    await hears(one, 1)
    one.socket.pause()
    clients[0]?.write('b')
    // What goes the other way comes after it, and both are on one machine.
    one.socket.write('x')
    await once(clients[0]!, 'data')
    await new Promise(resolve => setImmediate(resolve))
    expect(one.text).toBe('a')
    one.socket.resume()
    expect(await hears(one, 2)).toBe('ab')
  })
})

test('this Node has the shared buffer: one for all sockets', async () => {
  const { clients, received } = await connected('shared buffer', 2)
  for (const client of clients) client.write('a')
  for (const one of received) await hears(one, 1)
  expect(new Set(received.flatMap(({ memories }) => memories)).size).toBe(1)
  expect(received.map(({ socket }) => socket.listenerCount('data'))).toEqual([0, 0])
})
