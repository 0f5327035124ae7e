/**
 * Reasons and replies: the one table that says, for every way a decision can go, what it is called and what the
 * client is told. The reason words stand in the log, in metrics, in the docs and in the tests.
 *
 * Codes by RFC 3463 and `docs/law.md`. X.7.2 is only ever permanent. Nothing that is our own fault is permanent.
 */
import { makeReply, type Reply } from './reply.ts'

interface Wording {
  readonly code: number
  readonly enhanced: string
  /** `{list}` is the list's address, `{detail}` what the rule adds. */
  readonly text: string
}

const WORDINGS = {
  'recipient-elsewhere': undefined,
  postmaster: undefined,
  'nothing-to-object': undefined,
  'mta-unknown': { code: 550, enhanced: '5.7.1', text: 'This host is not known here as a mail server' },
  'mta-refused': { code: 550, enhanced: '5.7.1', text: 'This host may not send mail here' },
  'sender-forbidden': { code: 550, enhanced: '5.7.1', text: 'This sender may not post to any list here' },
  'list-unknown': { code: 550, enhanced: '5.1.1', text: 'There is no list {list}' },
  'list-paused': { code: 451, enhanced: '4.2.4', text: 'The list {list} is paused; try again later' },
  'list-unreadable': {
    code: 451,
    enhanced: '4.2.4',
    text: 'The list {list} cannot be judged at the moment; try again later',
  },
  'list-closed': { code: 550, enhanced: '5.2.4', text: 'The list {list} is closed' },
  'too-many-recipients': {
    code: 452,
    enhanced: '4.5.3',
    text: 'Too many recipients; send to the rest later',
  },
  'too-many-recipients-for-list': {
    code: 550,
    enhanced: '5.5.3',
    text: 'A message to {list} may not have more than {detail} recipients here',
  },
  'service-address': { code: 250, enhanced: '2.1.5', text: 'Ok' },
  'existence-only': { code: 250, enhanced: '2.1.5', text: 'Ok' },
  'null-sender': {
    code: 550,
    enhanced: '5.7.2',
    text: 'The null sender may not post to a list, and every recipient is one',
  },
  'null-sender-to-list': { code: 550, enhanced: '5.7.2', text: 'The null sender may not post to {list}' },
  'sender-banned': { code: 550, enhanced: '5.7.2', text: 'You are banned from posting to {list}' },
  'sender-not-permitted': { code: 550, enhanced: '5.7.2', text: 'You are not permitted to post to {list}' },
  'sender-moderated': {
    code: 250,
    enhanced: '2.1.5',
    text: 'Ok, your post to {list} will wait for a moderator',
  },
  'sender-discarded': { code: 250, enhanced: '2.1.5', text: 'Ok' },
  'sender-permitted': { code: 250, enhanced: '2.1.5', text: 'Ok' },
  'author-decides': {
    code: 250,
    enhanced: '2.1.5',
    text: 'Ok, your post to {list} will be judged by its author',
  },
  'rate-exceeded': {
    code: 450,
    enhanced: '4.7.1',
    text: 'You have posted too often to {list}; try again later',
  },
  'message-too-big': {
    code: 552,
    enhanced: '5.3.4',
    text: 'The message is larger than the {detail} bytes that {list} takes',
  },
  'header-too-large': {
    code: 554,
    enhanced: '5.6.0',
    text: 'The header of the message is larger than is looked at here',
  },
  'too-many-hops': {
    code: 554,
    enhanced: '5.4.6',
    text: 'The message has passed too many hosts; it seems to go round in circles',
  },
  'mail-loop': { code: 554, enhanced: '5.4.6', text: 'The message has been through {list} already' },
  'automatic-reply': { code: 550, enhanced: '5.7.2', text: 'Automatic replies may not be posted to {list}' },
  'bulk-mail': { code: 550, enhanced: '5.7.2', text: 'Bulk mail may not be posted to {list}' },
  'list-not-named': {
    code: 550,
    enhanced: '5.7.2',
    text: 'A post must name {list} in To: or Cc:',
  },
  'too-many-destinations': {
    code: 550,
    enhanced: '5.5.3',
    text: 'A message to {list} may not have more than {detail} addresses in To: and Cc:',
  },
  'too-many-lists': {
    code: 550,
    enhanced: '5.5.3',
    text: 'A message to {list} may not go to more than {detail} lists at once',
  },
  'author-unclear': { code: 550, enhanced: '5.7.2', text: 'A post to {list} must name one author in From:' },
  'header-rule': {
    code: 550,
    enhanced: '5.7.2',
    text: 'The list {list} does not take messages like this one',
  },
  'part-not-permitted': {
    code: 554,
    enhanced: '5.6.1',
    text: 'The list {list} does not take this kind of content: {detail}',
  },
  'too-many-parts': {
    code: 554,
    enhanced: '5.6.0',
    text: 'The message has more parts than are looked at here',
  },
  'list-in-emergency': {
    code: 250,
    enhanced: '2.1.5',
    text: 'Ok, your post to {list} will wait for a moderator',
  },
  'first-post': {
    code: 250,
    enhanced: '2.1.5',
    text: 'Ok, your post to {list} will wait for a moderator',
  },
  'admitted-before': { code: 250, enhanced: '2.1.5', text: 'Ok' },
  'late-refusal-held': {
    code: 250,
    enhanced: '2.1.5',
    text: 'Ok, your post to {list} will wait for a moderator',
  },
  'late-refusal-discarded': { code: 250, enhanced: '2.1.5', text: 'Ok' },
  shadow: { code: 250, enhanced: '2.1.5', text: 'Ok' },
  'store-unavailable': { code: 451, enhanced: '4.3.0', text: 'Temporary failure; try again later' },
  'internal-error': { code: 451, enhanced: '4.3.0', text: 'Temporary failure; try again later' },
} as const satisfies Record<string, Wording | undefined>

/** Why a verdict is what it is. A closed set: the same words everywhere. */
export type Reason = keyof typeof WORDINGS

/** Every reason, for tables and metrics that must know them all. */
export const REASONS: readonly Reason[] = Object.keys(WORDINGS) as Reason[]

/** What a reply's text may name. */
export interface ReplyDetails {
  /** The list's address. */
  readonly list?: string
  readonly detail?: string
  /** The list's own words, in place of the table's; the list is named all the same. */
  readonly ownText?: string | undefined
  /** Where the sender can read more. */
  readonly url?: string | undefined
}

/** The reply for a reason. Reasons without words of their own (there is nothing to say) give the plain `250`. */
export function replyFor(reason: Reason, details: ReplyDetails = {}): Reply {
  const wording: Wording = WORDINGS[reason] ?? WORDINGS['service-address']
  const list = details.list ?? 'this list'
  const standard = wording.text.replace('{list}', () => list).replace('{detail}', () => details.detail ?? '')
  const text = details.ownText === undefined ? standard : `${list}: ${details.ownText}`
  const reply = makeReply(
    wording.code,
    wording.enhanced,
    details.url === undefined ? text : `${text}; see ${details.url}`,
  )
  if (!reply.ok) throw new Error(`the reply for ${reason}: ${reply.problem}`)
  return reply.value
}
