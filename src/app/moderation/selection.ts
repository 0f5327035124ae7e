/** Which of the messages that wait somebody means. */
import { REASONS, type Reason } from '../../core/reason.ts'
import type { ListAddress } from '../../core/transaction.ts'
import { parseWho, type Who, whoKeysOf } from '../../core/who.ts'
import { readListAddress } from '../administration/lists.ts'
import { done, type Outcome, outcomeOf, refused } from '../administration/problem.ts'
import type { HeldEntry, HeldPost } from '../held.ts'

/** As it was typed. */
export interface SelectionRequest {
  readonly list?: string | undefined
  readonly sender?: string | undefined
  readonly reason?: string | undefined
  readonly olderThan?: string | undefined
}

/** Everything that is said has to hold. */
export interface Selection {
  readonly list: ListAddress | undefined
  /** In the envelope or in From:. */
  readonly sender: Who | 'null-sender' | undefined
  readonly reason: Reason | undefined
  /** Milliseconds since the epoch. */
  readonly before: number | undefined
}

const PERIODS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

function readBefore(text: string, now: number): Outcome<number> {
  const match = /^(\d{1,6})([smhd])$/.exec(text)
  if (match === null) {
    return refused('selection-invalid', `${JSON.stringify(text)}: expected a time like 90s, 30m, 12h or 7d`)
  }
  return done(now - Number(match[1]) * PERIODS[match[2] as keyof typeof PERIODS])
}

function readReason(text: string): Outcome<Reason> {
  const reason = REASONS.find(candidate => candidate === text)
  return reason === undefined
    ? refused('selection-invalid', `${JSON.stringify(text)}: expected a reason, such as first-post`)
    : done(reason)
}

function readSender(text: string): Outcome<Who | 'null-sender'> {
  return text === '' || text === '<>' ? done('null-sender') : outcomeOf(parseWho(text), 'who-invalid', text)
}

/** Reads what was typed. `now` in milliseconds since the epoch. */
export function readSelection(request: SelectionRequest, now: number): Outcome<Selection> {
  const list = request.list === undefined ? undefined : readListAddress(request.list)
  if (list?.ok === false) return list
  const sender = request.sender === undefined ? undefined : readSender(request.sender)
  if (sender?.ok === false) return sender
  const reason = request.reason === undefined ? undefined : readReason(request.reason)
  if (reason?.ok === false) return reason
  const before = request.olderThan === undefined ? undefined : readBefore(request.olderThan, now)
  if (before?.ok === false) return before
  return done({
    list: list?.value.key,
    sender: sender?.value,
    reason: reason?.value,
    before: before?.value,
  })
}

function isFrom({ envelope, summary }: HeldPost, who: Who | 'null-sender'): boolean {
  const { sender } = envelope
  if (who === 'null-sender') return sender.kind === 'null-sender'
  const addresses = [...(sender.kind === 'address' ? [sender] : []), ...summary.authors]
  return addresses.some(address => whoKeysOf(address).includes(who))
}

/** Whether a message is meant. One that is damaged is, where nothing is asked of it but its list. */
export function isMeant(entry: HeldEntry, { sender, reason, before }: Selection): boolean {
  if (entry.kind === 'damaged') return sender === undefined && reason === undefined && before === undefined
  const { post } = entry
  return (
    (sender === undefined || isFrom(post, sender)) &&
    (reason === undefined || post.grounds.reason === reason || post.grounds.inPlaceOf === reason) &&
    (before === undefined || post.heldAt < before)
  )
}
