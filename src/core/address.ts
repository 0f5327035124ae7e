/**
 * Envelope addresses (RFC 5321 §4.1.2 paths, RFC 6531 for UTF-8) as values with one canonical form.
 *
 * Three notations reach Postern: SMTP paths (LMTP, milter), RFC 5321 mailboxes (people, Exim), and Postfix's
 * internal form, unquoted and cut at the last `@`. All end in the same `Address`. Parsing is lenient where mail
 * is delivered every day (`a..b@`, long local parts, underscores in domains) and strict where two readings of
 * one text could let a sender pass for another.
 */
import { type Domain, parseDomain } from './domain.ts'
import { type Parsed, parsed, problem } from './parsed.ts'

declare const keyBrand: unique symbol
declare const addressBrand: unique symbol

/**
 * What identifies a mailbox when addresses are compared: local part in NFC and lower case, unquoted, `@`, domain.
 * The local part may itself hold `@` and spaces; the last `@` is the separator.
 */
export type AddressKey = string & { readonly [keyBrand]: true }

/** A mailbox. Made by this file's parsers only. */
export interface Address {
  readonly [addressBrand]: true
  readonly kind: 'address'
  /** Decoded: no quotes, no backslashes; NFC; case as received. */
  readonly localPart: string
  readonly domain: Domain
  readonly key: AddressKey
  /** RFC 5321 mailbox, quoted where it must be, ready for a path or a header of ours. */
  readonly text: string
}

/** The null reverse-path `<>` of bounces and probes (RFC 5321 §4.5.5): a case of its own, not an empty string. */
export interface NullSender {
  readonly kind: 'null-sender'
  readonly text: ''
}

/** A reverse-path that an MTA took and that is no address. It belongs to nobody: a stranger everywhere. */
export interface MalformedSender {
  readonly kind: 'malformed-sender'
  /** As received. Never printed without being cleaned first. */
  readonly text: string
}

/** The envelope sender (RFC 5321's reverse-path). */
export type ReversePath = Address | NullSender | MalformedSender

/** The one null sender. */
export const NULL_SENDER: NullSender = Object.freeze({ kind: 'null-sender', text: '' })

/** In characters. RFC 5321's 64 octets are what a server must take, and VERP, SRS and BATV go beyond them. */
export const MAX_LOCAL_PART_LENGTH = 255

/** In characters: a path with both parts at their limits, quoted throughout, and a source route. */
export const MAX_PATH_LENGTH = 1024

const ATOM = /^[^\x00-\x20\x7f()<>[\]:;@\\,"\ufffd]+$/
const STRICT_DOT_STRING = /^[^\x00-\x20\x7f()<>[\]:;@\\,".]+(?:\.[^\x00-\x20\x7f()<>[\]:;@\\,".]+)*$/
/** A local part as nearly all are: whatever is done with one, this stays as it is. */
const USUAL = /^[a-z0-9_+=-]+(?:\.[a-z0-9_+=-]+)*$/
const FORBIDDEN = /[\x00-\x1f\x7f\ufffd\ud800-\udfff]/u
const SOURCE_ROUTE = /^@[^@,:<>\s]+(?:,@[^@,:<>\s]+)*:/

function quote(localPart: string): string {
  return STRICT_DOT_STRING.test(localPart) ? localPart : `"${localPart.replace(/["\\]/g, '\\$&')}"`
}

