/**
 * The authors of a message out of its header section: finds the fields and unfolds them (RFC 5322 §2.2.3).
 */
import { AuthorFields } from '../app/authorship.ts'
import type { Authorship } from '../core/transaction.ts'

const FIELD = /^(from|sender|reply-to)[ \t]*:/i

/** The fields that tell of an author, unfolded, in order. Line ends are CR LF or LF. */
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

/** Reads the authorship from a header section. What is no address is passed over; nothing here throws. */
export function authorshipOf(header: Uint8Array): Authorship {
  const fields = new AuthorFields()
  for (const field of unfolded(new TextDecoder().decode(header))) {
    const colon = field.indexOf(':')
    fields.add(field.slice(0, colon), field.slice(colon + 1))
  }
  return fields.authorship
}
