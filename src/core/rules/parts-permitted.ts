/** What the message's parts are (RFC 2045, RFC 2183): none that the list refuses, and only those that it takes. */
import type { MessagePart } from '../content.ts'
import type { ListSettings } from '../list.ts'
import { speaksOf } from '../part-patterns.ts'
import type { EndOfMessageTransaction } from '../transaction.ts'
import { contentRuling } from './content-ruling.ts'
import { type RecipientCase, type Rule, rule } from './rule.ts'

type EndCase = RecipientCase<EndOfMessageTransaction>

function isPermitted(part: MessagePart, { refused_parts, accepted_parts }: ListSettings): boolean {
  if (refused_parts.some(pattern => speaksOf(pattern, part))) return false
  return accepted_parts.length === 0 || accepted_parts.some(pattern => speaksOf(pattern, part))
}

const inWords = ({ type, extension }: MessagePart): string =>
  extension === undefined ? type : `${type} (.${extension})`

/** Whether a list looks at parts at all, so that the body has to be read. */
export function looksAtParts({ refused_parts, accepted_parts }: ListSettings): boolean {
  return refused_parts.length + accepted_parts.length > 0
}

function notPermitted({ tx, target }: EndCase): MessagePart | undefined {
  if (target.kind !== 'posting') return undefined
  return tx.content?.parts?.parts.find(part => !isPermitted(part, target.settings))
}

export const partsPermitted: Rule<EndCase> = {
  name: 'parts-permitted',
  sees: c => {
    const parts = c.tx.content?.parts
    if (parts === undefined) return 'parts were not looked at'
    const found = notPermitted(c)
    return `${parts.parts.length} parts${parts.tooMany ? ', and more' : ''}; ${found === undefined ? 'all permitted' : `not permitted: ${inWords(found)}`}`
  },
  judge: c => {
    const parts = c.tx.content?.parts
    if (c.target.kind !== 'posting' || parts === undefined || !looksAtParts(c.target.settings))
      return undefined
    if (parts.tooMany) return rule('reject', 'too-many-parts', c.target)
    const found = notPermitted(c)
    return found === undefined
      ? undefined
      : contentRuling(c.target.settings.parts_action, 'part-not-permitted', c.target, {
          detail: inWords(found),
        })
  },
}
