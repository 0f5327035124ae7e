/**
 * What would change an answer: for each reason, the commands that an operator may use. A hint, not advice: whether a sender ought to be
 * let in is for people to say. `docs/law.md` says what each reason means.
 */
import type { Reason } from '../core/reason.ts'

/** Whom and what a refusal is about, as words for a command line. */
export interface Refused {
  readonly reason: Reason
  readonly list: string | undefined
  readonly sender: string | undefined
  readonly recipient: string | undefined
  readonly client: string | undefined
}

/** A change, and the command that makes it, if one does. */
export interface Remedy {
  readonly change: string
  readonly command?: string
}

/** Quotes a word for a shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}

function setting(list: string, change: string, pair: string): Remedy {
  return { change, command: `postern list set ${list} ${pair}` }
}

function forSender(list: string, sender: string): readonly Remedy[] {
  return [
    { change: `make ${sender} a member`, command: `postern member add ${list} ${sender}` },
    {
      change: 'let this sender post without being a member',
      command: `postern member add ${list} ${sender} --role nonmember --action accept`,
    },
    setting(list, 'let everybody post', 'nonmember_action=accept'),
    setting(list, 'let a moderator look at posts of others', 'nonmember_action=hold'),
  ]
}

/** What would change the answer of a refusal; nothing where there is nothing to change here. */
export function remediesFor(refused: Refused): readonly Remedy[] {
  const list = refused.list === undefined ? 'LIST' : quoted(refused.list)
  const sender = refused.sender ? quoted(refused.sender) : 'SENDER'
  const client = refused.client === undefined ? 'MTA' : quoted(refused.client)
  const domain =
    refused.sender?.includes('@') === true ? `@${refused.sender.replace(/^.*@/s, '')}` : '@DOMAIN'
  switch (refused.reason) {
    case 'sender-not-permitted':
    case 'sender-moderated':
    case 'sender-discarded':
      return forSender(list, sender)
    case 'sender-banned':
      return [
        { change: 'lift the ban from this list', command: `postern ban remove ${sender} --list ${list}` },
        { change: 'or from all lists', command: `postern ban remove ${sender}` },
        {
          change: 'or the one of the domain',
          command: `postern ban remove ${quoted(domain)} --list ${list}`,
        },
      ]
    case 'sender-forbidden':
      return [
        { change: 'let this sender write again', command: `postern forbid remove ${sender}` },
        { change: 'or the domain', command: `postern forbid remove ${quoted(domain)}` },
      ]
    case 'mta-unknown':
      return [{ change: 'make this mail server known', command: `postern mta add known ${client}` }]
    case 'mta-refused':
      return [
        { change: 'refuse this mail server no longer', command: `postern mta remove refused ${client}` },
      ]
    case 'list-unknown':
      return [
        {
          change: 'make the list',
          command: `postern list add ${refused.recipient ? quoted(refused.recipient) : 'LIST'}`,
        },
      ]
    case 'list-paused':
    case 'list-closed':
      return [setting(list, 'let the list take posts', 'state=active')]
    case 'list-unreadable':
      return [{ change: 'put the stored settings right', command: `postern list show ${list}` }]
    case 'list-in-emergency':
      return [setting(list, 'end the emergency', 'emergency=off')]
    case 'first-post':
      return [setting(list, 'let first posts through', 'first_post=accept')]
    case 'too-many-recipients-for-list':
      return [setting(list, 'allow more recipients', 'max_recipients=0')]
    case 'too-many-recipients':
      return [{ change: 'allow more recipients: site.max_recipients in the configuration' }]
    default:
      return []
  }
}
