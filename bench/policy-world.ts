/**
 * The world of the policy benchmark: 1,000 lists of 200 members each, and questions of which one in five comes from a
 * stranger. What the answer must be follows from how the question was made, not from Postern.
 */
import type { Store } from '../src/app/ports.ts'
import { parseAddress } from '../src/core/address.ts'
import { parseDomain } from '../src/core/domain.ts'
import { INITIAL_SETTINGS } from '../src/core/list.ts'
import type { Parsed } from '../src/core/parsed.ts'
import { makePerson } from '../src/core/person.ts'
import { parseWho } from '../src/core/who.ts'
import { postfix37 } from '../test/policy/requests.ts'

export const LISTS = 1000
export const MEMBERS = 200
export const STRANGERS = 0.2

const DOMAIN = 'lists.example.org'

function must<T>(result: Parsed<T>): T {
  if (!result.ok) throw new Error(result.problem)
  return result.value
}

function listName(list: number): string {
  return `list${list}@${DOMAIN}`
}

function memberOf(list: number, member: number): string {
  return `member${list}x${member}@users${member % 20}.example.net`
}

/** Puts the lists and their members into an empty store. */
export async function fill(store: Store): Promise<void> {
  await store.putDomain(must(parseDomain(DOMAIN)), { flavour: 'mailman' })
  const person = must(makePerson(['member'], undefined))
  const lists = Array.from({ length: LISTS }, (_, list) => list)
  const work = async (): Promise<void> => {
    for (let list = lists.pop(); list !== undefined; list = lists.pop()) {
      const address = must(parseAddress(listName(list))).key
      const staged = await store.stagePeople(address)
      const own = list
      await staged.add(
        Array.from({ length: MEMBERS }, (_, i) => ({ who: must(parseWho(memberOf(own, i))), person })),
      )
      await staged.commit({ address, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false })
    }
  }
  await Promise.all(Array.from({ length: 8 }, work))
}

export interface Question {
  readonly request: Buffer
  readonly answer: Buffer
}

/** A random number generator that gives the same numbers for the same seed (mulberry32). */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Questions at RCPT, each of a message of its own, written as Postfix 3.7 writes them, and what must be answered. */
export function questions(count: number): readonly Question[] {
  const next = random(1)
  const below = (limit: number): number => Math.floor(next() * limit)
  return Array.from({ length: count }, (_, i) => {
    const list = below(LISTS)
    const isStranger = next() < STRANGERS
    const sender = isStranger ? `stranger${below(1e9)}@example.com` : memberOf(list, below(MEMBERS))
    const values = {
      protocol_state: 'RCPT',
      sender,
      recipient: listName(list),
      instance: `${(i + 1000).toString(16)}.6b028ebb.f34d4.0`,
      size: String(below(100_000)),
    }
    const action = isStranger ? `550 5.7.2 You are not permitted to post to ${listName(list)}` : 'DUNNO'
    return { request: Buffer.from(postfix37(values)), answer: Buffer.from(`action=${action}\n\n`) }
  })
}
