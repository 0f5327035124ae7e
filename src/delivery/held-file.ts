/** A held message's file, open: what is said of it, and its octets. */
import { type FileHandle, open } from 'node:fs/promises'
import type { HeldPost } from '../app/held.ts'
import type { Message } from '../app/message.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import { MAX_FIRST_LINE, parseFirstLine, parseMetadata } from './held-format.ts'

const READ_OCTETS = 65_536

/** Reads from a place on until the buffer is full or the file ends. */
async function readAt(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, position + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

export class HeldFile {
  readonly #handle: FileHandle
  readonly post: HeldPost
  readonly message: Message

  private constructor(handle: FileHandle, post: HeldPost, from: number) {
    this.#handle = handle
    this.post = post
    const { size } = post
    this.message = {
      size,
      async *read() {
        for (let at = 0; at < size; ) {
          const piece = await readAt(handle, from + at, Math.min(READ_OCTETS, size - at))
          if (piece.length === 0) throw new Error('the held message has become shorter')
          at += piece.length
          yield piece
        }
      },
    }
  }

  /** Opens a file. A problem if it cannot be understood; rejects with what the file system says. */
  static async open(path: string): Promise<Parsed<HeldFile>> {
    const handle = await open(path, 'r')
    let kept = false
    try {
      const first = parseFirstLine(await readAt(handle, 0, MAX_FIRST_LINE))
      if (!first.ok) return first
      const { from, length } = first.value
      const post = parseMetadata(await readAt(handle, from, length))
      if (!post.ok) return post
      const { size } = await handle.stat()
      const begin = from + length + 1
      if (size !== begin + post.value.size) {
        return problem(`it has ${size - begin} octets of a message of ${post.value.size}`)
      }
      kept = true
      return parsed(new HeldFile(handle, post.value, begin))
    } finally {
      if (!kept) await handle.close()
    }
  }

  close(): Promise<void> {
    return this.#handle.close()
  }
}
