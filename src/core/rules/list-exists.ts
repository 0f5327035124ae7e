/**
 * There is a list of that name, or one whose service address it is; what the store holds of it and of its domain can be
 * understood. What cannot be understood is our own fault, and therefore temporary.
 */
import type { EndOfMessageTransaction, RcptTransaction } from '../transaction.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

export const listExists: Rule<RecipientCase<RcptTransaction | EndOfMessageTransaction>> = {
  name: 'list-exists',
  sees: c => {
    switch (c.target.kind) {
      case 'posting':
        return `${c.target.list.address}, its posting address`
      case 'service':
        return `${c.target.list.address}, its service address ${c.target.service}`
      case 'unreadable':
        return `${c.target.list.address}, whose data cannot be understood: ${c.target.problem}`
      case 'uncertain':
        return `${c.target.name}, whose domain's data cannot be understood: ${c.target.problem}`
      default:
        return 'no such list'
    }
  },
  judge: c => {
    if (c.target.kind === 'unknown') return rule('reject', 'list-unknown', c.target)
    if (c.target.kind === 'unreadable' || c.target.kind === 'uncertain') {
      return rule('defer', 'list-unreadable', c.target)
    }
    return c.position?.ok === false ? rule('defer', 'list-unreadable', c.target) : undefined
  },
}
