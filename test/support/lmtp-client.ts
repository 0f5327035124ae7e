/**
 * A raw LMTP client for tests: writes exactly the bytes it is told to, reads replies one at a time, and remembers
 * everything it was sent.
 */
import { connect, type Socket } from 'node:net'

export type LmtpAddress = { readonly port: number; readonly host?: string } | { readonly path: string }

export interface ServerReply {
  readonly code: number
  /** All lines without their ends, codes included. */
  readonly lines: readonly string[]
  /** The last line. */
  readonly text: string
}

export class LmtpClient {
  readonly socket: Socket
  /** Everything that came, as it came. */
  received = ''
  /** Whether the server has closed its side. */
  ended = false
  #read = 0
  #wake: (() => void)[] = []

  private constructor(socket: Socket) {
    this.socket = socket
    const wake = (): void => {
      const waiting = this.#wake
      this.#wake = []
      for (const resolve of waiting) resolve()
    }
    socket.setEncoding('latin1')
    socket.on('data', (text: string) => {
      this.received += text
      wake()
    })
    const over = (): void => {
      this.ended = true
      wake()
    }
    socket.on('end', over)
    socket.on('close', over)
    socket.on('error', over)
  }

  static connect(address: LmtpAddress): Promise<LmtpClient> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', ...address, allowHalfOpen: true }, () => {
        socket.off('error', reject)
        resolve(new LmtpClient(socket))
      })
      socket.once('error', reject)
    })
  }

  /** Connects, and reads the greeting and the answer to LHLO. */
  static async greeted(address: LmtpAddress): Promise<LmtpClient> {
    const client = await LmtpClient.connect(address)
    await client.reply()
    await client.ask('LHLO mta.example.org')
    return client
  }

  /** Sends text as it stands, with no line end added. */
  write(text: string | Uint8Array): void {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'utf8') : text)
  }

  /** Sends lines, each with CR LF. */
  send(...lines: readonly string[]): void {
    this.write(lines.map(line => `${line}\r\n`).join(''))
  }

  /** The next reply. Rejects if the connection ends without one. */
  async reply(): Promise<ServerReply> {
    for (;;) {
      const rest = this.received.slice(this.#read)
      const match = /^(?:(\d{3})-[^\r\n]*\r\n)*(\d{3})(?: [^\r\n]*)?\r\n/.exec(rest)
      if (match !== null) {
        this.#read += match[0].length
        const lines = match[0].split('\r\n').slice(0, -1)
        return { code: Number(match[2]), lines, text: lines.at(-1) ?? '' }
      }
      if (this.ended) throw new Error(`the connection ended; unread: ${JSON.stringify(rest)}`)
      await new Promise<void>(resolve => this.#wake.push(resolve))
    }
  }

  /** The last lines of so many replies. */
  async replies(count: number): Promise<readonly string[]> {
    const texts: string[] = []
    while (texts.length < count) texts.push((await this.reply()).text)
    return texts
  }

  /** Sends a line and gives the reply. */
  ask(line: string): Promise<ServerReply> {
    this.send(line)
    return this.reply()
  }

  /** Everything that comes until the server closes, from what was not read as replies. */
  async rest(): Promise<string> {
    while (!this.ended) await new Promise<void>(resolve => this.#wake.push(resolve))
    return this.received.slice(this.#read)
  }

  /** Closes our side; the server's answers are still read. */
  finish(): void {
    this.socket.end()
  }

  /** Breaks the connection. */
  destroy(): void {
    this.socket.destroy()
  }
}
