/**
 * A mailing list's settings, and the one table that says how each is called, read, written and explained. The
 * store, the command line, the import document and the docs all go by this table.
 */
import { type Parsed, parsed, problem } from './parsed.ts'
import { replyText } from './reply.ts'

/** What happens to a post. `defer` is Mailman's: no answer of its own, later checks go on; posting is permitted. */
export const ACTIONS = ['accept', 'hold', 'reject', 'discard', 'defer'] as const
export type Action = (typeof ACTIONS)[number]

/** How service addresses are spelled: by Mailman's, mlmmj's or Sympa's rules. */
export const FLAVOURS = ['mailman', 'mlmmj', 'sympa'] as const
export type Flavour = (typeof FLAVOURS)[number]

/** At most `posts` in `seconds`, for each sender. */
export interface Rate {
  readonly posts: number
  readonly seconds: number
}

/** A list's settings. Sizes are in octets; 0 is no limit. */
export interface ListSettings {
  readonly flavour: Flavour
  readonly state: 'active' | 'paused' | 'closed'
  readonly owner_action: Action
  readonly moderator_action: Action
  readonly member_action: Action
  readonly nonmember_action: Action
  readonly identity: 'envelope' | 'author' | 'any'
  readonly late_refusal: 'hold' | 'discard'
  readonly max_size: number
  readonly max_recipients: number
  readonly rate: Rate | undefined
  readonly reply_text: string | undefined
  readonly reply_url: string | undefined
  readonly delivery: string | undefined
  readonly mode: 'enforce' | 'shadow'
}

/** The name of a setting, the same in Redis, in the import document and at the command line. */
export type SettingName = keyof ListSettings

/** How one setting is read, written and explained. */
export interface Setting<T> {
  readonly initial: T
  readonly parse: (text: string) => Parsed<T>
  readonly format: (value: T) => string
  /** The values it takes, for messages and docs. */
  readonly values: string
  readonly help: string
}

type SettingsTable = { readonly [N in SettingName]: Setting<ListSettings[N]> }

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

function limit(help: string): Setting<number> {
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

function ownWords(
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

/** Every setting, in the order in which they are shown. */
export const SETTINGS: SettingsTable = {
  flavour: oneOf(FLAVOURS, 'mailman', 'how service addresses are spelled: team-owner@ or team+owner@'),
  state: oneOf(
    ['active', 'paused', 'closed'],
    'active',
    'paused defers every post, closed refuses it for good',
  ),
  owner_action: oneOf(ACTIONS, 'accept', "what happens to an owner's post"),
  moderator_action: oneOf(ACTIONS, 'accept', "what happens to a moderator's post"),
  member_action: oneOf(ACTIONS, 'accept', "what happens to a member's post"),
  nonmember_action: oneOf(ACTIONS, 'reject', 'what happens to the post of anybody else'),
  identity: oneOf(
    ['envelope', 'author', 'any'],
    'envelope',
    'who counts as the poster: the envelope sender, From:, or any of envelope, From:, Sender: and Reply-To:',
  ),
  late_refusal: oneOf(
    ['hold', 'discard'],
    'hold',
    'what becomes of a post that can only be refused after the MTA has taken it, when a refusal would be a bounce',
  ),
  max_size: limit('largest message, in bytes'),
  max_recipients: limit('most recipients of one message that goes to this list'),
  rate: {
    initial: undefined,
    parse: parseRate,
    format: formatRate,
    values: 'posts per period, like 10/1h; empty is no limit',
    help: 'how often one sender may post',
  },
  reply_text: ownWords(
    text => (text.length > 300 ? 'expected at most 300 characters' : undefined),
    'one line of ASCII; empty is the standard text',
    'what a refused sender is told, after the name of the list',
  ),
  reply_url: ownWords(
    text => (/^https?:\/\/[^\s<>"]{1,120}$/.test(text) ? undefined : 'expected an http or https URL'),
    'an http or https URL; empty is none',
    'where a refused sender can read more; put at the end of the reply',
  ),
  delivery: deliveryName(
    "the name of a delivery in the configuration; empty is the domain's, or else the site's",
    'where the sink hands on what passes',
  ),
  mode: oneOf(
    ['enforce', 'shadow'],
    'enforce',
    'shadow accepts every post, and only notes what would have been done',
  ),
}

/** The names of all settings, in the order in which they are shown. */
export const SETTING_NAMES: readonly SettingName[] = Object.keys(SETTINGS) as SettingName[]

/** The settings of a list that was given none. */
export const INITIAL_SETTINGS: ListSettings = Object.freeze(
  Object.fromEntries(SETTING_NAMES.map(name => [name, SETTINGS[name].initial])),
) as unknown as ListSettings

/** Settings bundles with a name; each is a change to whatever the list has. */
export const PRESETS = {
  open: { state: 'active', member_action: 'accept', nonmember_action: 'accept' },
  members: { state: 'active', member_action: 'accept', nonmember_action: 'reject' },
  moderated: { state: 'active', member_action: 'hold', nonmember_action: 'hold' },
  announce: { state: 'active', member_action: 'reject', nonmember_action: 'reject' },
  closed: { state: 'closed' },
} as const satisfies Record<string, Readonly<Partial<Record<SettingName, string>>>>
export type Preset = keyof typeof PRESETS
export const PRESET_NAMES: readonly Preset[] = Object.keys(PRESETS) as Preset[]

/** Settings as text by name: how Redis, the import document and the command line hold them. */
export type SettingTexts = Readonly<Record<string, string>>

/**
 * Reads settings from texts over a base. A name that is no setting, or a value that one does not take, is a
 * problem that names it: a list half understood must not be judged.
 */
export function parseSettings(
  texts: SettingTexts,
  base: ListSettings = INITIAL_SETTINGS,
): Parsed<ListSettings> {
  const result: Record<string, unknown> = { ...base }
  for (const [name, text] of Object.entries(texts)) {
    if (!Object.hasOwn(SETTINGS, name)) {
      return problem(`there is no setting ${name}; the settings are ${SETTING_NAMES.join(', ')}`)
    }
    const value = SETTINGS[name as SettingName].parse(text)
    if (!value.ok) return problem(`${name}: ${value.problem}, not ${JSON.stringify(text)}`)
    result[name] = value.value
  }
  return parsed(Object.freeze(result) as unknown as ListSettings)
}

/** Writes every setting as text; `parseSettings` gives the same settings back. */
export function formatSettings(settings: ListSettings): Record<SettingName, string> {
  const text = <N extends SettingName>(name: N): string => SETTINGS[name].format(settings[name])
  return Object.fromEntries(SETTING_NAMES.map(name => [name, text(name)])) as Record<SettingName, string>
}
