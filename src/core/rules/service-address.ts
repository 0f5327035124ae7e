/**
 * Service addresses (bounces, owner, request …) take mail from anyone, the null sender included: bounces, commands
 * and complaints must reach the list.
 */
import type { EndOfMessageTransaction, RcptTransaction } from '../transaction.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

export const serviceAddress: Rule<RecipientCase<RcptTransaction | EndOfMessageTransaction>> = {
  name: 'service-address',
  sees: c => (c.target.kind === 'service' ? `the service address ${c.target.service}` : 'a posting address'),
  judge: c => (c.target.kind === 'service' ? rule('accept', 'service-address', c.target) : undefined),
}
