/**
 * Who wrote a message, by its header (RFC 5322 §3.6.2): the mailboxes of From:, Sender: and Reply-To:. Everything here is
 * the writer's claim; the law decides what it is worth.
 *
 * All fields of a name count, and all mailboxes of each: a message with two From: fields has the authors of both.
 * Encoded words (RFC 2047) belong to display names and never make an address, though the address parser would read
 * addresses out of them.
 */
import { addressParser } from 'postal-mime'
import { type Address, parseAddress } from '../core/address.ts'
import type { Authorship } from '../core/transaction.ts'

/**
 * Of all three fields together, in characters. A header with more than this has no author at all: cutting an address
 * list anywhere could make another address of one.
 */
export const MAX_ADDRESS_TEXT = 8192

const NOBODY: Authorship = { from: [], all: [] }

/** A lone surrogate: decoding UTF-8 never gives one, so it stands for `=?` alone. */
const ENCODED_WORD_BEGIN = '=?'
const DISGUISED_BEGIN = '\ud800'

/** The mailboxes of a field: those that can be read, and whether they are all of them. */
function mailboxesOf(value: string): { readonly read: readonly Address[]; readonly all: boolean } {
  const disguised = value.replaceAll(ENCODED_WORD_BEGIN, DISGUISED_BEGIN)
  const found = addressParser(disguised, { flatten: true }).map(mailbox =>
    parseAddress((mailbox.address ?? '').replaceAll(DISGUISED_BEGIN, ENCODED_WORD_BEGIN)),
  )
  return {
    read: found.flatMap(address => (address.ok ? [address.value] : [])),
    all: found.every(({ ok }) => ok),
  }
}

/** Collects the authors' fields of one message, within bounds. */
export class AuthorFields {
  readonly #from: string[] = []
  readonly #others: string[] = []
  #length = 0

  /** Takes a field in, if it is one that tells of an author. Folded lines are joined. */
  add(name: string, value: string): void {
    // Most fields are of another length.
    if (name.length > 64) return
    const kind = name.trimEnd().toLowerCase()
    if (kind !== 'from' && kind !== 'sender' && kind !== 'reply-to') return
    this.#length += value.length
    if (this.#length > MAX_ADDRESS_TEXT) return
    const fields = kind === 'from' ? this.#from : this.#others
    fields.push(value.replace(/\r?\n/g, ''))
  }

  /**
   * The authorship that the fields so far make. What is no address is passed over; but beside an author who cannot be
   * read no other counts as the message's author.
   */
  get authorship(): Authorship {
    if (this.#length > MAX_ADDRESS_TEXT) return NOBODY
    const from = this.#from.map(mailboxesOf)
    const readable = from.flatMap(({ read }) => read)
    return {
      from: from.every(({ all }) => all) ? readable : [],
      all: [...readable, ...this.#others.flatMap(value => mailboxesOf(value).read)],
    }
  }
}
