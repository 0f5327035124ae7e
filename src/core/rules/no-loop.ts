/**
 * A message that has been through the list, or round in circles: it bears the list's own List-Id or List-Post (RFC
 * 2919, RFC 2369), Mailman's X-BeenThere, our Delivered-To, or more Received fields than a way has stations (RFC 5321
 * §6.3).
 */
import { type MessageContent, valuesOf } from '../content.ts'
import type { EndOfMessageTransaction, ListAddress } from '../transaction.ts'
import { contentRuling } from './content-ruling.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

/** The fields that a list puts into what it sends, and how they spell its name. */
const TRACES: readonly { readonly field: string; readonly spelled: (list: ListAddress) => string }[] = [
  // In a List-Id the @ is a dot.
  { field: 'list-id', spelled: list => `<${list.replace(/@(?=[^@]*$)/, '.')}>` },
  { field: 'list-post', spelled: list => `<mailto:${list}>` },
  { field: 'x-beenthere', spelled: list => list },
  { field: 'delivered-to', spelled: list => list },
]

/** Where a field's words about the list may begin and end. */
function names(value: string, spelled: string): boolean {
  const text = value.toLowerCase()
  return spelled.startsWith('<') ? text.includes(spelled) : text.split(/[\s,;<>]+/).includes(spelled)
}

function traceOf(content: MessageContent, list: ListAddress): string | undefined {
  return TRACES.find(({ field, spelled }) =>
    valuesOf(content, field).some(value => names(value, spelled(list))),
  )?.field
}

const hops = (content: MessageContent | undefined): number =>
  content === undefined ? 0 : valuesOf(content, 'received').length

export const noLoop: Rule<RecipientCase<EndOfMessageTransaction>> = {
  name: 'no-loop',
  sees: ({ tx: { content }, target, site }) => {
    const trace =
      content === undefined || target.kind !== 'posting' ? undefined : traceOf(content, target.list.address)
    return `${trace === undefined ? "no trace of the list's own" : `the list's own ${trace}`}; ${hops(content)} hops, limit ${site.maxHops || 'none'}`
  },
  judge: ({ tx: { content }, target, site }) => {
    if (target.kind !== 'posting' || content === undefined) return undefined
    if (site.maxHops > 0 && hops(content) > site.maxHops) return rule('reject', 'too-many-hops', target)
    return traceOf(content, target.list.address) === undefined
      ? undefined
      : contentRuling(target.settings.loops, 'mail-loop', target)
  },
}
