/** The world of the milter benchmark: three lists of 200 members each, of which the poster may post to two. */
import type { Store } from '../src/app/ports.ts'
import { parseAddress } from '../src/core/address.ts'
import { parseDomain } from '../src/core/domain.ts'
import { INITIAL_SETTINGS } from '../src/core/list.ts'
import type { Parsed } from '../src/core/parsed.ts'
import { makePerson } from '../src/core/person.ts'
import { parseWho } from '../src/core/who.ts'

const DOMAIN = 'lists.example.org'
const MEMBERS = 200

/** Whom the client's conversations come from, and the lists that let this sender post. */
export const POSTER = 'poster@users.example.net'
const OPEN_TO_POSTER = ['team', 'crew']

function must<T>(result: Parsed<T>): T {
  if (!result.ok) throw new Error(result.problem)
  return result.value
}

/** Puts the lists and their members into an empty store. */
export async function fill(store: Store): Promise<void> {
  await store.putDomain(must(parseDomain(DOMAIN)), { flavour: 'mailman' })
  const person = must(makePerson(['member'], undefined))
  for (const list of [...OPEN_TO_POSTER, 'closed']) {
    const address = must(parseAddress(`${list}@${DOMAIN}`)).key
    const members = Array.from({ length: MEMBERS }, (_, i) => `member${i}@users${i % 20}.example.net`)
    if (list !== 'closed') members.push(POSTER)
    const staged = await store.stagePeople(address)
    await staged.add(members.map(member => ({ who: must(parseWho(member)), person })))
    await staged.commit({ address, settings: INITIAL_SETTINGS, bans: [] }, { dryRun: false })
  }
}
