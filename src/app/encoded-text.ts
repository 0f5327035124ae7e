/**
 * Text in fields of a header that is not written as itself: encoded words (RFC 2047), which many put into a file's name
 * though they do not belong there, and percent-encoded values (RFC 2231 §4).
 */

/** Bytes as text. An unknown character set is read as Latin-1, in which ASCII is itself. */
export function decodeBytes(bytes: Uint8Array, charset: string): string {
  try {
    return new TextDecoder(charset).decode(bytes)
  } catch {
    return new TextDecoder('latin1').decode(bytes)
  }
}

/** Bytes that are written as themselves or as `%41`. */
export function percentDecoded(text: string): Buffer {
  return bytesOf(text, /%([0-9a-f]{2})/gi)
}

function bytesOf(text: string, escapes: RegExp): Buffer {
  const bytes: Buffer[] = []
  let from = 0
  for (const match of text.matchAll(escapes)) {
    bytes.push(Buffer.from(text.slice(from, match.index)), Buffer.from([Number.parseInt(match[1] ?? '', 16)]))
    from = match.index + match[0].length
  }
  bytes.push(Buffer.from(text.slice(from)))
  return Buffer.concat(bytes)
}

const ENCODED_WORD = /=\?([^?\s]{1,60})\?([bq])\?([^?]*)\?=/gi

/** Text with its encoded words decoded, wherever they stand; white space between two of them is none. */
export function withoutEncodedWords(text: string): string {
  if (!text.includes('=?')) return text
  let decoded = ''
  let from = 0
  for (const match of text.matchAll(ENCODED_WORD)) {
    const [whole, charset = '', encoding = '', content = ''] = match
    const between = text.slice(from, match.index)
    if (from === 0 || between.trim() !== '') decoded += between
    const bytes =
      encoding.toLowerCase() === 'b'
        ? Buffer.from(content, 'base64')
        : bytesOf(content.replaceAll('_', ' '), /=([0-9a-f]{2})/gi)
    // A language may follow the character set (RFC 2231 §5).
    decoded += decodeBytes(bytes, charset.replace(/\*.*/, ''))
    from = match.index + whole.length
  }
  return decoded + text.slice(from)
}
