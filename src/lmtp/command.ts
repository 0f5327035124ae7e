/**
 * Command lines (RFC 2033 §4, RFC 5321 §4.1): the verb, and the arguments of those commands that have any. A
 * fault is a reply, ready to be sent.
 */
import {
  type Address,
  internalForwardPath,
  parseForwardPath,
  parseReversePath,
  type ReversePath,
} from '../core/address.ts'
import type { Reply } from '../core/reply.ts'
import type { Door } from './door.ts'
import { REPLIES } from './replies.ts'

/** The arguments of a command, or what is wrong with them. */
export type Arguments<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly fault: Reply }

export interface MailArguments {
  readonly sender: ReversePath
  /** SIZE= in octets; `undefined` where it was not given. */
  readonly size: number | undefined
  readonly smtputf8: boolean
}

/** Cuts a line into its verb, in upper case, and the rest; white space at the end is passed over. */
export function splitCommand(line: string): { readonly verb: string; readonly rest: string } {
  const trimmed = line.trimEnd()
  const space = trimmed.indexOf(' ')
  if (space === -1) return { verb: trimmed.toUpperCase(), rest: '' }
  return { verb: trimmed.slice(0, space).toUpperCase(), rest: trimmed.slice(space + 1).trimStart() }
}

function fault(reply: Reply): { readonly ok: false; readonly fault: Reply } {
  return { ok: false, fault: reply }
}

/** Cuts a path from what follows it. Quoted local parts may hold `>` and spaces. */
function cutPath(text: string): { readonly path: string; readonly rest: string } | undefined {
  if (!text.startsWith('<')) return undefined
  let quoted = false
  for (let at = 1; at < text.length; at++) {
    const char = text[at]
    if (quoted && char === '\\') at++
    else if (char === '"') quoted = !quoted
    else if (!quoted && char === '>') return { path: text.slice(0, at + 1), rest: text.slice(at + 1) }
  }
  return undefined
}

/** Cuts `FROM:<path> parameters`. A space after the colon is common and harmless. */
function cutArguments(
  keyword: 'FROM:' | 'TO:',
  rest: string,
  syntax: Reply,
): Arguments<{ readonly path: string; readonly parameters: ReadonlyMap<string, string | undefined> }> {
  if (rest.slice(0, keyword.length).toUpperCase() !== keyword) return fault(syntax)
  const cut = cutPath(rest.slice(keyword.length).trimStart())
  if (cut === undefined || (cut.rest !== '' && !cut.rest.startsWith(' '))) return fault(syntax)
  const parameters = new Map<string, string | undefined>()
  for (const word of cut.rest.split(' ')) {
    if (word === '') continue
    const match = /^([A-Za-z0-9][A-Za-z0-9-]*)(?:=([\x21-\x3c\x3e-\x7e]+))?$/.exec(word)
    const name = match?.[1]?.toUpperCase()
    if (name === undefined || parameters.has(name)) return fault(REPLIES.badParameter)
    parameters.set(name, match?.[2])
  }
  return { ok: true, value: { path: cut.path, parameters } }
}

/**
 * Reads the arguments of MAIL. A path that is no address belongs to nobody, as the MTA took it long ago: refusing it
 * here would make a bounce of it. UTF-8 is taken with and without SMTPUTF8, because MTAs send it so.
 */
export function parseMail(rest: string): Arguments<MailArguments> {
  const cut = cutArguments('FROM:', rest, REPLIES.mailSyntax)
  if (!cut.ok) return cut
  let size: number | undefined
  let smtputf8 = false
  for (const [name, value] of cut.value.parameters) {
    switch (name) {
      case 'SIZE':
        if (value === undefined || !/^\d{1,20}$/.test(value)) return fault(REPLIES.badParameter)
        size = Number(value)
        break
      case 'BODY':
        if (value === undefined || !/^(?:7BIT|8BITMIME)$/i.test(value)) return fault(REPLIES.badParameter)
        break
      case 'SMTPUTF8':
        if (value !== undefined) return fault(REPLIES.badParameter)
        smtputf8 = true
        break
      default:
        return fault(REPLIES.unknownParameter)
    }
  }
  const { path } = cut.value
  const sender = parseReversePath(path)
  const text = path.slice(1, -1)
  return {
    ok: true,
    value: { sender: sender.ok ? sender.value : { kind: 'malformed-sender', text }, size, smtputf8 },
  }
}

/**
 * Reads the arguments of RCPT; no parameter is offered. At the delivery door the MTA has taken the address long ago: one
 * that no mailbox can have is one that no list has, and refusing it would make a bounce of it.
 */
export function parseRcpt(rest: string, door: Door): Arguments<Address> {
  const cut = cutArguments('TO:', rest, REPLIES.rcptSyntax)
  if (!cut.ok) return cut
  if (cut.value.parameters.size > 0) return fault(REPLIES.unknownParameter)
  // RFC 5321 §4.1.1.3: this one name needs no domain.
  const { path } = cut.value
  if (/^<postmaster>$/i.test(path)) return fault(door === 'delivery' ? REPLIES.misrouted : REPLIES.postmaster)
  const recipient = parseForwardPath(path)
  if (recipient.ok) return { ok: true, value: recipient.value }
  if (door === 'callout') return fault(REPLIES.badRecipient)
  const taken = internalForwardPath(path.slice(1, -1))
  return taken.ok ? { ok: true, value: taken.value } : fault(REPLIES.misrouted)
}
