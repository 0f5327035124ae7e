/**
 * SMTP replies (RFC 5321 §4.2) with enhanced status codes (RFC 3463, RFC 2034): one line, ASCII, CR- and LF-proof,
 * its two codes of one class. ASCII because Exim cuts replies at the first byte that is not, and Sendmail strips
 * the eighth bit.
 */
import { type Parsed, parsed, problem } from './parsed.ts'

declare const enhancedBrand: unique symbol
declare const replyBrand: unique symbol

/** `class.subject.detail` (RFC 3463 §2). */
export type EnhancedCode = string & { readonly [enhancedBrand]: true }

/** A reply of one line. Made by `makeReply` only. */
export interface Reply {
  readonly [replyBrand]: true
  readonly code: number
  readonly enhanced: EnhancedCode
  /** Printable ASCII, not empty, at most `MAX_REPLY_TEXT` octets. */
  readonly text: string
}

/** RFC 5321 §4.5.3.1.5: 512 octets with CRLF; what is left beside `550 5.7.2 ` at its longest, `550 5.999.999 `. */
export const MAX_REPLY_TEXT: number = 512 - 2 - '550 5.999.999 '.length

const ENHANCED = /^([245])\.(\d{1,3})\.(\d{1,3})$/

/** Parses an enhanced status code. */
export function parseEnhancedCode(text: string): Parsed<EnhancedCode> {
  return ENHANCED.test(text) ? parsed(text as EnhancedCode) : problem('an enhanced code is like 5.7.2')
}

/**
 * Text fit for one line of a reply: controls and white space become one space, other characters beyond ASCII are
 * written as RFC 6533 §3 does (`\x{E9}`), and what is too long is cut.
 */
export function replyText(text: string): string {
  const ascii = text
    .replace(/[\s\x00-\x1f\x7f]+/gu, ' ')
    .trim()
    .replace(/[^\x20-\x7e]/gu, char => `\\x{${(char.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`)
  return ascii.slice(0, MAX_REPLY_TEXT).trimEnd()
}

/**
 * Makes a reply. The code must be one of 2xx, 4xx, 5xx of the enhanced code's class, and the text must not be
 * empty: Postfix 3.7 sends leftovers of an earlier reply after a code without a text.
 */
export function makeReply(code: number, enhanced: string, text: string): Parsed<Reply> {
  const parsedCode = parseEnhancedCode(enhanced)
  if (!parsedCode.ok) return parsedCode
  if (!Number.isInteger(code) || !/^[245][0-5]\d$/.test(String(code))) {
    return problem('a reply code is 2xx, 4xx or 5xx')
  }
  if (String(code)[0] !== enhanced[0]) return problem(`${code} and ${enhanced} are not of one class`)
  const clean = replyText(text)
  if (clean === '') return problem('a reply needs a text')
  return parsed(Object.freeze({ code, enhanced: parsedCode.value, text: clean }) as Reply)
}

/** The reply as on the wire, without CRLF. */
export function formatReply(reply: Reply): string {
  return `${reply.code} ${reply.enhanced} ${reply.text}`
}
