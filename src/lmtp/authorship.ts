/**
 * Who wrote a message, by its header (RFC 5322 §3.6.2): the mailboxes of From:, Sender: and Reply-To:. Everything
 * here is the writer's claim; the law decides what it is worth.
 *
 * Encoded words (RFC 2047) belong to display names and never make an address, though the address parser would read
 * addresses out of them. All fields of a name count, and all mailboxes of each: a message with two From: fields has
 * the authors of both.
 */
import { addressParser } from 'postal-mime'
import { type Address, parseAddress } from '../core/address.ts'
import type { Authorship } from '../core/transaction.ts'

/**
 * Of all three fields together, in characters. A header with more than this has no author at all: cutting an address list
 * anywhere could make another address of one.
 */
export const MAX_ADDRESS_TEXT = 8192

const NOBODY: Authorship = { from: [], all: [] }

const FIELD = /^(from|sender|reply-to)[ \t]*:/i

/** A lone surrogate: decoding UTF-8 never gives one, so it stands for `=?` alone. */
const ENCODED_WORD_BEGIN = '=?'
const DISGUISED_BEGIN = '\ud800'

/** The fields of a header section, unfolded, in order. Line ends are CR LF or LF. */
function* unfolded(header: string): Generator<string> {
  let field: string | undefined
  for (const line of header.split('\n')) {
    const text = line.endsWith('\r') ? line.slice(0, -1) : line
    if (field !== undefined && /^[ \t]/.test(text)) field += text
    else {
      if (field !== undefined) yield field
      field = FIELD.test(text) ? text : undefined
    }
  }
  if (field !== undefined) yield field
}

function mailboxesOf(value: string): readonly Address[] {
  const disguised = value.replaceAll(ENCODED_WORD_BEGIN, DISGUISED_BEGIN)
  return addressParser(disguised, { flatten: true }).flatMap(mailbox => {
    const address = parseAddress((mailbox.address ?? '').replaceAll(DISGUISED_BEGIN, ENCODED_WORD_BEGIN))
    return address.ok ? [address.value] : []
  })
}

/** Reads the authorship from a header section. What is no address is passed over; nothing here throws. */
export function authorshipOf(header: Uint8Array): Authorship {
  const found = { from: [] as Address[], others: [] as Address[] }
  let length = 0
  for (const field of unfolded(new TextDecoder().decode(header))) {
    const colon = field.indexOf(':')
    const name = field.slice(0, colon).trimEnd().toLowerCase()
    const value = field.slice(colon + 1)
    length += value.length
    if (length > MAX_ADDRESS_TEXT) return NOBODY
    found[name === 'from' ? 'from' : 'others'].push(...mailboxesOf(value))
  }
  return { from: found.from, all: [...found.from, ...found.others] }
}
