/**
 * A mailing list's settings, and the one table that says how each is called, read, written and explained. The
 * store, the command line, the import document and the docs all go by this table.
 */
import type { AddressKey } from './address.ts'
import { CONTENT_ACTIONS, type ContentAction } from './content.ts'
import type { HeaderRule } from './header-rules.ts'
import { type Parsed, parsed, problem } from './parsed.ts'
import type { PartPattern } from './part-patterns.ts'
import {
  addresses,
  deliveryName,
  headerRules,
  limit,
  oneOf,
  ownWords,
  partPatterns,
  type Rate,
  rate,
  type Setting,
} from './setting.ts'

/** What happens to a post. `defer` is Mailman's: no answer of its own, later checks go on; posting is permitted. */
export const ACTIONS = ['accept', 'hold', 'reject', 'discard', 'defer'] as const
export type Action = (typeof ACTIONS)[number]

/** How service addresses are spelled: by Mailman's, mlmmj's or Sympa's rules. */
export const FLAVOURS = ['mailman', 'mlmmj', 'sympa'] as const
export type Flavour = (typeof FLAVOURS)[number]

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
  readonly honour_admission: 'yes' | 'no'
  readonly emergency: 'on' | 'off'
  readonly first_post: 'accept' | 'hold'
  readonly reject_notice: 'yes' | 'no'
  readonly max_size: number
  readonly max_recipients: number
  readonly max_lists: number
  readonly max_destinations: number
  readonly destinations_action: ContentAction
  readonly rate: Rate | undefined
  readonly loops: ContentAction
  readonly automatic_replies: ContentAction
  readonly bulk_mail: ContentAction
  readonly unclear_author: ContentAction
  readonly unnamed: ContentAction
  readonly acceptable_names: readonly AddressKey[]
  readonly header_rules: readonly HeaderRule[]
  readonly refused_parts: readonly PartPattern[]
  readonly accepted_parts: readonly PartPattern[]
  readonly parts_action: ContentAction
  readonly reply_text: string | undefined
  readonly reply_url: string | undefined
  readonly delivery: string | undefined
  readonly mode: 'enforce' | 'shadow'
}

/** The name of a setting, the same in Redis, in the import document and at the command line. */
export type SettingName = keyof ListSettings

type SettingsTable = { readonly [N in SettingName]: Setting<ListSettings[N]> }

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
  honour_admission: oneOf(
    ['yes', 'no'],
    'yes',
    'whether a post that was let in stays so if the permission goes while the mail waits in a queue',
  ),
  emergency: oneOf(['on', 'off'], 'off', "on holds everybody's posts"),
  first_post: oneOf(
    ['accept', 'hold'],
    'accept',
    "hold keeps a member's posts for a moderator until one was let through",
  ),
  reject_notice: oneOf(
    ['yes', 'no'],
    'no',
    'whether a sender is told that a moderator has refused their post, if the return path is proven to be theirs',
  ),
  max_size: limit('largest message, in bytes'),
  max_recipients: limit('most recipients of one message that goes to this list'),
  max_lists: limit('most lists that one message may go to at once'),
  max_destinations: limit('most addresses in To: and Cc:'),
  destinations_action: oneOf(CONTENT_ACTIONS, 'hold', 'what happens to a post with more'),
  rate: rate('how often one sender may post'),
  loops: oneOf(CONTENT_ACTIONS, 'reject', 'what happens to mail that the list has sent itself'),
  automatic_replies: oneOf(
    CONTENT_ACTIONS,
    'reject',
    'what happens to replies of machines, as of absent people',
  ),
  bulk_mail: oneOf(CONTENT_ACTIONS, 'accept', 'what happens to mail with Precedence: bulk, list or junk'),
  unclear_author: oneOf(
    CONTENT_ACTIONS,
    'accept',
    'what happens to a post without an author or with several',
  ),
  unnamed: oneOf(
    CONTENT_ACTIONS,
    'accept',
    'what happens to a post that does not name the list in To: or Cc:',
  ),
  acceptable_names: addresses("addresses that count as the list's in To: and Cc:"),
  header_rules: headerRules('what happens to posts by their header'),
  refused_parts: partPatterns('parts that a post may not have'),
  accepted_parts: partPatterns('the only parts that a post may have; empty is any'),
  parts_action: oneOf(CONTENT_ACTIONS, 'reject', 'what happens to a post with other parts'),
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
