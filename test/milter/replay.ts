/**
 * Plays the MTA's side of a recorded conversation against a milter, and gives the conversation as it was with that one. An
 * answer that does not come is left out; one too many is found where the milter closes, or the MTA hangs up.
 *
 *     npx tsx test/milter/replay.ts conversation.txt unix:/run/postern/milter | diff conversation.txt -
 */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'
import { type Endpoint, parseEndpoint } from '../../src/app/endpoint.ts'
import { answerLineOf, FrameSplitter } from './lines.ts'
import { play, type Said, type Speaker } from './transcript.ts'

/** For an answer, in milliseconds. */
const PATIENCE = 5_000

/** An MTA that takes any frame for an answer. */
class Player implements Speaker {
  readonly #socket: Socket
  readonly #splitter = new FrameSplitter()
  #lines: string[] = []
  #closed = false
  #wake: () => void = () => {}

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', chunk => {
      const frames = this.#splitter.push(chunk as Buffer)
      this.#lines.push(...frames.map(({ code, data }) => answerLineOf(code, data).slice('< '.length)))
      this.#wake()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#closed = true
      this.#wake()
    })
  }

  static async open(endpoint: Endpoint): Promise<Player> {
    const socket = connect(
      endpoint.kind === 'unix' ? { path: endpoint.path } : { host: endpoint.host, port: endpoint.port },
    )
    await once(socket, 'connect')
    return new Player(socket)
  }

  async say(bytes: Buffer, expected: number): Promise<Said> {
    this.#socket.write(bytes)
    await this.#until(() => this.#lines.length >= expected)
    const answers = this.#lines.splice(0, expected)
    const isClosed = this.#closed && answers.length < expected
    return { answers, closed: isClosed ? 'closed' : undefined }
  }

  async hangUp(): Promise<readonly string[]> {
    this.#socket.end()
    await this.#until(() => false)
    return this.#lines.splice(0)
  }

  /** Resolves when it is so, or the milter has closed, or does nothing for too long. */
  async #until(isSo: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE
    while (!isSo() && !this.#closed && performance.now() < deadline) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, deadline - performance.now())
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

/** Plays a transcript against the milter at `endpoint`; the same comes back if it answers the same. */
export function replay(transcript: string, endpoint: Endpoint): Promise<string> {
  return play(transcript, () => Player.open(endpoint), { lineByLine: false })
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [, , file = '', milter = ''] = process.argv
  const endpoint = parseEndpoint(milter)
  if (endpoint.ok) process.stdout.write(await replay(readFileSync(file, 'utf8'), endpoint.value))
  else {
    process.stderr.write(`replay: ${endpoint.problem}\nreplay FILE MILTER, with HOST:PORT or unix:/path\n`)
    process.exitCode = 64
  }
}
