/**
 * Commands of an MTA (mfdef.h, SMFIC_*), out of their frames. Strings end in NUL and are read as UTF-8; bytes that are
 * not become U+FFFD, which no address may hold, so that they never match anybody.
 */
import type { Frame } from './wire.ts'

/** The address family of the client (SMFIA_*). */
export type Family = 'unknown' | 'unix' | 'inet' | 'inet6'

export type Command =
  /** SMFIC_OPTNEG: what the MTA can do. */
  | {
      readonly kind: 'negotiate'
      readonly version: number
      readonly actions: number
      readonly protocol: number
    }
  /** SMFIC_MACRO: macros for the command `of` that follows; `decodeMacros` reads them. */
  | { readonly kind: 'macros'; readonly of: string; readonly data: Buffer }
  /** SMFIC_CONNECT */
  | {
      readonly kind: 'connect'
      readonly host: string
      readonly family: Family
      readonly address: string | undefined
    }
  /** SMFIC_HELO */
  | { readonly kind: 'helo'; readonly name: string }
  /** SMFIC_MAIL, SMFIC_RCPT: the path as the client wrote it, and its ESMTP parameters. */
  | { readonly kind: 'mail' | 'rcpt'; readonly path: string; readonly parameters: readonly string[] }
  /** SMFIC_DATA */
  | { readonly kind: 'data' }
  /** SMFIC_HEADER: folded lines are joined by LF. `size` is in octets, as the field had them on its way here. */
  | { readonly kind: 'header'; readonly name: string; readonly value: string; readonly size: number }
  /** SMFIC_EOH */
  | { readonly kind: 'end-of-headers' }
  /** SMFIC_BODY: so many octets of it. */
  | { readonly kind: 'body'; readonly size: number }
  /** SMFIC_BODYEOB, with the body's last octets, if there are any left. They belong to the frame. */
  | { readonly kind: 'end-of-message'; readonly size: number; readonly data: Buffer }
  /** SMFIC_UNKNOWN: an SMTP command that the MTA does not know. */
  | { readonly kind: 'unknown-command' }
  /** SMFIC_ABORT: the message is over. */
  | { readonly kind: 'abort' }
  /** SMFIC_QUIT */
  | { readonly kind: 'quit' }
  /** SMFIC_QUIT_NC: the SMTP connection is over, and another one follows. */
  | { readonly kind: 'quit-new-connection' }

/** How a frame can be no command, and what the log says of it. */
export const COMMAND_FAULTS = {
  'command-unknown': 'a command is not known',
  'command-malformed': 'the data of a command is malformed',
} as const

export type CommandFault = keyof typeof COMMAND_FAULTS

const NUL = 0
const LF = 10

const FAMILIES: Readonly<Record<string, Family>> = { U: 'unknown', L: 'unix', '4': 'inet', '6': 'inet6' }

/** The only string of a frame. */
function oneString(data: Buffer): string | undefined {
  const end = data.indexOf(NUL)
  return end !== -1 && end === data.length - 1 ? data.toString('utf8', 0, end) : undefined
}

/** Every string of a frame, the last one's NUL included. */
function strings(data: Buffer): string[] | undefined {
  if (data.length === 0 || data[data.length - 1] !== NUL) return undefined
  return data.toString('utf8', 0, data.length - 1).split('\0')
}

function decodeNegotiation(data: Buffer): Command | CommandFault {
  if (data.length < 12) return 'command-malformed'
  return {
    kind: 'negotiate',
    version: data.readUInt32BE(0),
    actions: data.readUInt32BE(4),
    protocol: data.readUInt32BE(8),
  }
}

/** `host NUL family [port address NUL]`: what has no address has no port either. */
function decodeConnect(data: Buffer): Command | CommandFault {
  const end = data.indexOf(NUL)
  const family = FAMILIES[String.fromCharCode(data[end + 1] ?? 0)]
  if (end === -1 || family === undefined) return 'command-malformed'
  const host = data.toString('utf8', 0, end)
  if (family === 'unknown') return { kind: 'connect', host, family, address: undefined }
  const address = data.length < end + 4 ? undefined : oneString(data.subarray(end + 4))
  return address === undefined ? 'command-malformed' : { kind: 'connect', host, family, address }
}

function decodePath(kind: 'mail' | 'rcpt', data: Buffer): Command | CommandFault {
  const found = strings(data)
  if (found === undefined) return 'command-malformed'
  const [path = '', ...parameters] = found
  return { kind, path, parameters }
}

function decodeHeader(data: Buffer): Command | CommandFault {
  const end = data.indexOf(NUL)
  if (end === -1 || end + 1 === data.length || data.indexOf(NUL, end + 1) !== data.length - 1) {
    return 'command-malformed'
  }
  // Two NULs stand for the colon and its space; CR LF at the end is not shown, nor is CR before the LF of a fold.
  let size = data.length + 2
  for (let at = data.indexOf(LF, end); at !== -1; at = data.indexOf(LF, at + 1)) size++
  return {
    kind: 'header',
    name: data.toString('utf8', 0, end),
    value: data.toString('utf8', end + 1, data.length - 1),
    size,
  }
}

function decodeMacroFrame(data: Buffer): Command | CommandFault {
  const of = data[0]
  return of === undefined
    ? 'command-malformed'
    : { kind: 'macros', of: String.fromCharCode(of), data: data.subarray(1) }
}

/** What stands alone must be alone: data where none belongs is from a peer that speaks something else. */
function alone<K extends Command>(frame: Frame, command: K): K | CommandFault {
  return frame.length === 0 ? command : 'command-malformed'
}

/** Reads a command. Text in it is copied, but for macros, whose data belongs to the frame. */
export function decodeCommand(frame: Frame): Command | CommandFault {
  const { data } = frame
  switch (frame.code) {
    case 'O':
      return decodeNegotiation(data)
    case 'D':
      return decodeMacroFrame(data)
    case 'C':
      return decodeConnect(data)
    case 'H': {
      const name = oneString(data)
      return name === undefined ? 'command-malformed' : { kind: 'helo', name }
    }
    case 'M':
      return decodePath('mail', data)
    case 'R':
      return decodePath('rcpt', data)
    case 'T':
      return alone(frame, { kind: 'data' })
    case 'L':
      return decodeHeader(data)
    case 'N':
      return alone(frame, { kind: 'end-of-headers' })
    case 'B':
      return { kind: 'body', size: frame.length }
    case 'E':
      return { kind: 'end-of-message', size: frame.length, data }
    case 'U':
      return { kind: 'unknown-command' }
    case 'A':
      return alone(frame, { kind: 'abort' })
    case 'Q':
      return alone(frame, { kind: 'quit' })
    case 'K':
      return alone(frame, { kind: 'quit-new-connection' })
    default:
      return 'command-unknown'
  }
}
