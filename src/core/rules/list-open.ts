/** A paused list defers its mail, service addresses included; a closed one refuses it for good. */
import { ownWords, type RecipientCase, type Rule, rule } from './rule.ts'

export const listOpen: Rule<RecipientCase> = {
  name: 'list-open',
  sees: c => ('settings' in c.target ? `the list is ${c.target.settings.state}` : 'no list'),
  judge: c => {
    if (!('settings' in c.target)) return undefined
    const { state } = c.target.settings
    if (state === 'paused') return rule('defer', 'list-paused', c.target)
    return state === 'closed' ? rule('reject', 'list-closed', c.target, ownWords(c.target)) : undefined
  },
}
