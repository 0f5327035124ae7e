/** What a list's settings settle when: at RCPT, when the header is there, and when the whole message is. */
import type { ListSettings } from '../../core/list.ts'
import { looksAtParts } from '../../core/rules/parts-permitted.ts'

/** What is settled in each of the three places, in words; empty if nothing is. */
export interface Certainty {
  readonly atRcpt: readonly string[]
  readonly atHeader: readonly string[]
  readonly atEnd: readonly string[]
}

type Clause = readonly [said: boolean, words: string]

const said = (clauses: readonly Clause[]): readonly string[] =>
  clauses.flatMap(([isSaid, words]) => (isSaid ? [words] : []))

const WHO_AT_RCPT = {
  envelope: 'who may post, by the envelope sender',
  author: 'bans of the envelope sender',
  any: 'envelope senders who may post or are banned',
} as const

const WHO_AT_HEADER = {
  author: 'who may post, by From:',
  any: 'who else may post, by From:, Sender: and Reply-To:',
} as const

function atRcpt(settings: ListSettings): readonly string[] {
  const { identity, max_recipients, max_size, rate } = settings
  // Where the author decides, RCPT has nothing more to say of a sender.
  const goesOn = identity !== 'author'
  return said([
    [true, WHO_AT_RCPT[identity]],
    [max_recipients > 0, 'the number of recipients'],
    [goesOn && max_size > 0, 'the size, if the client declares it'],
    [goesOn && rate !== undefined, 'how often somebody posts'],
  ])
}

function atHeader(settings: ListSettings): readonly string[] {
  const { identity } = settings
  return said([
    ...(identity === 'envelope' ? [] : [[true, WHO_AT_HEADER[identity]] as const]),
    [settings.loops !== 'accept', 'loops'],
    [settings.automatic_replies !== 'accept', 'replies of machines'],
    [settings.bulk_mail !== 'accept', 'bulk mail'],
    [settings.unclear_author !== 'accept', 'posts without one author'],
    [settings.max_lists > 0, 'the number of lists'],
    [settings.max_destinations > 0, 'the number of addresses in To: and Cc:'],
    [settings.unnamed !== 'accept', 'whether the list is named'],
    [settings.header_rules.length > 0, 'the header rules'],
  ])
}

/** What is certain when the client names the list, and what has to wait for the message. */
export function certaintyOf(settings: ListSettings): Certainty {
  if (settings.state !== 'active') {
    return { atRcpt: [`everything: the list is ${settings.state}`], atHeader: [], atEnd: [] }
  }
  return {
    atRcpt: atRcpt(settings),
    atHeader: atHeader(settings),
    atEnd: said([
      [settings.max_size > 0, 'the size'],
      [looksAtParts(settings), 'the parts'],
    ]),
  }
}

/** Who settles what only the message tells. */
export function lateCertaintyInWords({ late_refusal: choice }: ListSettings): string {
  const done = choice === 'hold' ? 'held' : 'dropped'
  return `A milter sees the message while the client is on the line. Where none does, the sink settles the rest, and what it may not refuse any more is ${done}.`
}
