/** An HTTP client that sends what it is told to, octet by octet, and reads what comes until the connection is closed. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Endpoint } from '../../src/app/endpoint.ts'

export interface RawResponse {
  readonly status: number
  /** Names in small letters. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

export class RawClient {
  readonly socket: Socket
  received = ''
  closed = false
  #heard: () => void = () => {}

  constructor(endpoint: Endpoint) {
    this.socket = connect(endpoint.kind === 'unix' ? { path: endpoint.path } : endpoint)
    this.socket.on('error', () => {})
    this.socket.on('data', chunk => {
      this.received += String(chunk)
      this.#heard()
    })
    this.socket.on('close', () => {
      this.closed = true
      this.#heard()
    })
  }

  static async connected(endpoint: Endpoint): Promise<RawClient> {
    const client = new RawClient(endpoint)
    await once(client.socket, 'connect')
    return client
  }

  send(text: string): void {
    this.socket.write(text, 'latin1')
  }

  /** Waits until something has come, or the end. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.received) && !this.closed) {
      await new Promise<void>(resolve => {
        this.#heard = resolve
      })
    }
  }

  /** Waits for the end, and gives all that has come. */
  async rest(): Promise<string> {
    await this.until(/(?!)/)
    return this.received
  }
}

/** Reads one response that the end of the connection ends. */
export function responseOf(text: string): RawResponse {
  const [head = '', ...body] = text.split('\r\n\r\n')
  const [first = '', ...fields] = head.split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1])
  if (Number.isNaN(status)) throw new Error(`no response: ${JSON.stringify(text.slice(0, 200))}`)
  const headers = new Map(
    fields.map(field => {
      const [name = '', ...value] = field.split(': ')
      return [name.toLowerCase(), value.join(': ')]
    }),
  )
  return { status, headers, body: body.join('\r\n\r\n') }
}

/** Sends one request as it stands, and reads the response; the request asks for the end of the connection. */
export async function exchange(endpoint: Endpoint, request: string): Promise<RawResponse> {
  const client = await RawClient.connected(endpoint)
  client.send(request)
  return responseOf(await client.rest())
}

/** A GET in its usual form. */
export function get(path: string, host = 'localhost', more: readonly string[] = []): string {
  return [`GET ${path} HTTP/1.1`, `Host: ${host}`, 'Connection: close', ...more, '', ''].join('\r\n')
}
