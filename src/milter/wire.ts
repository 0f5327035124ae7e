/**
 * Milter frames (Sendmail's libmilter, mfdef.h): a length in four bytes, network order, which counts what follows it; a
 * command byte; data. Bytes in, frames out, the same for any chunking. The same frames go both ways.
 *
 * A frame's length is checked before its data is waited for. What SMFIC_BODY holds is shown as it passes by, counted, and
 * not kept: a message may be larger than memory.
 */

/** MILTER_MAX_DATA_SIZE: what an MTA may send in one frame, in bytes, unless more is negotiated. */
export const MAX_DATA = 65_535

/** MILTER_MDS_1M: what libmilter takes at most, in bytes, whatever it is told. */
export const HIGHEST_MAX_DATA = 1_048_575

/** SMFIC_BODY, the only frame whose data is not waited for. */
const BODY = 0x42

/** In bytes: the length alone, and with the command byte. */
const LENGTH = 4
const HEAD = 5

const NO_BYTES = Buffer.alloc(0)

/** One frame. */
export interface Frame {
  /** The command byte as a character. */
  readonly code: string
  /** Points into what was pushed; not to be kept. Empty for SMFIC_BODY. */
  readonly data: Buffer
  /** In bytes, of SMFIC_BODY as well. */
  readonly length: number
}

/** How a frame can be none, and what the log says of it. */
export const FRAME_FAULTS = {
  'frame-empty': 'a frame has no command',
  'frame-too-long': 'a frame is too long',
} as const

export type FrameFault = keyof typeof FRAME_FAULTS

/** Finds the frames in a peer's bytes. One reader for each direction of a connection. */
export class FrameReader {
  readonly #maxData: number
  readonly #body: (bytes: Buffer) => void
  /** What was pushed and not yet read lies in `#bytes` from `#at` to `#end`. */
  #bytes: Buffer = NO_BYTES
  #at = 0
  #end = 0
  /** Whether `#bytes` is the reader's own, with room to append. */
  #own = false
  /** Of an SMFIC_BODY frame: its length, and how much of it is still to come. */
  #bodyLength = 0
  #bodyLeft = -1
  #fault: FrameFault | undefined

  /**
   * `body` is shown the data of SMFIC_BODY, in pieces, before the frame that they make; they are not to be kept.
   *
   * @throws RangeError if `maxData` is beyond what libmilter takes
   */
  constructor(maxData: number = MAX_DATA, body: (bytes: Buffer) => void = () => {}) {
    if (!Number.isInteger(maxData) || maxData < 1 || maxData > HIGHEST_MAX_DATA) {
      throw new RangeError(`a milter frame has between 1 and ${HIGHEST_MAX_DATA} bytes of data at most`)
    }
    this.#maxData = maxData
    this.#body = body
  }

  /** Bytes that were pushed and not read. */
  get unread(): number {
    return this.#end - this.#at
  }

  /** Whether a frame has begun and is not all there, or whole ones have not been read. */
  get pending(): boolean {
    return this.#end > this.#at || this.#bodyLeft >= 0
  }

  /** Takes in bytes. They are not copied: see `keep`. */
  push(chunk: Buffer): void {
    const { unread } = this
    if (unread === 0) {
      this.#bytes = chunk
      this.#at = 0
      this.#end = chunk.length
      this.#own = false
      return
    }
    if (!this.#own || this.#bytes.length - this.#end < chunk.length) this.#makeRoom(chunk.length)
    chunk.copy(this.#bytes, this.#end)
    this.#end += chunk.length
  }

  /** Makes what is unread the reader's own, if it is not: the bytes that were pushed may be overwritten then. */
  keep(): void {
    if (this.#end === this.#at) this.#bytes = NO_BYTES
    else if (!this.#own) this.#makeRoom(0)
  }

  /** Moves what is unread to where there is room for so much more. */
  #makeRoom(more: number): void {
    const { unread } = this
    // Twice what is needed, so that a peer that sends byte by byte does not have its bytes copied each time.
    const roomy = Buffer.allocUnsafe(2 * (unread + more))
    this.#bytes.copy(roomy, 0, this.#at, this.#end)
    this.#bytes = roomy
    this.#at = 0
    this.#end = unread
    this.#own = true
  }

  /** The next frame; `undefined` if it is not all there; after a fault that fault for ever. */
  next(): Frame | FrameFault | undefined {
    if (this.#fault !== undefined) return this.#fault
    if (this.#bodyLeft >= 0) return this.#passOver()
    const { unread } = this
    if (unread < LENGTH) return undefined
    const length = this.#bytes.readUInt32BE(this.#at) - 1
    if (length < 0) return this.#broken('frame-empty')
    if (length > this.#maxData) return this.#broken('frame-too-long')
    if (unread < HEAD) return undefined
    const code = this.#bytes[this.#at + LENGTH] as number
    const start = this.#at + HEAD
    if (code === BODY) {
      this.#at = start
      this.#bodyLength = length
      this.#bodyLeft = length
      return this.#passOver()
    }
    if (unread < HEAD + length) return undefined
    this.#at = start + length
    return { code: String.fromCharCode(code), data: this.#bytes.subarray(start, this.#at), length }
  }

  #passOver(): Frame | undefined {
    const here = Math.min(this.#bodyLeft, this.#end - this.#at)
    if (here > 0) this.#body(this.#bytes.subarray(this.#at, this.#at + here))
    this.#at += here
    this.#bodyLeft -= here
    if (this.#bodyLeft > 0) return undefined
    this.#bodyLeft = -1
    return { code: 'B', data: NO_BYTES, length: this.#bodyLength }
  }

  #broken(fault: FrameFault): FrameFault {
    this.#bytes = NO_BYTES
    this.#at = 0
    this.#end = 0
    this.#fault = fault
    return fault
  }
}

/** A frame as on the wire. Strings are encoded as UTF-8 without a NUL at their end. */
export function encodeFrame(code: string, data: Uint8Array | string = NO_BYTES): Buffer {
  const length = typeof data === 'string' ? Buffer.byteLength(data) : data.length
  const frame = Buffer.allocUnsafe(HEAD + length)
  frame.writeUInt32BE(length + 1, 0)
  frame.write(code, LENGTH, 'latin1')
  if (typeof data === 'string') frame.write(data, HEAD)
  else frame.set(data, HEAD)
  return frame
}
