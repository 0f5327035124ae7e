/**
 * A client on the list of refused MTAs is turned away: found by its network, its verified name, or the name it gives
 * at HELO (a name that nobody would borrow to be refused).
 */
import { type Case, type Rule, rule } from './rule.ts'

export const mtaNotRefused: Rule<Case> = {
  name: 'mta-not-refused',
  sees: c => `refused entry for the client: ${c.facts.refusedMta ?? 'none'}`,
  judge: c => (c.facts.refusedMta === undefined ? undefined : rule('reject', 'mta-refused')),
}

/** The same at CONNECT, where it holds only if the site says so. */
export const mtaNotRefusedAtConnect: Rule<Case> = {
  ...mtaNotRefused,
  sees: c => `${mtaNotRefused.sees(c)}; refused MTAs are turned away at ${c.site.refuseMtasAt}`,
  judge: c => (c.site.refuseMtasAt === 'CONNECT' ? mtaNotRefused.judge(c) : undefined),
}
