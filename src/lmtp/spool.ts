/**
 * A message while it arrives and until it is delivered: in memory up to a bound, beyond it in a temporary file that
 * has no name from its first moment, so that nothing of it is left behind whatever becomes of the process.
 *
 * Failures are kept and not thrown: the client is still sending, and hears of them at the end.
 */
import { randomUUID } from 'node:crypto'
import { type FileHandle, mkdir, open, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Message } from '../app/message.ts'

export interface SpoolSettings {
  /** Where messages go that are too big for memory; made if it is not there. */
  readonly directory: string
  /** In octets. */
  readonly memoryLimit: number
}

const READ_OCTETS = 65_536

/** Pieces are joined when there are so many of them: a client that sends octet by octet must not cost a piece each. */
const MAX_PIECES = 64

async function namelessFile(directory: string): Promise<FileHandle> {
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const path = join(directory, `message-${randomUUID()}`)
  const handle = await open(path, 'wx+', 0o600)
  try {
    await unlink(path)
  } catch (error) {
    await handle.close()
    throw error
  }
  return handle
}

export class Spool implements Message {
  readonly #settings: SpoolSettings
  #pieces: Uint8Array[] = []
  /** Of the pieces, those that were joined already. */
  #joined = 0
  #inMemory = 0
  #size = 0
  #file: FileHandle | undefined
  #failure: unknown
  #disposed = false

  constructor(settings: SpoolSettings) {
    this.#settings = settings
  }

  /** In octets. */
  get size(): number {
    return this.#size
  }

  /** Why the message could not be kept, if it could not. */
  get failure(): unknown {
    return this.#failure
  }

  /**
   * Keeps what came. A promise means that it is being written: nothing more may be appended before it is fulfilled.
   * It never rejects.
   */
  append(data: readonly Uint8Array[]): Promise<void> | undefined {
    if (this.#failure !== undefined || this.#disposed) return undefined
    for (const piece of data) {
      this.#pieces.push(piece)
      this.#size += piece.length
      this.#inMemory += piece.length
    }
    if (this.#inMemory > this.#settings.memoryLimit || this.#file !== undefined) return this.#spill()
    if (this.#pieces.length - this.#joined >= MAX_PIECES) {
      const recent = this.#pieces.splice(this.#joined)
      this.#joined = this.#pieces.push(Buffer.concat(recent))
    }
    return undefined
  }

  async #spill(): Promise<void> {
    const bytes = Buffer.concat(this.#pieces)
    this.#forgetMemory()
    try {
      this.#file ??= await namelessFile(this.#settings.directory)
      await this.#file.appendFile(bytes)
    } catch (error) {
      this.#failure = error ?? new Error('the message could not be kept')
      await this.dispose()
    }
    if (this.#disposed) await this.#close()
  }

  async *read(): AsyncGenerator<Uint8Array> {
    if (this.#disposed) throw new Error('the message is not kept any more')
    if (this.#file === undefined) {
      yield* this.#pieces
      return
    }
    for (let position = 0; position < this.#size; ) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_OCTETS, this.#size - position))
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, position)
      if (bytesRead === 0) throw new Error('the spooled message is shorter than what was written')
      position += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
  }

  #forgetMemory(): void {
    this.#pieces = []
    this.#joined = 0
    this.#inMemory = 0
  }

  /** Lets go of everything. May be called at any time and more than once; never rejects. */
  async dispose(): Promise<void> {
    this.#disposed = true
    this.#forgetMemory()
    await this.#close()
  }

  async #close(): Promise<void> {
    const file = this.#file
    this.#file = undefined
    // A file without a name that cannot be closed ends with the process.
    await file?.close().catch(() => {})
  }
}
