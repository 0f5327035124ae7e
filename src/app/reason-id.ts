/**
 * Reason ids: eight characters at the end of a refusal, by which somebody who was refused can ask why. An id holds the second
 * at which it was made, so that it is found in a journal that has no index of them: 22 bits of seconds, which come round every 48 days,
 * and 18 bits of a number that counts on from where each process happened to begin. In Crockford's base 32, which has no I, L, O
 * and U, and in which nothing that is read over a telephone is mistaken.
 */
import { randomInt } from 'node:crypto'
import { MAX_REPLY_TEXT, makeReply, type Reply } from '../core/reply.ts'
import type { Transaction } from '../core/transaction.ts'
import type { Verdict } from '../core/verdict.ts'
import { Repeats, repeatKey } from './repeats.ts'

declare const refBrand: unique symbol

/** `K7Q2M9XP`. */
export type ReasonId = string & { readonly [refBrand]: true }

const DIGITS = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'
const LENGTH = 8
const NUMBERS = 2 ** 18
const SECONDS = 2 ** 22

/** An id of a time (milliseconds since the epoch) and a number. */
export function makeReasonId(time: number, number: number): ReasonId {
  let rest = (Math.floor(time / 1000) % SECONDS) * NUMBERS + (number % NUMBERS)
  let text = ''
  for (let place = 0; place < LENGTH; place++) {
    text = `${DIGITS[rest % 32]}${text}`
    rest = Math.floor(rest / 32)
  }
  return text as ReasonId
}

/** Reads an id as somebody may write it: in any case, with dashes or spaces, `O` for `0`, `I` and `L` for `1`. */
export function parseReasonId(text: string): ReasonId | undefined {
  const plain = text.toUpperCase().replace(/[\s-]/g, '').replace(/O/g, '0').replace(/[IL]/g, '1')
  return plain.length === LENGTH && [...plain].every(digit => DIGITS.includes(digit))
    ? (plain as ReasonId)
    : undefined
}

/** The seconds at which an id may have been made, between two times: the latest first. All in milliseconds. */
export function timesOf(id: ReasonId, since: number, until: number): readonly number[] {
  const value = [...id].reduce((sum, digit) => sum * 32 + DIGITS.indexOf(digit), 0)
  const seconds = Math.floor(value / NUMBERS)
  const last = Math.floor(until / 1000)
  const times: number[] = []
  for (
    let at = last - ((((last - seconds) % SECONDS) + SECONDS) % SECONDS);
    at * 1000 > since - 1000;
    at -= SECONDS
  )
    times.push(at * 1000)
  return times
}

/** The reply with its id, and with the place where more is told; the text before it is cut where there is no room. */
export function withReasonId(reply: Reply, id: ReasonId, url: string | undefined): Reply {
  const place = url?.replaceAll('{id}', id)
  const end = place === undefined ? ` (ref ${id})` : ` (ref ${id}, ${place})`
  const text = `${reply.text.slice(0, MAX_REPLY_TEXT - end.length).trimEnd()}${end}`
  const made = makeReply(reply.code, reply.enhanced, text)
  if (!made.ok) throw new Error(`the reply with a reason id: ${made.problem}`)
  return made.value
}

/** Gives refusals their ids; a question that is repeated gets the id that it got first. */
export class ReasonIds {
  readonly #repeats = new Repeats<ReasonId>()
  #number: number = randomInt(NUMBERS)

  /** The id of a refusal; nothing for what is none. */
  idOf(tx: Transaction, verdict: Verdict, queueId: string | undefined, at: number): ReasonId | undefined {
    if (verdict.kind !== 'reject' && verdict.kind !== 'defer') return undefined
    const make = (): ReasonId => makeReasonId(at, this.#number++)
    const key = repeatKey(tx, verdict, queueId)
    return key === undefined ? make() : this.#repeats.first(key, at, make).value
  }
}
