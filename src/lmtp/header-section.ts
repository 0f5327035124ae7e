/**
 * The header section of a message (RFC 5322 §2.1): what stands before the first empty line.
 */
import type { Message } from '../app/message.ts'

/** In octets. What of a header goes beyond is not looked at. */
export const MAX_HEADER_OCTETS = 262_144

const LF = 10
const CR = 13

/** The lines before the first empty one, or all whole lines of what was read if there is none. */
function headerOf(bytes: Buffer, isWhole: boolean): Uint8Array {
  let start = 0
  while (start < bytes.length) {
    if (bytes[start] === LF || (bytes[start] === CR && bytes[start + 1] === LF)) break
    const end = bytes.indexOf(LF, start)
    if (end === -1) return isWhole ? bytes : bytes.subarray(0, start)
    start = end + 1
  }
  return bytes.subarray(0, start)
}

/**
 * Reads the header section, without the empty line. Of one longer than `MAX_HEADER_OCTETS` a last line that may not
 * be whole is left out.
 */
export async function readHeaderSection(message: Message): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of message.read()) {
    chunks.push(chunk)
    length += chunk.length
    if (length >= MAX_HEADER_OCTETS) break
  }
  return headerOf(Buffer.concat(chunks).subarray(0, MAX_HEADER_OCTETS), length <= MAX_HEADER_OCTETS)
}
