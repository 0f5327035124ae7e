/**
 * Redis's protocol as far as tests need it: commands out of a client's bytes (arrays of bulk strings), a server that
 * answers every command alike, and a proxy that counts turns.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'

/** The commands that are complete in `bytes`, and what is left. */
export function takeCommands(bytes: Buffer): {
  readonly commands: readonly string[][]
  readonly rest: Buffer
} {
  const commands: string[][] = []
  let at = 0
  const line = (from: number): { readonly text: string; readonly next: number } | undefined => {
    const end = bytes.indexOf('\r\n', from)
    return end === -1 ? undefined : { text: bytes.toString('utf8', from, end), next: end + 2 }
  }
  for (;;) {
    const head = line(at)
    if (head === undefined) break
    let position: number | undefined = head.next
    const words: string[] = []
    for (let left = Number(head.text.slice(1)); left > 0 && position !== undefined; left--) {
      const size = line(position)
      const start = size?.next ?? bytes.length
      const end = start + Number(size?.text.slice(1) ?? 0)
      position = size === undefined || end + 2 > bytes.length ? undefined : end + 2
      words.push(bytes.toString('utf8', start, end))
    }
    if (position === undefined) break
    commands.push(words)
    at = position
  }
  return { commands, rest: bytes.subarray(at) }
}

export interface Listening {
  readonly port: number
  close(): Promise<void>
}

async function listening(server: Server): Promise<Listening> {
  const sockets = new Set<Socket>()
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => {})
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A server that takes connections and bytes and says nothing. */
export function silentServer(): Promise<Listening> {
  return listening(createServer(socket => void socket.resume()))
}

/** A server that answers every command but the first greeting with `reply`. */
export function stubbornServer(reply: string): Promise<Listening> {
  return listening(
    createServer(socket => {
      let rest: Buffer = Buffer.alloc(0)
      socket.on('data', chunk => {
        const taken = takeCommands(Buffer.concat([rest, chunk]))
        rest = taken.rest
        for (const [name] of taken.commands)
          socket.write(name?.toUpperCase() === 'CLIENT' ? '+OK\r\n' : reply)
      })
    }),
  )
}

/** A server that greets, and ends the connection at the first command that is more than a greeting. */
export function cuttingServer(): Promise<Listening> {
  return listening(
    createServer(socket => {
      socket.on('data', chunk => {
        const [[name] = []] = takeCommands(chunk).commands
        if (name?.toUpperCase() === 'CLIENT') socket.write('+OK\r\n')
        else socket.destroy()
      })
    }),
  )
}

export interface Turns extends Listening {
  /** What has passed since the last call: how often it was the client's turn, and what it said. */
  taken(): {
    readonly turns: number
    readonly commands: readonly string[][]
    readonly bytes: { readonly sent: number; readonly received: number }
  }
}

/** A proxy in front of a server at a unix socket. */
export async function countingProxy(path: string): Promise<Turns> {
  let turns = 0
  let commands: string[][] = []
  let bytes = { sent: 0, received: 0 }
  const server = await listening(
    createServer(client => {
      const upstream = connect(path)
      let rest: Buffer = Buffer.alloc(0)
      let clientsTurn = false
      client.on('data', chunk => {
        if (!clientsTurn) turns++
        clientsTurn = true
        bytes.sent += chunk.length
        const taken = takeCommands(Buffer.concat([rest, chunk]))
        rest = taken.rest
        commands.push(...taken.commands)
        upstream.write(chunk)
      })
      upstream.on('data', chunk => {
        clientsTurn = false
        bytes.received += chunk.length
        client.write(chunk)
      })
      upstream.on('error', () => client.destroy())
      upstream.on('close', () => client.destroy())
      client.on('close', () => upstream.destroy())
    }),
  )
  return {
    ...server,
    taken: () => {
      const result = { turns, commands, bytes }
      turns = 0
      commands = []
      bytes = { sent: 0, received: 0 }
      return result
    },
  }
}