/** The contents of an RFC 5321 Quoted-string, or undefined if the text is not one. */
function unquote(text: string): string | undefined {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return undefined
  const inner = text.slice(1, -1)
  return /^(?:[^"\\]|\\.)*$/su.test(inner) ? inner.replace(/\\(.)/gsu, '$1') : undefined
}

/** Makes the same as `make`, out of a usual local part. */
function makeUsual(localPart: string, text: string): Parsed<Address> {
  const domain = parseDomain(text)
  if (!domain.ok) return domain
  const key = `${localPart}@${domain.value}`
  return parsed(
    Object.freeze({ kind: 'address', localPart, domain: domain.value, key, text: key }) as Address,
  )
}

function make(localPart: string, domain: string): Parsed<Address> {
  if (localPart === '') return problem('the local part is empty')
  if (localPart.length <= MAX_LOCAL_PART_LENGTH && USUAL.test(localPart)) return makeUsual(localPart, domain)
  const normalised = localPart.normalize('NFC')
  if (normalised.length > MAX_LOCAL_PART_LENGTH) return problem('the local part is too long')
  if (FORBIDDEN.test(normalised)) return problem('the local part holds a character that no address may have')
  const parsedDomain = parseDomain(domain)
  if (!parsedDomain.ok) return parsedDomain
  return parsed(
    Object.freeze({
      kind: 'address',
      localPart: normalised,
      domain: parsedDomain.value,
      key: `${normalised.toLowerCase().normalize('NFC')}@${parsedDomain.value}`,
      text: `${quote(normalised)}@${parsedDomain.value}`,
    }) as Address,
  )
}

/** Makes an address of a decoded local part (no quotes around it) and a domain in either spelling. */
export function addressOf(localPart: string, domain: string): Parsed<Address> {
  return localPart.length > MAX_PATH_LENGTH ? problem('the local part is too long') : make(localPart, domain)
}

/** Writes what a key identifies as an RFC 5321 mailbox; `parseAddress` gives the same key back. */
export function mailboxOf(key: AddressKey): string {
  const at = key.lastIndexOf('@')
  return `${quote(key.slice(0, at))}${key.slice(at)}`
}

/** Parses an RFC 5321 mailbox: `alice@example.net`, `"john doe"@example.net`. No angle brackets, no comments. */
export function parseAddress(text: string): Parsed<Address> {
  if (text.length > MAX_PATH_LENGTH) return problem('the address is too long')
  const at = text.lastIndexOf('@')
  if (at === -1) return problem('an address needs an @')
  const local = text.slice(0, at)
  const quoted = unquote(local)
  if (quoted === undefined && local !== '' && !ATOM.test(local)) {
    return problem('the local part must be quoted')
  }
  return make(quoted ?? local, text.slice(at + 1))
}

/**
 * Parses Postfix's internal form: whatever stands before the last `@` is the local part, unquoted (`a b@x`).
 * Exim asks through the same door with its own notation, so a local part that is a complete quoted string is
 * unquoted; a mailbox whose decoded name begins and ends in quotes is not known to exist.
 */
export function parseInternalAddress(text: string): Parsed<Address> {
  if (text.length > MAX_PATH_LENGTH) return problem('the address is too long')
  const at = text.lastIndexOf('@')
  if (at === -1) return problem('an address needs an @')
  const local = text.slice(0, at)
  return make(unquote(local) ?? local, text.slice(at + 1))
}

/** Parses a forward-path with its brackets, `<alice@example.net>`. A source route is dropped (RFC 5321 §C). */
export function parseForwardPath(text: string): Parsed<Address> {
  if (!text.startsWith('<') || !text.endsWith('>')) return problem('a path needs angle brackets')
  return parseAddress(text.slice(1, -1).replace(SOURCE_ROUTE, ''))
}

/** Parses a reverse-path with its brackets: a forward-path's grammar, or `<>`. */
export function parseReversePath(text: string): Parsed<Address | NullSender> {
  return text === '<>' ? parsed(NULL_SENDER) : parseForwardPath(text)
}

/** The reverse-path of an MTA that has already accepted it, in internal form: never a failure. */
export function internalReversePath(text: string): ReversePath {
  if (text === '') return NULL_SENDER
  const address = parseInternalAddress(text)
  return address.ok ? address.value : Object.freeze({ kind: 'malformed-sender', text })
}

/** Stands for a local part that no mailbox can have. No list's name holds it: every parser refuses it. */
const NO_LOCAL_PART = '\ufffd'

/**
 * The recipient of an MTA that has already accepted it, in internal form. MTAs take local parts that no mailbox here
 * can have (empty, endless, not UTF-8), and in a list domain somebody must say that nobody is there: such a local
 * part becomes one that no list has. A problem only if there is no domain.
 */
export function internalForwardPath(text: string): Parsed<Address> {
  const address = parseInternalAddress(text)
  if (address.ok) return address
  const at = text.lastIndexOf('@')
  if (at === -1) return address
  const domain = parseDomain(text.slice(at + 1))
  if (!domain.ok) return domain
  const key = `${NO_LOCAL_PART}@${domain.value}`
  return parsed(
    Object.freeze({
      kind: 'address',
      localPart: NO_LOCAL_PART,
      domain: domain.value,
      key,
      text: key,
    }) as Address,
  )
}
