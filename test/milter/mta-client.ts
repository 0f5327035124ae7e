/**
 * An MTA at the milter, played by a test: sends commands, and reads the responses that are due. What is on the wire is
 * checked as strictly as the strictest MTA does it.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Endpoint } from '../../src/app/endpoint.ts'
import { type Answer, command, type FULL_OFFER, isFinal, ResponseReader } from './mta-wire.ts'

export class MtaClient {
  readonly #socket: Socket
  readonly #reader = new ResponseReader()
  readonly #answers: Answer[] = []
  #problem: unknown
  #ended = false
  #wake: () => void = () => {}
  /** Chunks in which the milter's bytes have come. */
  chunks = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('data', chunk => {
      this.chunks++
      try {
        this.#answers.push(...this.#reader.push(chunk as Buffer))
      } catch (error) {
        this.#problem = error
      }
      this.#wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#ended = true
      this.#wake()
    })
  }

  static async open(endpoint: Endpoint): Promise<MtaClient> {
    const socket = connect(
      endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port },
    )
    await once(socket, 'connect')
    return new MtaClient(socket)
  }

  /** Opened, and agreed with the milter. */
  static async negotiated(endpoint: Endpoint, offer?: typeof FULL_OFFER): Promise<MtaClient> {
    const client = await MtaClient.open(endpoint)
    await client.ask(command.negotiate(offer))
    return client
  }

  /** Agreed, and past CONNECT and HELO. */
  static async greeted(endpoint: Endpoint): Promise<MtaClient> {
    const client = await MtaClient.negotiated(endpoint)
    await client.ask(command.connect('mx.example.net', '192.0.2.1'))
    await client.ask(command.helo('mx.example.net'))
    return client
  }

  /** Sends bytes, as they are. */
  send(...bytes: readonly Buffer[]): void {
    this.#socket.write(Buffer.concat(bytes))
  }

  /** Sends bytes no faster than they are taken. */
  pour(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, error => (error == null ? resolve() : reject(error)))
    })
  }

  /** The next response; `undefined` if the milter has closed the connection. */
  async answer(): Promise<Answer | undefined> {
    for (;;) {
      if (this.#problem !== undefined) throw this.#problem
      const answer = this.#answers.shift()
      if (answer !== undefined) return answer
      if (this.#ended) return undefined
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Sends commands of which the last one is answered, and gives what comes up to the final response. */
  async ask(...bytes: readonly Buffer[]): Promise<readonly Answer[]> {
    this.send(...bytes)
    const answers: Answer[] = []
    for (;;) {
      const answer = await this.answer()
      if (answer === undefined) return [...answers, 'closed']
      answers.push(answer)
      if (isFinal(answer)) return answers
    }
  }

  /** Responses that have come and were not read. */
  get unread(): readonly Answer[] {
    return this.#answers
  }

  /** Stops reading: the milter's answers stay where they are. */
  pause(): void {
    this.#socket.pause()
  }

  /** Resolves when the milter has closed the connection. */
  async closed(): Promise<void> {
    while (!this.#ended) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
  }

  /** Breaks off. */
  destroy(): void {
    this.#socket.destroy()
  }
}
