/**
 * SMTP has one reply after the data, LMTP one for each recipient (RFC 2033 §4.2): this makes one of many. An MTA
 * would go on trying for some recipients and send bounces for others; the trial MTA has no queue and sends none, so
 * it tells the client what became of each.
 */
import { replyText } from '../core/reply.ts'

/** A reply as on the wire, taken apart. `text` begins with the enhanced code, where there is one. */
export interface WireReply {
  readonly code: number
  readonly text: string
}

/** What the sink said about one recipient. */
export interface RecipientReply extends WireReply {
  readonly recipient: string
}

/** Reads a reply line such as `250 2.1.5 Ok`; anything else is no reply. */
export function readReply(line: string): WireReply | undefined {
  const match = /^([245]\d\d)[ -](.*)$/.exec(line)
  return match === null ? undefined : { code: Number(match[1]), text: match[2] ?? '' }
}

/** Each recipient's reply, with the recipient's name where it does not stand there already. */
function inFull(replies: readonly RecipientReply[]): string {
  return replies
    .map(({ recipient, code, text }) =>
      text.includes(`<${recipient}>`) ? `${code} ${text}` : `<${recipient}> ${code} ${text}`,
    )
    .join('; ')
}

/** The client's reply: all taken, all refused (a temporary refusal before a permanent one), or some of both. */
export function oneReplyOf(replies: readonly RecipientReply[]): WireReply {
  const taken = replies.filter(({ code }) => code < 300)
  const refused = replies.filter(({ code }) => code >= 300)
  const first = refused.find(({ code }) => code < 500) ?? refused[0] ?? taken[0]
  if (first === undefined) return { code: 451, text: '4.3.0 The sink said nothing about any recipient' }
  if (taken.length > 0 && refused.length > 0) {
    return { code: 250, text: `2.6.0 ${replyText(`Not taken for all: ${inFull([...refused, ...taken])}`)}` }
  }
  const same = replies.every(({ code, text }) => code === first.code && text === first.text)
  if (same || taken.length === 0) return { code: first.code, text: replyText(first.text) }
  return { code: 250, text: `2.6.0 ${replyText(inFull(taken))}` }
}
