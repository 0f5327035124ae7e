/** Held messages, and what became of them, as people read of them. */
import type { HeldEntry, HeldPost } from '../app/held.ts'
import type { NoNotice } from '../app/moderation/notices.ts'
import type { Decision, Moderated } from '../app/moderation.ts'
import { shownText } from '../app/shown-text.ts'
import { mailboxOf } from '../core/address.ts'
import { formatReply } from '../core/reply.ts'
import { formatWho } from '../core/who.ts'
import { EXIT, type ExitStatus } from './exit.ts'

type Held = Extract<HeldEntry, { kind: 'held' }>

const AT_IT = { accept: 'being accepted', allow: 'being accepted', reject: 'being rejected' } as const

function senderText({ envelope }: HeldPost): string {
  return envelope.sender.kind === 'null-sender' ? '<>' : shownText(envelope.sender.text)
}

function time(at: number): string {
  return new Date(at).toISOString().replace(/\.\d+Z$/, 'Z')
}

function why({ state, post }: Held): string {
  const { reason, inPlaceOf } = post.grounds
  const words = inPlaceOf === undefined ? reason : `${reason} (${inPlaceOf})`
  return state === 'waiting' ? words : `${words}, ${AT_IT[state]}`
}

/** One line of the listing: columns are set apart by tabs. */
export function heldLine(entry: Held): string {
  const { id, post } = entry
  const list = mailboxOf(post.to.list)
  return [id, time(post.heldAt), list, senderText(post), why(entry), post.summary.subject].join('\t')
}

/** The same for programs. */
export function heldValue({ id, state, post }: Held): unknown {
  const { envelope, to, grounds, summary } = post
  const { client } = envelope
  return {
    id,
    state,
    held: time(post.heldAt),
    list: to.list,
    recipient: to.recipient.text,
    ...(to.service !== undefined && { service: to.service }),
    sender: envelope.sender.text,
    author: summary.author,
    subject: summary.subject,
    size: post.size,
    reason: grounds.reason,
    rule: grounds.rule,
    ...(grounds.inPlaceOf !== undefined && { in_place_of: grounds.inPlaceOf }),
    return_path: grounds.returnPath,
    received: time(envelope.receivedAt),
    message: envelope.id,
    client: { ...client, ip: client.ip?.text },
  }
}

function clientText({ client }: HeldPost['envelope']): string {
  const { name, ip, helo, user } = client
  const words = [
    name === undefined && ip === undefined ? 'unknown' : `${name ?? 'unknown'}[${ip?.text ?? 'unknown'}]`,
    ...(helo === undefined ? [] : [`helo ${helo}`]),
    ...(user === undefined ? [] : [`user ${user}`]),
  ]
  return shownText(words.join(', '))
}

/** What is known of a message, a row each. */
export function heldRows(entry: Held): readonly (readonly string[])[] {
  const { id, post } = entry
  const { envelope, to, grounds, summary } = post
  return [
    ['id', id],
    ['held', time(post.heldAt)],
    ['list', mailboxOf(to.list)],
    ['recipient', shownText(to.recipient.text)],
    ...(to.service === undefined ? [] : [['service', to.service]]),
    ['sender', senderText(post)],
    ['return path', grounds.returnPath],
    ['author', summary.author || '-'],
    ['subject', summary.subject || '-'],
    ['reason', why(entry)],
    ['rule', grounds.rule],
    ['size', String(post.size)],
    ['client', clientText(envelope)],
    ['message', envelope.id],
  ]
}

const NOT_TOLD: Readonly<Record<NoNotice | 'unknown', string>> = {
  'list-does-not-want': 'nobody is told',
  'no-mta': 'nobody is told: held.notices names no mail server',
  unproven: 'nobody is told: the return path is not proven',
  'no-sender': 'nobody is told: there is no sender',
  'odd-address': 'nobody is told: an address needs quotes',
  automatic: 'nobody is told: it is from a machine',
  unknown: 'as was decided before',
}

function causeText(cause: unknown): string {
  return shownText(cause instanceof Error ? cause.message : String(cause), 500)
}

/** What became of a message, and how a command ends by it. */
export function moderatedInWords(
  decision: Decision,
  outcome: Moderated,
): { readonly sentence: string; readonly status: ExitStatus } {
  const said = (sentence: string, status: ExitStatus = EXIT.ok) => ({ sentence, status })
  switch (outcome.kind) {
    case 'accepted': {
      const { delivery, reply, allowed } = outcome
      const hop = reply === undefined ? '' : `, which said ${formatReply(reply)}`
      const may = allowed.map(who => `; ${formatWho(who)} may post from now on`).join('')
      const nobody = decision === 'allow' && allowed.length === 0 ? '; nobody new may post' : ''
      return said(`accepted, and handed on to ${delivery}${hop}${may}${nobody}`)
    }
    case 'rejected':
      return said(
        `rejected; ${outcome.told === 'sender' ? `${senderText(outcome.post)} is told` : NOT_TOLD[outcome.told]}`,
      )
    case 'discarded':
      return said('discarded')
    case 'unknown':
      return said('there is no such message', EXIT.refused)
    case 'busy':
      return said('somebody else is deciding about it', EXIT.refused)
    case 'damaged':
      return said(`damaged, and left where it is: ${outcome.path}: ${outcome.problem}`, EXIT.data)
    case 'refused': {
      const { delivery, reply } = outcome
      return said(`still waits: ${delivery} said ${formatReply(reply)}`, EXIT.refused)
    }
    case 'failed':
      return outcome.isAccepted
        ? said(`accepted, and will be tried again: ${causeText(outcome.cause)}`, EXIT.deferred)
        : said(`still waits: ${causeText(outcome.cause)}`, EXIT.deferred)
  }
}
