/**
 * Golden transcripts, `test/transcripts/milter/*.txt`: what an MTA sends and what it is answered.
 *
 *     state: lists               the state of world.json; `away` is a store that cannot be reached
 *     hold: quarantine           and other settings of the front
 *     # a comment
 *     > M <a@b.example> | SIZE=1 a command by its letter, its strings parted by ` | `; \n, \\ and \xNN are bytes
 *     > B 1000                   a body by its size
 *     ? 00000001                 bytes in hex, as they are
 *     < c                        answered
 *     ! what the log says        the milter closed the connection; `! closed` without a word
 *     ---                        another connection
 *
 * Playing one gives its text with the answers that came, to be compared with what was expected.
 */
import type { Conduct } from '../../src/milter/question.ts'
import type { Answer } from './mta-wire.ts'
import { command, frame } from './mta-wire.ts'
import type { StateName } from './world.ts'

export interface Settings {
  readonly state: StateName | 'away'
  readonly conduct: Conduct
}

export interface Said {
  readonly answers: readonly Answer[]
  /** What the log says, or `closed`, if the connection was closed. */
  readonly closed: string | undefined
}

/** Somebody who sends bytes on one connection. */
export interface Speaker {
  /** Sends, and gives the answers that come: as many as are said to be expected, or fewer and a closed connection. */
  say(bytes: Buffer, expected: number): Promise<Said>
}

/** The settings in the head of a transcript. */
export function settingsOf(text: string): Settings {
  const setting = (name: string): string | undefined => new RegExp(`^${name}: (.+)$`, 'm').exec(text)?.[1]
  return {
    state: (setting('state') ?? 'lists') as Settings['state'],
    conduct: {
      hold: setting('hold') === 'quarantine' ? 'quarantine' : 'sink',
      traceHeader: setting('trace_header') === 'on',
      countBodies: setting('count_bodies') !== 'off',
      onStoreFailure: (setting('on_store_failure') ?? 'defer') as Conduct['onStoreFailure'],
    },
  }
}

const ESCAPE = /\\(n|t|\\|x[0-9a-f]{2})/g

function bytesIn(text: string): Buffer {
  const parts = text.split(/(\\(?:n|t|\\|x[0-9a-f]{2}))/)
  return Buffer.concat(
    parts.map(part => {
      if (!ESCAPE.test(part)) return Buffer.from(part)
      ESCAPE.lastIndex = 0
      if (part === '\\n') return Buffer.from('\n')
      if (part === '\\t') return Buffer.from('\t')
      return part === '\\\\' ? Buffer.from('\\') : Buffer.from(part.slice(2), 'hex')
    }),
  )
}

/** A line of a transcript as bytes. */
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
    case 'C': {
      const [host = '', family = 'U', address = ''] = strings.map(String)
      return command.connect(host, address, family)
    }
    case 'B':
    case 'E':
      return frame(code, Buffer.alloc(Number(rest || 0), 0x78))
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

function readable(bytes: Buffer): string {
  const text = bytes.toString()
  return Buffer.from(text).equals(bytes)
    ? text
        .replaceAll('\\', '\\\\')
        .replaceAll('\n', '\\n')
        .replaceAll('\t', '\\t')
        .replace(/[\x00-\x1f\x7f]/g, char => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)
    : [...bytes].map(byte => `\\x${byte.toString(16).padStart(2, '0')}`).join('')
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

/** A command that was recorded, as a line; `bytesOf` gives the command back, but for ports and bodies. */
export function lineOf(code: string, data: Buffer): string {
  switch (code) {
    case 'O':
      return `> O ${[0, 4, 8].map(at => data.readUInt32BE(at).toString(16)).join(' ')}`
    case 'D':
      return `> D ${[String.fromCharCode(data[0] ?? 0), nulParts(data.subarray(1))].filter(Boolean).join(' | ')}`
    case 'C': {
      const end = data.indexOf(0)
      const family = String.fromCharCode(data[end + 1] ?? 0)
      return `> C ${[data.toString('utf8', 0, end), family, nulParts(data.subarray(end + 4))].filter(Boolean).join(' | ')}`
    }
    case 'B':
    case 'E':
      return data.length === 0 ? `> ${code}` : `> ${code} ${data.length}`
    default:
      return `> ${code} ${nulParts(data)}`.trimEnd()
  }
}

/**
 * Plays a transcript, with a speaker for each connection. Line by line every answer is found where it was given; otherwise
 * commands are sent together up to the next answer that is expected.
 */
export async function play(
  text: string,
  open: () => Promise<Speaker>,
  options: { readonly lineByLine: boolean },
): Promise<string> {
  const played: string[] = []
  let speaker = await open()
  let sent: Buffer[] = []
  const lines = text.replace(/\n$/, '').split('\n')
  const speak = async (at: number): Promise<void> => {
    if (sent.length === 0) return
    let end = at
    while (/^[<!]/.test(lines[end] ?? '')) end++
    const expected = lines.slice(at, end).filter(line => line.startsWith('<')).length
    const closes = lines.slice(at, end).some(line => line.startsWith('!'))
    const { answers, closed } = await speaker.say(Buffer.concat(sent), closes ? expected + 1 : expected)
    played.push(...answers.map(answer => `< ${answer}`))
    if (closed !== undefined) played.push(`! ${closed}`)
    sent = []
  }
  for (const [index, line] of lines.entries()) {
    if (/^[<!]/.test(line)) {
      await speak(index)
      continue
    }
    if (line === '---') {
      await speak(index)
      speaker = await open()
    }
    played.push(line)
    if (/^[>?]/.test(line)) sent.push(bytesOf(line))
    if (options.lineByLine) await speak(index + 1)
  }
  await speak(lines.length)
  return `${played.join('\n')}\n`
}
