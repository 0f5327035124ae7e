/**
 * A recorder between an MTA and a milter. Both hear each other as if it were not there; what they say is written as a
 * transcript (`transcript.ts`), frame by frame, a connection after the other in the order in which the MTA made them. What
 * would be different the next time, and says nothing, is made the same: queue identifiers and the ports of clients.
 *
 *     npx tsx test/milter/record.ts 127.0.0.1:10099 unix:/run/postern/milter > conversation.txt
 *
 * listens at the first place, for the MTA, and leads to the second. Ended by SIGINT or SIGTERM it writes what it has heard.
 */
import { once } from 'node:events'
import { chmodSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Endpoint, parseEndpoint } from '../../src/app/endpoint.ts'
import { answerLineOf, FrameSplitter, lineOf, PORT } from './lines.ts'

/** For a milter to close after QUIT, in milliseconds. */
const CLOSING_TIME = 2_000

export interface Recorder {
  /** Where the MTA finds its milter. */
  readonly endpoint: Endpoint
  /** The transcript since the last time, of connections that are open as well. */
  heard(): string
  /** The same, once no connection is open any more. */
  take(): Promise<string>
  stop(): Promise<void>
}

/** Makes queue identifiers `Q1`, `Q2`, in the order in which they come. */
class QueueIds {
  readonly #known = new Map<string, string>()

  nameOf(id: string): string {
    const name = this.#known.get(id) ?? `Q${this.#known.size + 1}`
    this.#known.set(id, name)
    return name
  }
}

/** A command without what is of this one time only. */
function timeless(code: string, data: Buffer, ids: QueueIds): Buffer {
  switch (code) {
    case 'C': {
      const port = data.indexOf(0) + 2
      if (port + 2 > data.length || !'46'.includes(String.fromCharCode(data[port - 1] ?? 0))) return data
      const same = Buffer.from(data)
      same.writeUInt16BE(PORT, port)
      return same
    }
    case 'D': {
      const words = data.toString('latin1', 1).split('\0')
      const same = words.map((word, at) => (words[at - 1] === 'i' && at % 2 === 1 ? ids.nameOf(word) : word))
      return Buffer.concat([data.subarray(0, 1), Buffer.from(same.join('\0'), 'latin1')])
    }
    default:
      return data
  }
}

/** Leads an MTA's connection to a milter; resolves when both have closed. Lines are written before they are passed on. */
async function lead(mta: Socket, milter: Socket, lines: string[], ids: QueueIds): Promise<void> {
  const commands = new FrameSplitter()
  const answers = new FrameSplitter()
  let last = ''
  let isOver = false
  mta.on('data', chunk => {
    for (const { code, data } of commands.push(chunk as Buffer)) {
      last = code
      lines.push(lineOf(code, timeless(code, data, ids)))
    }
    milter.write(chunk)
  })
  milter.on('data', chunk => {
    for (const { code, data } of answers.push(chunk as Buffer)) {
      if (!isOver) lines.push(answerLineOf(code, data))
    }
    mta.write(chunk)
  })
  mta.on('end', () => {
    if (commands.rest.length > 0) lines.push(`? ${commands.rest.toString('hex')}`)
    const hangUp = (): void => {
      isOver = true
      milter.end()
    }
    // After QUIT it is for the milter to close, and whether it does is worth knowing.
    if (last !== 'Q') hangUp()
    else {
      const waiting = setTimeout(hangUp, CLOSING_TIME)
      milter.once('close', () => clearTimeout(waiting))
    }
  })
  milter.on('end', () => {
    if (!isOver) lines.push('! closed')
    isOver = true
    milter.end()
  })
  mta.on('error', () => milter.destroy())
  milter.on('error', () => {})
  milter.on('close', () => mta.destroySoon())
  await Promise.all([mta, milter].map(socket => new Promise(resolve => socket.once('close', resolve))))
}

/** Listens for an MTA; `milter` says where each connection leads. */
export async function startRecorder(listen: Endpoint, milter: () => Endpoint): Promise<Recorder> {
  let connections: string[][] = []
  let ids = new QueueIds()
  const open = new Set<Promise<void>>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, mta => {
    const lines: string[] = []
    connections.push(lines)
    const to = milter()
    const place = to.kind === 'unix' ? { path: to.path } : { host: to.host, port: to.port }
    const going = lead(mta, connect({ ...place, allowHalfOpen: true, noDelay: true }), lines, ids)
    open.add(going)
    void going.finally(() => open.delete(going))
  })
  server.listen(listen.kind === 'unix' ? { path: listen.path } : { host: listen.host, port: listen.port })
  await once(server, 'listening')
  if (listen.kind === 'unix') chmodSync(listen.path, 0o666)
  const heard = (): string => {
    const taken = connections
    connections = []
    ids = new QueueIds()
    return taken.map(lines => `${lines.join('\n')}\n`).join('---\n')
  }
  return {
    endpoint: listen.kind === 'unix' ? listen : { ...listen, port: (server.address() as AddressInfo).port },
    heard,
    async take() {
      while (open.size > 0) await Promise.all(open)
      return heard()
    },
    async stop() {
      server.close()
      await Promise.all(open)
    },
  }
}

function endpointOf(text: string | undefined): Endpoint {
  const endpoint = parseEndpoint(text ?? '')
  if (endpoint.ok) return endpoint.value
  process.stderr.write(`record: ${endpoint.problem}\nrecord LISTEN MILTER, each HOST:PORT or unix:/path\n`)
  process.exit(64)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , listen, milter] = process.argv
  const to = endpointOf(milter)
  const recorder = await startRecorder(endpointOf(listen), () => to)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => process.stdout.write(recorder.heard(), () => process.exit()))
  }
}
