/**
 * Responses of a filter (mfdef.h, SMFIR_*), into their frames. A command of the MTA is answered by one final response.
 * Modifications may precede the one to SMFIC_BODYEOB, and signs of life any.
 */
import type { ReplyCode } from './reply-code.ts'
import { encodeFrame } from './wire.ts'

/** What becomes of the command, the message or the connection. */
export type FinalResponse =
  /** SMFIR_CONTINUE */
  | { readonly kind: 'continue' }
  /** SMFIR_ACCEPT: no more questions about this message, or about this connection at CONNECT and HELO. */
  | { readonly kind: 'accept' }
  /** SMFIR_REJECT: refused for good, in the MTA's words. */
  | { readonly kind: 'reject' }
  /** SMFIR_TEMPFAIL: refused for now, in the MTA's words. */
  | { readonly kind: 'tempfail' }
  /** SMFIR_DISCARD: taken, and dropped without a word. */
  | { readonly kind: 'discard' }
  /** SMFIR_REPLYCODE: refused in our words. */
  | { readonly kind: 'reply-code'; readonly text: ReplyCode }
  /** SMFIR_SKIP: no more of the body. */
  | { readonly kind: 'skip' }

/** A change to the message. Legal in answer to SMFIC_BODYEOB only. */
export type Modification =
  /** SMFIR_ADDHEADER: at the end. */
  | { readonly kind: 'add-header'; readonly name: string; readonly value: string }
  /** SMFIR_INSHEADER: 0 is the top. */
  | {
      readonly kind: 'insert-header'
      readonly index: number
      readonly name: string
      readonly value: string
    }
  /** SMFIR_CHGHEADER: the field of that name, counted from 1; an empty value removes it. */
  | {
      readonly kind: 'change-header'
      readonly index: number
      readonly name: string
      readonly value: string
    }
  /** SMFIR_CHGFROM, with ESMTP parameters. */
  | { readonly kind: 'change-sender'; readonly path: string; readonly parameters?: string }
  /** SMFIR_ADDRCPT, or SMFIR_ADDRCPT_PAR if there are parameters. */
  | { readonly kind: 'add-recipient'; readonly path: string; readonly parameters?: string }
  /** SMFIR_DELRCPT */
  | { readonly kind: 'delete-recipient'; readonly path: string }
  /** SMFIR_REPLBODY: the first, or more of it. */
  | { readonly kind: 'replace-body'; readonly data: Uint8Array }
  /** SMFIR_QUARANTINE: all of it, for a reason of one line. */
  | { readonly kind: 'quarantine'; readonly reason: string }

export type Response =
  | FinalResponse
  | Modification
  /** SMFIR_PROGRESS: not ready yet, and alive. */
  | { readonly kind: 'progress' }
  /** SMFIR_SHUTDOWN, SMFIR_CONN_FAIL: end the SMTP session. */
  | { readonly kind: 'shutdown' | 'connection-failed' }

const NUL = '\0'

/** Responses that are one byte, always the same. Anything after it is a protocol error. */
const BARE = {
  continue: encodeFrame('c'),
  accept: encodeFrame('a'),
  reject: encodeFrame('r'),
  tempfail: encodeFrame('t'),
  discard: encodeFrame('d'),
  skip: encodeFrame('s'),
  progress: encodeFrame('p'),
  shutdown: encodeFrame('4'),
  'connection-failed': encodeFrame('f'),
} as const

/** Strings with a NUL after each. A NUL inside one would make two of it: that is a bug. */
function strings(...parts: readonly string[]): string {
  for (const part of parts) if (part.includes(NUL)) throw new Error('a milter string cannot hold a NUL')
  return parts.map(part => part + NUL).join('')
}

function indexed(index: number, text: string): Buffer {
  const number = Buffer.alloc(4)
  number.writeUInt32BE(index)
  return Buffer.concat([number, Buffer.from(text)])
}

/** A response as on the wire. */
export function encodeResponse(response: Response): Buffer {
  switch (response.kind) {
    case 'continue':
    case 'accept':
    case 'reject':
    case 'tempfail':
    case 'discard':
    case 'skip':
    case 'progress':
    case 'shutdown':
    case 'connection-failed':
      return BARE[response.kind]
    case 'reply-code':
      return encodeFrame('y', strings(response.text))
    case 'add-header':
      return encodeFrame('h', strings(response.name, response.value))
    case 'insert-header':
      return encodeFrame('i', indexed(response.index, strings(response.name, response.value)))
    case 'change-header':
      return encodeFrame('m', indexed(response.index, strings(response.name, response.value)))
    case 'change-sender':
      return encodeFrame('e', strings(response.path, ...optional(response.parameters)))
    case 'add-recipient':
      return response.parameters === undefined
        ? encodeFrame('+', strings(response.path))
        : encodeFrame('2', strings(response.path, response.parameters))
    case 'delete-recipient':
      return encodeFrame('-', strings(response.path))
    case 'replace-body':
      return encodeFrame('b', response.data)
    case 'quarantine':
      return encodeFrame('q', strings(response.reason))
  }
}

function optional(text: string | undefined): readonly string[] {
  return text === undefined ? [] : [text]
}
