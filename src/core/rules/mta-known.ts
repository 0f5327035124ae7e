/**
 * Where a list of known MTAs is kept, a client that is not on it is refused. It must be on it by its network or its
 * verified name: a HELO name is proof of nothing. A client that the front does not know at all is not judged.
 */
import { type Case, type Rule, rule } from './rule.ts'

export const mtaKnown: Rule<Case> = {
  name: 'mta-known',
  sees: c =>
    c.facts.knownMtasKept
      ? `known entry for the client: ${c.facts.knownMta ?? 'none'}`
      : 'no list of known MTAs is kept',
  judge: c => {
    const { ip, name } = c.tx.client
    const unknown = c.facts.knownMtasKept && c.facts.knownMta === undefined
    return unknown && (ip !== undefined || name !== undefined) ? rule('reject', 'mta-unknown') : undefined
  },
}
