/**
 * The file of a held message: a line `postern-held 1 LENGTH`, LENGTH octets of JSON that say everything about it, a line
 * feed, and the message's octets as they came. It is one file so that nothing can come apart.
 */
import type { HeldPost } from '../app/held.ts'
import type { HoldGrounds, ReturnPath } from '../app/message.ts'
import { internalForwardPath, internalReversePath, parseAddress, type ReversePath } from '../core/address.ts'
import { parseIpAddress } from '../core/network.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import { REASONS, type Reason } from '../core/reason.ts'
import type { Client, ListAddress } from '../core/transaction.ts'

const MAGIC = 'postern-held 1 '

/** In octets: the first line, at most. */
export const MAX_FIRST_LINE = 32

/** In octets. What is kept of a message is some kilobytes at most. */
export const MAX_METADATA = 262_144

/** What comes before the message's octets. */
export function formatHead(post: HeldPost): Buffer {
  const { envelope, to, grounds, heldAt, size, summary } = post
  const { sender, client } = envelope
  const json = Buffer.from(
    JSON.stringify({
      list: to.list,
      recipient: to.recipient.text,
      service: to.service,
      sender: sender.text,
      malformedSender: sender.kind === 'malformed-sender' ? true : undefined,
      ...grounds,
      heldAt,
      size,
      subject: summary.subject,
      author: summary.author,
      authors: summary.authors.map(({ text }) => text),
      messageId: summary.messageId,
      automatic: summary.automatic,
      client: { ...client, ip: client.ip?.text },
      id: envelope.id,
      receivedAt: envelope.receivedAt,
      smtputf8: envelope.smtputf8,
      mta: envelope.mta,
    }),
  )
  return Buffer.concat([Buffer.from(`${MAGIC}${json.length}\n`), json, Buffer.from('\n')])
}

/** Where the JSON stands, by the first octets of the file. */
export function parseFirstLine(
  octets: Uint8Array,
): Parsed<{ readonly from: number; readonly length: number }> {
  const text = Buffer.from(octets.subarray(0, MAX_FIRST_LINE)).toString('latin1')
  const match = /^postern-held 1 (\d{1,6})\n/.exec(text)
  if (match === null) return problem('it does not begin as the file of a held message')
  const length = Number(match[1])
  return length > MAX_METADATA
    ? problem('what is said of it is too long')
    : parsed({ from: match[0].length, length })
}

type Json = Readonly<Record<string, unknown>>

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

class Unreadable extends Error {
  override readonly name = 'Unreadable'
}

/** The values of an object by their kinds. */
class Values {
  readonly #of: Json

  constructor(of: Json) {
    this.#of = of
  }

  #value<T>(name: string, is: (value: unknown) => value is T): T {
    const value = Object.hasOwn(this.#of, name) ? this.#of[name] : undefined
    if (!is(value)) throw new Unreadable(`${name} is missing or of the wrong kind`)
    return value
  }

  has(name: string): boolean {
    return this.#of[name] !== undefined
  }

  text(name: string): string {
    return this.#value(name, value => typeof value === 'string')
  }

  textOr(name: string): string | undefined {
    return this.#of[name] === undefined ? undefined : this.text(name)
  }

  /** A whole number, not negative. */
  number(name: string): number {
    return this.#value(name, (value): value is number => Number.isSafeInteger(value) && Number(value) >= 0)
  }

  truth(name: string): boolean {
    return this.#value(name, value => typeof value === 'boolean')
  }

  texts(name: string): readonly string[] {
    const isTexts = (value: unknown): value is string[] =>
      Array.isArray(value) && value.every(each => typeof each === 'string')
    return this.#value(name, isTexts)
  }

  object(name: string): Values {
    return new Values(this.#value(name, isObject))
  }

  objectOr(name: string): Values | undefined {
    return this.#of[name] === undefined ? undefined : this.object(name)
  }

  oneOf<T extends string>(name: string, choices: readonly T[]): T {
    return this.#value(name, (value): value is T => choices.some(choice => choice === value))
  }
}

const RETURN_PATHS: readonly ReturnPath[] = ['authenticated', 'admitted', 'unproven']

function readable<T>(result: Parsed<T>, name: string): T {
  if (!result.ok) throw new Unreadable(`${name}: ${result.problem}`)
  return result.value
}

function senderOf(values: Values): ReversePath {
  const text = values.text('sender')
  if (!values.has('malformedSender')) {
    const address = parseAddress(text)
    return address.ok ? address.value : internalReversePath(text)
  }
  return Object.freeze({ kind: 'malformed-sender', text })
}

function clientOf(values: Values): Client {
  const ip = values.textOr('ip')
  const words = (['name', 'helo', 'user'] as const).map(name => [name, values.textOr(name)] as const)
  return {
    ...(ip !== undefined && { ip: readable(parseIpAddress(ip), 'ip') }),
    ...Object.fromEntries(words.filter(([, value]) => value !== undefined)),
  }
}

function groundsOf(values: Values): HoldGrounds {
  const reason = (name: string): Reason => values.oneOf(name, REASONS)
  return {
    reason: reason('reason'),
    rule: values.text('rule'),
    ...(values.textOr('inPlaceOf') !== undefined && { inPlaceOf: reason('inPlaceOf') }),
    returnPath: values.oneOf('returnPath', RETURN_PATHS),
  }
}

function postOf(values: Values): HeldPost {
  const recipient = values.text('recipient')
  const address = parseAddress(recipient)
  const mta = values.objectOr('mta')
  const mtaAddress = mta?.textOr('address')
  const list = values.text('list')
  if (!list.includes('@')) throw new Unreadable('list is no address')
  return {
    envelope: {
      sender: senderOf(values),
      client: clientOf(values.object('client')),
      id: values.text('id'),
      receivedAt: values.number('receivedAt'),
      smtputf8: values.truth('smtputf8'),
      ...(mta !== undefined && {
        mta: { name: mta.text('name'), ...(mtaAddress !== undefined && { address: mtaAddress }) },
      }),
    },
    to: {
      recipient: address.ok ? address.value : readable(internalForwardPath(recipient), 'recipient'),
      list: list as ListAddress,
      service: values.textOr('service'),
    },
    grounds: groundsOf(values),
    heldAt: values.number('heldAt'),
    size: values.number('size'),
    summary: {
      subject: values.text('subject'),
      author: values.text('author'),
      authors: values.texts('authors').flatMap(text => {
        const author = parseAddress(text)
        return author.ok ? [author.value] : []
      }),
      messageId: values.text('messageId'),
      automatic: values.truth('automatic'),
    },
  }
}

/** Reads what is said of a message. Never throws. */
export function parseMetadata(json: Uint8Array): Parsed<HeldPost> {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
    return isObject(value) ? parsed(postOf(new Values(value))) : problem('what is said of it is no object')
  } catch (error) {
    if (error instanceof Unreadable) return problem(error.message)
    return problem('what is said of it cannot be read')
  }
}
