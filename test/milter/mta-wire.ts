/**
 * The MTA's side of the milter protocol, for tests: commands into bytes and responses out of them, written from mfdef.h and
 * apart from the code under test.
 */

/** A command as an MTA sends it. */
export function frame(code: string, data: Uint8Array | string = ''): Buffer {
  const bytes = Buffer.from(data as string)
  const head = Buffer.alloc(5)
  head.writeUInt32BE(bytes.length + 1)
  head[4] = code.charCodeAt(0)
  return Buffer.concat([head, bytes])
}

const words = (...parts: readonly string[]): string => parts.map(part => `${part}\0`).join('')

function numbers(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, 4 * index)
  return bytes
}

/** What Postfix 3.7 and Sendmail 8.17 offer. */
export const FULL_OFFER = { version: 6, actions: 0x1ff, protocol: 0x1fffff } as const

/** Makers of commands. */
export const command = {
  negotiate: (offer: { version: number; actions: number; protocol: number } = FULL_OFFER): Buffer =>
    frame('O', numbers(offer.version, offer.actions, offer.protocol)),
  macros: (of: string, macros: Readonly<Record<string, string>> = {}): Buffer =>
    frame('D', of + words(...Object.entries(macros).flat())),
  connect: (host: string, address = '127.0.0.1', family = '4'): Buffer =>
    frame(
      'C',
      Buffer.concat([
        Buffer.from(`${host}\0${family}`),
        ...(family === 'U' ? [] : [Buffer.from([0x9b, 0x6c]), Buffer.from(`${address}\0`)]),
      ]),
    ),
  helo: (name: string): Buffer => frame('H', words(name)),
  mail: (path: string, ...parameters: readonly string[]): Buffer => frame('M', words(path, ...parameters)),
  rcpt: (path: string, ...parameters: readonly string[]): Buffer => frame('R', words(path, ...parameters)),
  data: (): Buffer => frame('T'),
  header: (name: string, value: string): Buffer => frame('L', words(name, value)),
  endOfHeaders: (): Buffer => frame('N'),
  body: (data: Uint8Array | string): Buffer => frame('B', data),
  endOfMessage: (data: Uint8Array | string = ''): Buffer => frame('E', data),
  unknown: (text: string): Buffer => frame('U', words(text)),
  abort: (): Buffer => frame('A'),
  quit: (): Buffer => frame('Q'),
  quitNewConnection: (): Buffer => frame('K'),
} as const

/** A response, taken apart as far as a reader wants to see it: `c`, `y 550 5.7.2 No`, `- <a@b>`. */
export type Answer = string

const BARE = 'acdfprst4'

function nulEnded(data: Buffer): string[] {
  if (data.length === 0 || data[data.length - 1] !== 0)
    throw new Error(`no NUL at the end: ${data.toString('hex')}`)
  return data.toString('latin1', 0, data.length - 1).split('\0')
}

/** What Postfix takes for a reply: RFC 5321 lines, all with the same code, enhanced codes of its class. */
const REPLY =
  /^([45]\d\d)(?:-(?:[45])\.\d{1,3}\.\d{1,3} [^\r\n\0]*\r\n\1)*? [45]\.\d{1,3}\.\d{1,3} [^\r\n\0]*$/

/** Reads one response, as strictly as the strictest MTA. */
export function readResponse(code: string, data: Buffer): Answer {
  if (BARE.includes(code)) {
    if (data.length > 0) throw new Error(`data after ${code}`)
    return code
  }
  switch (code) {
    case 'O': {
      const [version, actions, protocol] = [0, 4, 8].map(at => data.readUInt32BE(at).toString(16))
      let text = `O ${version} ${actions} ${protocol}`
      for (let at = 12; at < data.length; ) {
        const end = data.indexOf(0, at + 4)
        if (end === -1) throw new Error('a macro list has no NUL')
        text += ` | ${data.readUInt32BE(at)} ${data.toString('latin1', at + 4, end)}`
        at = end + 1
      }
      return text
    }
    case 'y': {
      const [text = '', ...more] = nulEnded(data)
      const lines = text.split('\r\n')
      const classes = lines.flatMap(line => [line[0], line[4]])
      if (more.length > 0 || !REPLY.test(text) || new Set(classes).size !== 1) {
        throw new Error(`malformed reply code: ${JSON.stringify(text)}`)
      }
      return `y ${text.replaceAll('\r\n', ' // ')}`
    }
    case 'i':
    case 'm':
      return `${code} ${data.readUInt32BE(0)} ${nulEnded(data.subarray(4)).join(': ')}`
    case 'h':
      return `h ${nulEnded(data).join(': ')}`
    case '-':
    case '+':
    case '2':
    case 'e':
    case 'q':
      return `${code} ${nulEnded(data).join(' ')}`
    default:
      throw new Error(`no response that an MTA knows: ${JSON.stringify(code)}`)
  }
}

/** The frame of a response that `readResponse` has read; `undefined` where its words could be those of several. */
export function responseFrame(answer: Answer): Buffer | undefined {
  const code = answer[0] ?? ''
  const rest = answer.slice(2)
  const nul = (text: string): Buffer => Buffer.from(`${text}\0`, 'latin1')
  const field = (text: string): Buffer => nul(text.replace(': ', '\0'))
  switch (code) {
    case 'O': {
      const [options = '', ...lists] = rest.split(' | ')
      const macros = lists.map(list => {
        const [, where = '', names = ''] = /^(\d+) (.*)$/.exec(list) ?? []
        return Buffer.concat([numbers(Number(where)), nul(names)])
      })
      const words = options.split(' ').map(word => Number.parseInt(word, 16))
      return frame('O', Buffer.concat([numbers(...words), ...macros]))
    }
    case 'y':
      return frame('y', nul(rest.replaceAll(' // ', '\r\n')))
    case 'i':
    case 'm': {
      const [, index = '', text = ''] = /^(\d+) (.*)$/.exec(rest) ?? []
      return frame(code, Buffer.concat([numbers(Number(index)), field(text)]))
    }
    case 'h':
      return frame('h', field(rest))
    case '-':
    case '+':
    case 'q':
      return frame(code, nul(rest))
    default:
      return BARE.includes(code) ? frame(code) : undefined
  }
}

/** Whether a response ends what a command asked for. */
export function isFinal(answer: Answer): boolean {
  return /^[acdrstyO4f]/.test(answer)
}

/** The responses in a stream of bytes. */
export class ResponseReader {
  #left: Buffer = Buffer.alloc(0)

  push(chunk: Buffer): Answer[] {
    this.#left = Buffer.concat([this.#left, chunk])
    const answers: Answer[] = []
    while (this.#left.length >= 5) {
      const length = this.#left.readUInt32BE(0)
      if (length === 0) throw new Error('a response of no length')
      if (this.#left.length < 4 + length) break
      answers.push(readResponse(String.fromCharCode(this.#left[4]!), this.#left.subarray(5, 4 + length)))
      this.#left = this.#left.subarray(4 + length)
    }
    return answers
  }

  get isEmpty(): boolean {
    return this.#left.length === 0
  }
}
