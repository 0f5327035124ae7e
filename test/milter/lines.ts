/**
 * Milter frames as lines of a transcript (`transcript.ts`). What an MTA sends can be read back from its line to the byte;
 * so can what a milter answers: a frame that its line would not give back stands there in hex.
 */
import { command, frame, readResponse, responseFrame } from './mta-wire.ts'

/** The port of clients whose line names none. */
export const PORT = 39_788

/** So many bytes x and more at the beginning of a body are written by their number. */
const LONG = 16

const X = 0x78

/** Bytes as text: `\n`, `\t`, `\\` and `\xNN` are bytes. */
function readable(bytes: Buffer): string {
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes)
    ? text
        .replaceAll('\\', '\\\\')
        .replaceAll('\n', '\\n')
        .replaceAll('\t', '\\t')
        .replaceAll(' | ', ' \\x7c ')
        .replace(/[\x00-\x1f\x7f]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
    : [...bytes].map(byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
}

function bytesIn(text: string): Buffer {
  const parts = text.split(/(\\(?:n|t|\\|x[0-9a-f]{2}))/)
  return Buffer.concat(
    parts.map((part, at) => {
      if (at % 2 === 0) return Buffer.from(part)
      if (part === '\\n') return Buffer.from('\n')
      if (part === '\\t') return Buffer.from('\t')
      return part === '\\\\' ? Buffer.from('\\') : Buffer.from(part.slice(2), 'hex')
    }),
  )
}

function nulParts(data: Buffer): string {
  const parts: string[] = []
  for (let at = 0; at < data.length; ) {
    const end = data.indexOf(0, at)
    parts.push(readable(data.subarray(at, end === -1 ? data.length : end)))
    at = end === -1 ? data.length : end + 1
  }
  return parts.join(' | ')
}

function connectFrame([host = Buffer.alloc(0), family = 'U', address, port]: readonly (
  | Buffer
  | string
)[]): Buffer {
  const name = String(family)
  const place = Buffer.alloc(2)
  place.writeUInt16BE(Number(port ?? PORT))
  const end = Buffer.alloc(1)
  return frame(
    'C',
    Buffer.concat([
      Buffer.from(host),
      end,
      Buffer.from(name),
      ...(name === 'U' ? [] : [place, Buffer.from(address ?? ''), end]),
    ]),
  )
}

/** `1000`, `"Hello"`, or `1000 "Hello"`: bytes x by their number, and what comes after them. */
function bodyIn(text: string): Buffer {
  const [, count = '', more = ''] = /^(\d*) ?(?:"(.*)")?$/.exec(text) ?? []
  return Buffer.concat([Buffer.alloc(Number(count), X), bytesIn(more)])
}

function spelledBody(data: Buffer): string {
  const other = data.findIndex(byte => byte !== X)
  const count = other === -1 ? data.length : other
  if (count < LONG) return `"${readable(data)}"`
  return count === data.length ? String(count) : `${count} "${readable(data.subarray(count))}"`
}

/** The bytes of a line that an MTA says, `> …` or `? …`. */
export function bytesOf(line: string): Buffer {
  if (line.startsWith('? ')) return Buffer.from(line.slice(2).replaceAll(' ', ''), 'hex')
  const code = line[2] ?? ''
  const rest = line.slice(4)
  const strings = rest === '' ? [] : rest.split(' | ').map(bytesIn)
  const nulEnded = Buffer.concat(strings.map(string => Buffer.concat([string, Buffer.from([0])])))
  switch (code) {
    case 'O': {
      const [version = 6, actions = 0, protocol = 0] = rest.split(' ').map(word => Number.parseInt(word, 16))
      return command.negotiate({ version, actions, protocol })
    }
    case 'D':
      return frame(
        'D',
        Buffer.concat([Buffer.from(rest[0] ?? ''), nulEnded.subarray((strings[0]?.length ?? 0) + 1)]),
      )
    case 'C':
      return connectFrame(strings.map((string, at) => (at === 0 || at === 2 ? string : String(string))))
    case 'B':
    case 'E':
      return frame(code, bodyIn(rest))
    case 'T':
    case 'N':
    case 'A':
    case 'Q':
    case 'K':
      return frame(code)
    default:
      return frame(code, nulEnded)
  }
}

function spelled(code: string, data: Buffer): string {
  if (data.length === 0) return `> ${code}`
  switch (code) {
    case 'O':
      if (data.length !== 12) return ''
      return `> O ${[0, 4, 8].map(at => data.readUInt32BE(at).toString(16)).join(' ')}`
    case 'D':
      return `> D ${[String.fromCharCode(data[0] ?? 0), ...(data.length > 1 ? [nulParts(data.subarray(1))] : [])].join(' | ')}`
    case 'C': {
      const end = data.indexOf(0)
      const host = readable(data.subarray(0, Math.max(end, 0)))
      const family = String.fromCharCode(data[end + 1] ?? 0)
      if (data.length < end + 4) return `> C ${host} | ${family}`
      const port = data.readUInt16BE(end + 2)
      const place = [nulParts(data.subarray(end + 4)), ...(port === PORT ? [] : [port])]
      return `> C ${[host, family, ...place].join(' | ')}`
    }
    case 'B':
    case 'E':
      return `> ${code} ${spelledBody(data)}`
    default:
      return `> ${code} ${nulParts(data)}`
  }
}

/** The line of a frame that an MTA sent; `bytesOf` gives the frame back. */
export function lineOf(code: string, data: Buffer): string {
  const bytes = frame(code, data)
  const line = spelled(code, data)
  const isLine = line !== '' && !/[\r\n]/.test(line) && bytesOf(line).equals(bytes)
  return isLine ? line : `? ${bytes.toString('hex')}`
}

/** The bytes of a line that a milter answers, `< …` or `< ? …`. */
export function answerBytesOf(line: string): Buffer {
  const bytes = line.startsWith('< ? ') ? Buffer.from(line.slice(4), 'hex') : responseFrame(line.slice(2))
  if (bytes === undefined) throw new Error(`no answer: ${line}`)
  return bytes
}

/** The line of a frame that a milter answered; `answerBytesOf` gives the frame back. */
export function answerLineOf(code: string, data: Buffer): string {
  const bytes = frame(code, data)
  try {
    const answer = readResponse(code, data)
    if (!/[\r\n]/.test(answer) && responseFrame(answer)?.equals(bytes) === true) return `< ${answer}`
  } catch {
    // No answer that an MTA would take.
  }
  return `< ? ${bytes.toString('hex')}`
}

/** The frames in a stream of bytes, of either side. */
export class FrameSplitter {
  #left: Buffer = Buffer.alloc(0)

  push(chunk: Buffer): { readonly code: string; readonly data: Buffer }[] {
    this.#left = Buffer.concat([this.#left, chunk])
    const frames: { readonly code: string; readonly data: Buffer }[] = []
    while (this.#left.length >= 5) {
      const end = 4 + this.#left.readUInt32BE(0)
      if (end < 5) throw new Error('a frame has no command')
      if (this.#left.length < end) break
      frames.push({ code: String.fromCharCode(this.#left[4] ?? 0), data: this.#left.subarray(5, end) })
      this.#left = this.#left.subarray(end)
    }
    return frames
  }

  /** What is there of a frame that is not whole. */
  get rest(): Buffer {
    return this.#left
  }
}
