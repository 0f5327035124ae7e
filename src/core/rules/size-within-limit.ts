/**
 * No message is larger than the list takes: at RCPT by the size that the client declared, at the end of the message
 * by what was counted. Comes after permission, so that only those who may post hear of it.
 */
import type { EndOfMessageTransaction, RcptTransaction } from '../transaction.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

type SizedCase = RecipientCase<RcptTransaction | EndOfMessageTransaction>

export const sizeWithinLimit: Rule<SizedCase> = {
  name: 'size-within-limit',
  sees: c => {
    const limit = c.target.kind === 'posting' ? c.target.settings.max_size : 0
    return `${c.tx.size ?? 'undeclared'} bytes; the list's limit: ${limit || 'none'}`
  },
  judge: c => {
    if (c.target.kind !== 'posting') return undefined
    const limit = c.target.settings.max_size
    if (limit === 0 || c.tx.size === undefined || c.tx.size <= limit) return undefined
    return rule('reject', 'message-too-big', c.target, { detail: String(limit) })
  },
}
