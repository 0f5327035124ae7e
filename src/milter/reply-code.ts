/**
 * SMFIR_REPLYCODE: an SMTP reply in the filter's own words. MTAs differ in what they do with a malformed one: Postfix
 * 3.7 shows its client what else was in the buffer, sends on a line feed as a reply of its own, or falls back on
 * milter_default_action, which may be to accept; Sendmail says something else in its place. So none can be made here that is
 * malformed: the texts of the law's replies are one line of ASCII, a percent sign is doubled, the codes are of one class,
 * and every line of several has the same ones.
 */
import { formatReply, type Reply } from '../core/reply.ts'

/** What a client is told when it is refused: one reply at least, all with the same codes. */
export type Refusal = readonly [Reply, ...Reply[]]

declare const replyCodeBrand: unique symbol

/** The data of SMFIR_REPLYCODE, but for its NUL. */
export type ReplyCode = string & { readonly [replyCodeBrand]: true }

/** Lines of one reply. libmilter takes 32; a client needs no more than these. */
export const MAX_REPLY_LINES = 8

/** Codes that end the SMTP session in Postfix, whatever the text says (RFC 5321 §3.8, RFC 7504). */
const HANGING_UP = [421, 521]

function refuses(reply: Reply): boolean {
  return reply.code >= 400 && !HANGING_UP.includes(reply.code)
}

/**
 * The refusal that says as many of these replies as one can: the first, and those of the others that have its codes and
 * other words.
 */
export function refusalOf(replies: Refusal): Refusal {
  const [first, ...others] = replies
  const alike = others.filter(({ code, enhanced }) => code === first.code && enhanced === first.enhanced)
  const texts = new Set([first.text])
  const more = alike.filter(({ text }) => !texts.has(text) && texts.add(text))
  return [first, ...more.slice(0, MAX_REPLY_LINES - 1)]
}

/** A refusal as SMFIR_REPLYCODE has it. Throws if a reply does not refuse, or its codes differ: that is a bug. */
export function formatRefusal(refusal: Refusal): ReplyCode {
  const [first] = refusal
  const lines = refusal.map((reply, index) => {
    if (!refuses(reply) || reply.code !== first.code || reply.enhanced !== first.enhanced) {
      throw new Error(`a milter cannot refuse with ${refusal.map(formatReply).join(' / ')}`)
    }
    const separator = index === refusal.length - 1 ? ' ' : '-'
    return `${reply.code}${separator}${reply.enhanced} ${reply.text.replaceAll('%', '%%')}`
  })
  return lines.join('\r\n') as ReplyCode
}
