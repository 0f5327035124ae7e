/**
 * One sender posts no more often than the list allows. Only who may post gets here; a question that is repeated for
 * the same message is not another post.
 */
import { type RecipientCase, type Rule, rule } from './rule.ts'

export const rateWithinLimit: Rule<RecipientCase> = {
  name: 'rate-within-limit',
  sees: c => {
    if (c.target.kind !== 'posting' || c.target.settings.rate === undefined) return 'no limit'
    const { posts, seconds } = c.target.settings.rate
    return `${c.target.list.posts.made} posts made of ${posts} in ${seconds} s`
  },
  judge: c => {
    if (c.target.kind !== 'posting' || c.target.settings.rate === undefined) return undefined
    if (c.tx.message === undefined || c.target.list.posts.counted) return undefined
    return c.target.list.posts.made >= c.target.settings.rate.posts
      ? rule('defer', 'rate-exceeded', c.target)
      : undefined
  },
}
