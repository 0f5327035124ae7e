/**
 * Kinds of settings: how a value is read from the text that Redis, the import document and the command line hold, written
 * back, and explained. `list.ts` and `list-domain.ts` have the tables.
 */
import { type Address, type AddressKey, mailboxOf, parseAddress } from './address.ts'
import { formatHeaderRule, type HeaderRule, parseHeaderRules } from './header-rules.ts'
import { type Parsed, parsed, problem } from './parsed.ts'
import { type PartPattern, parsePartPatterns } from './part-patterns.ts'
import { replyText } from './reply.ts'

/** How one setting is read, written and explained. */
export interface Setting<T> {
  readonly initial: T
  readonly parse: (text: string) => Parsed<T>
  readonly format: (value: T) => string
  /** The values it takes, for messages and docs. */
  readonly values: string
  readonly help: string
}

/** At most `posts` in `seconds`, for each sender. */
export interface Rate {
  readonly posts: number
  readonly seconds: number
}

/** A setting that is one of a few words. */
export function oneOf<const T extends string>(choices: readonly T[], initial: T, help: string): Setting<T> {
  return {
    initial,
    parse: text => {
      const found = choices.find(choice => choice === text)
      return found === undefined ? problem(`expected one of ${choices.join(', ')}`) : parsed(found)
    },
    format: value => value,
    values: choices.join(' | '),
    help,
  }
}

/** A setting that is a number of which 0 is none. */
export function limit(help: string): Setting<number> {
  return {
    initial: 0,
    parse: text =>
      /^\d{1,12}$/.test(text) ? parsed(Number(text)) : problem('expected a whole number, 0 for no limit'),
    format: String,
    values: 'a whole number; 0 is no limit',
    help,
  }
}

const PERIODS = { s: 1, m: 60, h: 3600, d: 86400 } as const

function parseRate(text: string): Parsed<Rate | undefined> {
  if (text === '') return parsed(undefined)
  const match = /^(\d{1,6})\/(\d{1,4})([smhd])$/.exec(text)
  const posts = Number(match?.[1])
  const seconds = Number(match?.[2]) * (PERIODS[match?.[3] as keyof typeof PERIODS] ?? 0)
  return match !== null && posts > 0 && seconds > 0
    ? parsed({ posts, seconds })
    : problem('expected posts per period, like 10/1h, 100/1d, or nothing')
}

function formatRate(rate: Rate | undefined): string {
  if (rate === undefined) return ''
  const unit =
    (['d', 'h', 'm', 's'] as const).find(candidate => rate.seconds % PERIODS[candidate] === 0) ?? 's'
  return `${rate.posts}/${rate.seconds / PERIODS[unit]}${unit}`
}

/** A setting that is a line for replies, or none. */
export function ownWords(
  check: (text: string) => string | undefined,
  values: string,
  help: string,
): Setting<string | undefined> {
  return {
    initial: undefined,
    parse: text => {
      if (text === '') return parsed(undefined)
      const wrong = text === replyText(text) ? check(text) : 'expected printable ASCII in one line'
      return wrong === undefined ? parsed(text) : problem(wrong)
    },
    format: value => value ?? '',
    values,
    help,
  }
}

/** The name of a delivery, as the configuration has it. */
export function parseDeliveryName(text: string): Parsed<string> {
  return /^[a-z0-9][a-z0-9_-]{0,62}$/.test(text)
    ? parsed(text)
    : problem('expected the name of a delivery: small letters, digits, - and _')
}

/** A setting that is the name of a delivery, or none. */
export function deliveryName(values: string, help: string): Setting<string | undefined> {
  return {
    initial: undefined,
    parse: text => (text === '' ? parsed(undefined) : parseDeliveryName(text)),
    format: value => value ?? '',
    values,
    help,
  }
}

/** A setting that is a rate, or none. */
export function rate(help: string): Setting<Rate | undefined> {
  return {
    initial: undefined,
    parse: parseRate,
    format: formatRate,
    values: 'posts per period, like 10/1h; empty is no limit',
    help,
  }
}

/** Addresses of one setting. */
const MAX_ADDRESSES = 100

function parseAddresses(text: string): Parsed<readonly AddressKey[]> {
  const found: Address[] = []
  for (const word of text.split(/\s+/).filter(word => word !== '')) {
    const address = parseAddress(word)
    if (!address.ok) return problem(`${JSON.stringify(word)}: ${address.problem}`)
    found.push(address.value)
  }
  return found.length > MAX_ADDRESSES
    ? problem(`expected at most ${MAX_ADDRESSES} addresses`)
    : parsed([...new Set(found.map(({ key }) => key))])
}

/** A setting that is some addresses. A quoted local part with a space in it has no place there. */
export function addresses(help: string): Setting<readonly AddressKey[]> {
  return {
    initial: [],
    parse: parseAddresses,
    format: keys => keys.map(mailboxOf).join(' '),
    values: 'addresses with spaces between them',
    help,
  }
}

/** A setting that is some kinds of parts. */
export function partPatterns(help: string): Setting<readonly PartPattern[]> {
  return {
    initial: [],
    parse: parsePartPatterns,
    format: patterns => patterns.join(' '),
    values: 'like image/png, image/* or .exe, with spaces between them',
    help,
  }
}

/** A setting that is some header rules. */
export function headerRules(help: string): Setting<readonly HeaderRule[]> {
  return {
    initial: [],
    parse: parseHeaderRules,
    format: rules => rules.map(formatHeaderRule).join('\n'),
    values: 'rules like hold Subject: pattern, one a line',
    help,
  }
}
