/**
 * One connection to a next hop: commands go out, replies come in, each in its turn. A next hop that speaks before it is
 * asked, or says what is no reply, is not listened to any further: from then on nobody could tell whose replies they are.
 */
import { connect, type Socket } from 'node:net'
import { type Endpoint, formatEndpoint } from '../app/endpoint.ts'
import { RelayFault } from './relay-fault.ts'
import { type Offer, offerOf } from './relay-offer.ts'
import { type NextHopReply, ReplyReader, replyInWords } from './relay-replies.ts'

export interface RelayConnectionSettings {
  readonly to: Endpoint
  /** What we call ourselves in LHLO. */
  readonly hostname: string
  readonly connectTimeoutMs: number
  /** For the answer to one command, and for the taking of one piece of a message. */
  readonly replyTimeoutMs: number
}

/** A point in time by `performance.now()`: the system's clock may be set meanwhile. */
export type Until = number

/** How long a next hop may take to close after QUIT. */
const QUIT_MS = 2000

const NOTHING_OFFERED: Offer = {
  pipelining: false,
  size: false,
  eightBit: false,
  smtputf8: false,
  xforward: new Set(),
}

export class RelayConnection {
  readonly #socket: Socket
  readonly #settings: RelayConnectionSettings
  readonly #reader = new ReplyReader()
  readonly #replies: NextHopReply[] = []
  /** Replies that were asked for and have not come. */
  #awaited = 0
  #isConnected = false
  #fault: RelayFault | undefined
  #wake: () => void = () => {}
  #offer: Offer = NOTHING_OFFERED

  /** Whether a transaction was begun that must be given up before the next one. */
  needsReset = false
  /** Told when it can no longer be used. */
  onGone: () => void = () => {}

  private constructor(socket: Socket, settings: RelayConnectionSettings) {
    this.#socket = socket
    this.#settings = settings
  }

