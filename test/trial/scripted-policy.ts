/**
 * A policy server that does what a test tells it: answers, stays silent, hangs up, or answers nonsense.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import type { Endpoint } from '../../src/app/endpoint.ts'

export type Request = Readonly<Record<string, string>>

export interface ScriptedPolicy {
  readonly endpoint: Endpoint
  /** Every request so far. */
  readonly requests: readonly Request[]
  /** Connections so far. */
  readonly connections: number
  stop(): Promise<void>
}

/** `reply` gives the bytes to send; `undefined` sends none, `'hang up'` closes. */
export async function startScriptedPolicy(
  reply: (request: Request, number: number) => string | undefined,
): Promise<ScriptedPolicy> {
  const requests: Request[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer(socket => {
    connections++
    sockets.add(socket)
    let text = ''
    socket.setEncoding('utf8').on('error', () => {})
    socket.on('data', (chunk: string) => {
      text += chunk
      for (let end = text.indexOf('\n\n'); end !== -1; end = text.indexOf('\n\n')) {
        const lines = text.slice(0, end).split('\n')
        text = text.slice(end + 2)
        const request = Object.fromEntries(
          lines.map(line => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
        )
        requests.push(request)
        const answer = reply(request, requests.length)
        if (answer === 'hang up') socket.destroy()
        else if (answer !== undefined) socket.write(answer)
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    endpoint: { kind: 'tcp', host: '127.0.0.1', port },
    requests,
    get connections() {
      return connections
    },
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
