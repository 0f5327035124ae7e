/**
 * A scripted SMTP and LMTP client: what a test types is what goes over the wire, and every reply comes back as it
 * stood there.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { Endpoint } from '../../src/app/endpoint.ts'

/** In milliseconds. Longer than any wait of the servers under test that is no failure. */
const REPLY_TIMEOUT = 30_000

export class SmtpClient {
  #socket: Socket
  readonly #transcript: string[] = []
  #received = ''
  #ended = false
  #wake: () => void = () => {}

  /** The server's first reply. */
  greeting = ''

  private constructor(socket: Socket) {
    this.#socket = socket
    this.#listenTo(socket)
  }

  #listenTo(socket: Socket): void {
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      this.#received += chunk
      this.#wake()
    })
    socket.on('error', () => {})
    for (const event of ['end', 'close'] as const) {
      socket.on(event, () => {
        this.#ended = true
        this.#wake()
      })
    }
  }

  /** Connects without waiting for the greeting; by TCP from `localAddress`, if it is given. */
  static async open(endpoint: Endpoint, localAddress?: string): Promise<SmtpClient> {
    const options =
      endpoint.kind === 'unix'
        ? { path: endpoint.path }
        : { host: endpoint.host, port: endpoint.port, ...(localAddress !== undefined && { localAddress }) }
    const socket = connect({ ...options, allowHalfOpen: true })
    await once(socket, 'connect')
    return new SmtpClient(socket)
  }

  /** Connects and reads the greeting. */
  static async connect(endpoint: Endpoint, localAddress?: string): Promise<SmtpClient> {
    const client = await SmtpClient.open(endpoint, localAddress)
    client.greeting = await client.read()
    return client
  }

  /** Sends bytes as they are. */
  send(bytes: string | Uint8Array): void {
    this.#transcript.push(`> ${typeof bytes === 'string' ? bytes.trimEnd() : `${bytes.length} bytes`}`)
    this.#socket.write(bytes)
  }

  /** Reads one reply: its lines without CRLF, joined by LF. */
  async read(): Promise<string> {
    const deadline = Date.now() + REPLY_TIMEOUT
    for (;;) {
      const match = /^(?:\d{3}-[^\n]*\r\n)*\d{3}(?: [^\n]*)?\r\n/.exec(this.#received)
      if (match !== null) {
        this.#received = this.#received.slice(match[0].length)
        const reply = match[0].trimEnd().replaceAll('\r\n', '\n')
        this.#transcript.push(`< ${reply}`)
        return reply
      }
      if (this.#ended)
        throw new Error(`the server hung up:\n${this.#transcript.join('\n')}\n${this.#received}`)
      if (Date.now() >= deadline)
        throw new Error(`no reply:\n${this.#transcript.join('\n')}\n${this.#received}`)
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, deadline - Date.now())
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  /** Sends one line and reads its reply. */
  async command(line: string): Promise<string> {
    this.send(`${line}\r\n`)
    return this.read()
  }

  /** Sends lines one after the other and reads a reply to each. */
  async dialogue(...lines: readonly string[]): Promise<string[]> {
    const replies: string[] = []
    for (const line of lines) replies.push(await this.command(line))
    return replies
  }

  /** Sends lines in one write and reads a reply to each. */
  async pipeline(...lines: readonly string[]): Promise<string[]> {
    this.send(lines.map(line => `${line}\r\n`).join(''))
    const replies: string[] = []
    for (const _ of lines) replies.push(await this.read())
    return replies
  }

  /** Sends DATA and, after 354, a message with its dots stuffed; gives the last reply there was. */
  async data(message: string | Buffer): Promise<string> {
    const ready = await this.command('DATA')
    return ready.startsWith('354 ') ? this.content(message) : ready
  }

  /** Sends a message's lines, dots stuffed, and the final dot; gives the first reply. */
  async content(message: string | Buffer): Promise<string> {
    const text =
      typeof message === 'string' ? Buffer.from(message).toString('latin1') : message.toString('latin1')
    this.send(Buffer.from(`${text.replace(/^\./gm, '..')}.\r\n`, 'latin1'))
    return this.read()
  }

  /** Sends a message in one last BDAT chunk (RFC 3030); gives its reply. */
  async bdat(message: string | Buffer): Promise<string> {
    const bytes = Buffer.from(message)
    this.send(Buffer.concat([Buffer.from(`BDAT ${bytes.length} LAST\r\n`), bytes]))
    return this.read()
  }

  /** Goes over to TLS; the server's certificate is not looked at. */
  async startTls(): Promise<void> {
    const reply = await this.command('STARTTLS')
    if (!reply.startsWith('220 ')) throw new Error(reply)
    // Its text belongs to TLS from now on.
    this.#socket.removeAllListeners('data')
    const secure = connectTls({ socket: this.#socket, rejectUnauthorized: false })
    this.#listenTo(secure)
    await once(secure, 'secureConnect')
    this.#socket = secure
  }

  /** Closes our side; replies can still be read. */
  end(): void {
    this.#socket.end()
  }

  /** Resolves when the server has closed the connection. */
  async closed(): Promise<void> {
    if (!this.#ended) await once(this.#socket, 'end')
  }

  /** Sends QUIT, reads its reply and closes. */
  async quit(): Promise<string> {
    const reply = await this.command('QUIT')
    this.#socket.destroy()
    return reply
  }

  /** Hangs up at once. */
  destroy(): void {
    this.#socket.destroy()
  }
}
