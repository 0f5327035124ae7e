/**
 * What a moderator is shown of a held message: Subject: and From: decoded (RFC 2047), Message-ID:. Read from the
 * beginning of the header only, cut, and made harmless: nothing in it can move a terminal's cursor or turn a line's
 * direction.
 */
import { addressParser, decodeWords } from 'postal-mime'
import type { HeldSummary } from '../app/held.ts'
import type { Message } from '../app/message.ts'
import { shownText } from '../app/shown-text.ts'
import { type Address, parseAddress } from '../core/address.ts'

/** In octets: what of a message is looked at. */
const MAX_LOOKED_AT = 65_536

/** In characters: what of a field is decoded. */
const MAX_DECODED = 4096

const MAX_AUTHORS = 5

/** The first field of a name, unfolded. */
function fieldOf(header: string, name: string): string {
  const match = new RegExp(`(?:^|\\n)${name}[ \\t]*:([^\\n]*(?:\\n[ \\t][^\\n]*)*)`, 'i').exec(header)
  return (match?.[1] ?? '').replace(/\r?\n/g, '').replace(/\r/g, '').trim().slice(0, MAX_DECODED)
}

function decoded(text: string): string {
  try {
    return decodeWords(text)
  } catch {
    // Words that say what they are not.
    return text
  }
}

/** Encoded words make no address (RFC 2047 §5). */
function authorsOf(from: string): readonly Address[] {
  const mailboxes = addressParser(from.replaceAll('=?', '\ud800'), { flatten: true })
  return mailboxes.slice(0, MAX_AUTHORS).flatMap(mailbox => {
    const address = parseAddress((mailbox.address ?? '').replaceAll('\ud800', '=?'))
    return address.ok ? [address.value] : []
  })
}

/** The header, or its beginning. Octets that are not UTF-8 become replacement characters. */
async function headerOf(message: Message): Promise<string> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of message.read()) {
    pieces.push(piece)
    length += piece.length
    if (length >= MAX_LOOKED_AT) break
  }
  const text = new TextDecoder().decode(Buffer.concat(pieces).subarray(0, MAX_LOOKED_AT))
  const end = /(?:^|\n)\r?\n/.exec(text)
  return end === null ? text : text.slice(0, end.index + 1)
}

/** RFC 3834 §2 and §5, and what older machines say. */
function isAutomatic(header: string): boolean {
  const says = fieldOf(header, 'auto-submitted').toLowerCase()
  const precedence = fieldOf(header, 'precedence').toLowerCase()
  return (says !== '' && !/^no\b/.test(says)) || /^(?:bulk|list|junk|auto_reply)\b/.test(precedence)
}

/** Reads what is shown of a message. */
export async function summaryOf(message: Message): Promise<HeldSummary> {
  const header = await headerOf(message)
  const from = fieldOf(header, 'from')
  const messageId = fieldOf(header, 'message-id')
  return {
    subject: shownText(decoded(fieldOf(header, 'subject'))),
    author: shownText(decoded(from)),
    authors: authorsOf(from),
    automatic: isAutomatic(header),
    messageId: /^<[\x21-\x3b\x3d\x3f-\x7e]{1,250}>$/.test(messageId) ? messageId : '',
  }
}
