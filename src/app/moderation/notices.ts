/**
 * What a sender is told whose post a moderator has refused: when anybody is told anything at all, and in which words.
 */
import { type Address, mailboxOf } from '../../core/address.ts'
import type { Flavour, ListSettings } from '../../core/list.ts'
import { SERVICES } from '../../core/recipient.ts'
import type { ListAddress } from '../../core/transaction.ts'
import type { HeldPost } from '../held.ts'

/** A notice to be sent, from the null sender. */
export interface Notice {
  /** The list's owners. */
  readonly from: string
  readonly to: Address
  readonly subject: string
  readonly text: string
  /** The message that it answers, as its Message-ID: field; empty if it has none. */
  readonly inReplyTo: string
}

/** Hands notices to an MTA. Rejects if the MTA does not take one. */
export type SendNotice = (notice: Notice) => Promise<void>

/** Why nobody is told. */
export type NoNotice =
  | 'list-does-not-want'
  | 'no-mta'
  | 'unproven'
  | 'no-sender'
  | 'odd-address'
  | 'automatic'

/** The address of a list's owners, by its flavour. */
export function ownerAddress(list: ListAddress, flavour: Flavour): string {
  const at = list.lastIndexOf('@')
  return mailboxOf(`${list.slice(0, at)}${SERVICES[flavour].separator}owner${list.slice(at)}` as ListAddress)
}

/** Whether the sender of a post may be told, and what; `hasMta` is whether there is somebody to send it. */
export function noticeFor(
  { envelope, grounds, summary, to }: HeldPost,
  settings: ListSettings,
  hasMta: boolean,
): Notice | NoNotice {
  const { sender } = envelope
  if (settings.reject_notice === 'no') return 'list-does-not-want'
  if (!hasMta) return 'no-mta'
  if (sender.kind !== 'address') return 'no-sender'
  // Whoever is told something must be who wrote it, and no machine (RFC 3834 §2).
  if (grounds.returnPath === 'unproven') return 'unproven'
  if (summary.automatic) return 'automatic'
  const owner = ownerAddress(to.list, settings.flavour)
  // What needs quotes is read differently by too many programs on the way.
  if ([owner, sender.text].some(text => text.includes('"'))) return 'odd-address'
  return {
    from: owner,
    to: sender,
    subject: `Your message to ${to.list} was not accepted`,
    text: [
      `A moderator of the list ${to.list} has not accepted your message:`,
      '',
      `    Subject: ${summary.subject === '' ? '(none)' : summary.subject}`,
      '',
      `The list's owners can be reached at ${owner}.`,
      '',
    ].join('\n'),
    inReplyTo: summary.messageId,
  }
}
