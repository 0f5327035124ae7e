/**
 * What the law sees of a message that is there: its header (RFC 5322 §2.2), whom it names, and what its parts are
 * (RFC 2045). Never its text. Whoever reads the message keeps to the limits here, and says where it had to stop.
 */
import type { AddressKey } from './address.ts'

/** What a list may do about a message's content. `accept` is to let it be. */
export const CONTENT_ACTIONS = ['accept', 'hold', 'reject', 'discard'] as const
export type ContentAction = (typeof CONTENT_ACTIONS)[number]

/** A field of the header. */
export interface HeaderField {
  /** In lower case. */
  readonly name: string
  /** Unfolded, without white space at its ends. Encoded words are as they came. */
  readonly value: string
}

/** The mailboxes that To: and Cc: name. */
export interface Destinations {
  /** How many, each time one is named. */
  readonly count: number
  /** Whether there were more than are looked at, so that neither their number nor their names are known. */
  readonly tooMany: boolean
  /** Which, as far as they were counted. */
  readonly named: ReadonlySet<AddressKey>
}

/** A part of a message that holds data of its own (no `multipart`, and no `message/rfc822`, whose parts count). */
export interface MessagePart {
  /** `type/subtype` in lower case; `text/plain` where nothing is said (RFC 2045 §5.2). */
  readonly type: string
  /** What follows the last dot of the file's name, in lower case; absent without a name or a dot. */
  readonly extension?: string
}

/** The parts of a message. */
export interface MessageParts {
  readonly parts: readonly MessagePart[]
  /** Whether there were more parts, or deeper ones, than are looked at; a message nobody can judge. */
  readonly tooMany: boolean
}

/** What is known of a message beside its size and its authors. */
export interface MessageContent {
  readonly fields: readonly HeaderField[]
  /** Whether the header was larger, or had more fields, than is looked at. */
  readonly headerTooLarge: boolean
  /** Worked out when it is first asked for: few lists look at it. */
  readonly destinations: Destinations
  /** Absent where the body was not looked at: no list of the message asks for it. */
  readonly parts?: MessageParts
}

/** In octets, of all fields together. Sendmail's MaxHeadersLength is 32 kB, Exim's header_maxsize 1 MB. */
export const MAX_HEADER_SIZE = 262_144
/** Fields of one header. */
export const MAX_HEADER_FIELDS = 2000
/** In characters, of To: and Cc: together: some 800 mailboxes. */
export const MAX_DESTINATION_TEXT = 32_768
/** Parts that are looked at, and how deep one may be in others. */
export const MAX_PARTS = 500
export const MAX_PART_DEPTH = 30

/** The values of every field of a name, which is in lower case. */
export function valuesOf({ fields }: MessageContent, name: string): readonly string[] {
  return fields.filter(field => field.name === name).map(({ value }) => value)
}