  /** Connects, and says LHLO. @throws RelayFault */
  static async open(settings: RelayConnectionSettings, until: Until): Promise<RelayConnection> {
    const { to, hostname, connectTimeoutMs } = settings
    const socket =
      to.kind === 'unix'
        ? connect({ path: to.path })
        : connect({ host: to.host, port: to.port, noDelay: true })
    const connection = new RelayConnection(socket, settings)
    // The greeting comes unasked, perhaps with the connection.
    connection.#awaited = 1
    connection.#listen()
    try {
      const limit = Math.min(until, performance.now() + connectTimeoutMs)
      await connection.#wait(() => connection.#isConnected, limit, 'connecting')
      await connection.#session('its greeting', until)
      connection.say([`LHLO ${hostname}`])
      connection.#offer = offerOf(await connection.#session('its answer to LHLO', until))
      return connection
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  get offer(): Offer {
    return this.#offer
  }

  /** Whether it can serve a transaction, as far as is known. */
  get isUsable(): boolean {
    return this.#fault === undefined && this.#awaited === 0 && this.#replies.length === 0
  }

  /** Sends commands in one piece; for each there is one reply to come. @throws RelayFault */
  say(commands: readonly string[]): void {
    this.#expect(commands.length)
    this.#socket.write(commands.map(command => `${command}\r\n`).join(''), 'utf8')
  }

  /** The next reply. `patience` waits as long as the message may take, not as long as a command. @throws RelayFault */
  async reply(until: Until, { patience = false } = {}): Promise<NextHopReply> {
    const limit = patience ? until : Math.min(until, performance.now() + this.#settings.replyTimeoutMs)
    await this.#wait(() => this.#replies.length > 0, limit, 'an answer')
    const reply = this.#replies.shift()
    if (reply === undefined) throw new Error('a reply that was there is gone')
    return reply
  }

  /** Sends a piece of a message, and waits until it is on its way. @throws RelayFault */
  async write(piece: Uint8Array, until: Until): Promise<void> {
    this.#mustBeSilent()
    if (this.#socket.write(piece)) return
    const limit = Math.min(until, performance.now() + this.#settings.replyTimeoutMs)
    await this.#wait(() => this.#fault === undefined && !this.#socket.writableNeedDrain, limit, 'taking data')
  }

  /** Sends the last piece of a message, with the final dot; there are `replies` to come. @throws RelayFault */
  finish(piece: Uint8Array, replies: number): void {
    this.#expect(replies)
    this.#socket.write(piece)
  }

  /** Ends it in order. */
  quit(): void {
    if (!this.isUsable) this.destroy()
    this.#fail(new RelayFault('lost', 'the connection is closed'), { inOrder: true })
  }

  /** Ends it at once. */
  destroy(): void {
    this.#fail(new RelayFault('lost', 'the connection is closed'))
  }

  #expect(replies: number): void {
    this.#mustBeSilent()
    this.#awaited += replies
  }

  /** @throws RelayFault if something came that was not asked for */
  #mustBeSilent(): void {
    if (this.#fault === undefined && (this.#replies.length > 0 || this.#reader.isAmidReply)) {
      this.#fail(new RelayFault('nonsense', 'it spoke out of turn'))
    }
    if (this.#fault !== undefined) throw this.#fault
  }

  async #session(what: string, until: Until): Promise<NextHopReply> {
    const reply = await this.reply(until)
    if (Math.floor(reply.code / 100) === 2) return reply
    throw new RelayFault('turned-away', `${what} was ${replyInWords(reply)}`)
  }

  #listen(): void {
    const socket = this.#socket
    socket.on('data', (chunk: Buffer) => this.#take(chunk))
    socket.on('connect', () => {
      this.#isConnected = true
      this.#wake()
    })
    socket.on('drain', () => this.#wake())
    socket.on('error', error => {
      const fault = this.#isConnected
        ? new RelayFault('lost', 'the connection broke', error)
        : new RelayFault('unreachable', `cannot reach ${formatEndpoint(this.#settings.to)}`, error)
      this.#fail(fault)
    })
    socket.on('end', () => this.#fail(new RelayFault('lost', 'it closed the connection')))
    socket.on('close', () => this.#fail(new RelayFault('lost', 'it closed the connection')))
  }

  #take(chunk: Buffer): void {
    if (this.#fault !== undefined) return
    try {
      this.#reader.push(chunk)
      for (let reply = this.#reader.next(); reply !== undefined; reply = this.#reader.next()) {
        if (this.#awaited === 0) {
          // 421 is the one reply that needs no question (RFC 5321 §3.8).
          const kind = reply.code === 421 ? 'lost' : 'nonsense'
          throw new RelayFault(kind, `it spoke out of turn: ${replyInWords(reply)}`)
        }
        this.#awaited--
        this.#replies.push(reply)
      }
      if (this.#awaited === 0 && this.#reader.isAmidReply)
        throw new RelayFault('nonsense', 'it spoke out of turn')
      this.#wake()
    } catch (error) {
      this.#fail(
        error instanceof RelayFault
          ? error
          : new RelayFault('nonsense', 'its reply was not understood', error),
      )
    }
  }

  /** Waits until something is so. @throws RelayFault, not before what came earlier has been heard */
  async #wait(isSo: () => boolean, limit: Until, what: string): Promise<void> {
    while (!isSo()) {
      if (this.#fault !== undefined) throw this.#fault
      const left = limit - performance.now()
      if (left <= 0) {
        this.#fail(new RelayFault('late', `${what} took too long`))
        continue
      }
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.ceil(left))
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }

  #fail(fault: RelayFault, { inOrder = false } = {}): void {
    if (this.#fault !== undefined) return
    this.#fault = fault
    if (inOrder) {
      this.#socket.end('QUIT\r\n')
      const timer = setTimeout(() => this.#socket.destroy(), QUIT_MS).unref()
      this.#socket.once('close', () => clearTimeout(timer))
      // What it still says is read and dropped, so that the closing is no reset.
      this.#socket.resume()
    } else this.#socket.destroy()
    this.#wake()
    this.onGone()
  }
}
