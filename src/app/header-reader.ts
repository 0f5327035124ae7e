/**
 * Takes in the header of a message, a field at a time, and gives what the law looks at in it: its fields, its authors,
 * and whom To: and Cc: name (RFC 5322 §2.2, §3.6). Keeps no more than the limits in `core/content.ts` allow, and says
 * so where there was more.
 */
import { addressParser } from 'postal-mime'
import { type AddressKey, parseAddress } from '../core/address.ts'
import {
  type Destinations,
  type HeaderField,
  MAX_DESTINATION_TEXT,
  MAX_HEADER_FIELDS,
  MAX_HEADER_SIZE,
  type MessageContent,
  type MessageParts,
} from '../core/content.ts'
import type { Authorship } from '../core/transaction.ts'
import { AuthorFields } from './authorship.ts'

/** A name and what else an MTA puts before the colon (RFC 5322 §4.5: obsolete white space). */
const FIELD_NAME = /^[\x21-\x39\x3b-\x7e]{1,200}$/

/** Text to look an address list up in, with encoded words disguised: they never make an address (RFC 2047 §5). */
function withoutEncodedWords(text: string): string {
  return text.replaceAll('=?', '\ud800')
}

function destinationsOf(fields: readonly HeaderField[]): Destinations {
  const named = new Set<AddressKey>()
  const lists = fields.filter(({ name }) => name === 'to' || name === 'cc')
  const length = lists.reduce((sum, { value }) => sum + value.length, 0)
  if (length > MAX_DESTINATION_TEXT) return { count: 0, tooMany: true, named }
  let count = 0
  for (const { value } of lists) {
    for (const mailbox of addressParser(withoutEncodedWords(value), { flatten: true })) {
      count++
      const address = parseAddress(mailbox.address ?? '')
      if (address.ok) named.add(address.value.key)
    }
  }
  return { count, tooMany: false, named }
}

export class HeaderReader {
  readonly #authors = new AuthorFields()
  readonly #fields: HeaderField[] = []
  #size = 0
  #tooLarge = false

  /** Takes in a field as it was received: its value may be folded, with white space at its ends. */
  add(name: string, value: string): void {
    this.#authors.add(name, value)
    this.#size += name.length + value.length
    this.#tooLarge ||= this.#size > MAX_HEADER_SIZE || this.#fields.length >= MAX_HEADER_FIELDS
    if (this.#tooLarge) return
    const word = name.trimEnd().toLowerCase()
    if (!FIELD_NAME.test(word)) return
    this.#fields.push({ name: word, value: value.replace(/\r?\n(?=[ \t])/g, '').trim() })
  }

  /** Says that there was more of the header than `add` was told of. */
  cut(): void {
    this.#tooLarge = true
  }

  get authorship(): Authorship {
    return this.#authors.authorship
  }

  /** What the fields so far make, with the parts of the body if they were looked at. */
  content(parts?: MessageParts): MessageContent {
    const fields = this.#fields
    let destinations: Destinations | undefined
    return {
      fields,
      headerTooLarge: this.#tooLarge,
      get destinations() {
        destinations ??= destinationsOf(fields)
        return destinations
      },
      ...(parts !== undefined && { parts }),
    }
  }
}
