/**
 * A list domain's settings, and the one table that says how each is called, read, written and explained: what lists have
 * in `list.ts`, for the domains that they are in.
 *
 * Stored, a domain's settings are one text: the flavour's word, then `name=value` for each of the others that is not
 * what it is at first: `mailman`, `mailman delivery=archive`.
 */
import { FLAVOURS, type Flavour, type SettingTexts } from './list.ts'
import { type Parsed, parsed, problem } from './parsed.ts'
import { deliveryName, oneOf, type Setting } from './setting.ts'

/** A list domain's settings. */
export interface ListDomain {
  /** The flavour that new lists of the domain get. */
  readonly flavour: Flavour
  /** The name of the delivery for its lists that choose none; absent: the site's. */
  readonly delivery?: string | undefined
}

/** The name of a domain's setting, the same in the store, in the import document and at the command line. */
export type DomainSettingName = keyof ListDomain

type DomainSettingsTable = { readonly [N in DomainSettingName]-?: Setting<ListDomain[N]> }

/** Every setting, in the order in which they are shown. No value has a space in it. */
export const DOMAIN_SETTINGS: DomainSettingsTable = {
  flavour: oneOf(FLAVOURS, 'mailman', 'how service addresses of new lists are spelled'),
  delivery: deliveryName(
    "the name of a delivery in the configuration; empty is the site's",
    'where the sink hands on what passes, for lists that choose no delivery',
  ),
}

/** The names of all settings, in the order in which they are shown. */
export const DOMAIN_SETTING_NAMES: readonly DomainSettingName[] = Object.keys(
  DOMAIN_SETTINGS,
) as DomainSettingName[]

/** The settings of a domain that was given none. */
export const INITIAL_DOMAIN: ListDomain = Object.freeze({ flavour: DOMAIN_SETTINGS.flavour.initial })

/** Reads settings from texts over a base. What is not understood is a problem that names it. */
export function parseDomainSettings(
  texts: SettingTexts,
  base: ListDomain = INITIAL_DOMAIN,
): Parsed<ListDomain> {
  const result: Record<string, unknown> = { ...base }
  for (const [name, text] of Object.entries(texts)) {
    if (!Object.hasOwn(DOMAIN_SETTINGS, name)) {
      return problem(`there is no setting ${name}; the settings are ${DOMAIN_SETTING_NAMES.join(', ')}`)
    }
    const value = DOMAIN_SETTINGS[name as DomainSettingName].parse(text)
    if (!value.ok) return problem(`${name}: ${value.problem}, not ${JSON.stringify(text)}`)
    if (value.value === undefined) delete result[name]
    else result[name] = value.value
  }
  return parsed(Object.freeze(result) as unknown as ListDomain)
}

/** Writes every setting as text; `parseDomainSettings` gives the same settings back. */
export function formatDomainSettings(domain: ListDomain): Record<DomainSettingName, string> {
  const text = (name: DomainSettingName): string => DOMAIN_SETTINGS[name].format(domain[name] as never)
  return Object.fromEntries(DOMAIN_SETTING_NAMES.map(name => [name, text(name)])) as Record<
    DomainSettingName,
    string
  >
}

/** Writes a domain's settings as the one text that is stored; `parseDomainRecord` gives the same settings back. */
export function formatDomainRecord(domain: ListDomain): string {
  const { flavour, ...others } = formatDomainSettings(domain)
  const words = Object.entries(others).filter(([, text]) => text !== '')
  return [flavour, ...words.map(([name, text]) => `${name}=${text}`)].join(' ')
}

function wordsOf(text: string): readonly string[] {
  return text.split(' ').filter(word => word !== '')
}

/** Adds to a domain what stands behind its flavour. */
function withOthers(base: ListDomain, words: readonly string[]): Parsed<ListDomain> {
  const texts = new Map<string, string>()
  for (const word of words) {
    const [name = '', ...value] = word.split('=')
    if (value.length === 0 || name === 'flavour') {
      return problem(`expected NAME=VALUE after the flavour, not ${JSON.stringify(word)}`)
    }
    if (texts.has(name)) return problem(`${name} is given twice`)
    texts.set(name, value.join('='))
  }
  return parseDomainSettings(Object.fromEntries(texts), base)
}

/**
 * Reads a domain's stored text. A text of which only a part is understood is a problem: mail of such a domain may belong
 * elsewhere than where that part would put it.
 */
export function parseDomainRecord(text: string): Parsed<ListDomain> {
  const [first = '', ...others] = wordsOf(text)
  const flavour = DOMAIN_SETTINGS.flavour.parse(first)
  if (!flavour.ok) return problem(`${flavour.problem}, not ${JSON.stringify(first)}`)
  return withOthers({ flavour: flavour.value }, others)
}

/**
 * The same for a decision, which does not depend on what the domain's new lists would be called: without a flavour, or
 * with one that there is not, it judges all the same.
 */
export function parseDomainForDecision(text: string): Parsed<ListDomain> {
  const words = wordsOf(text)
  const others = words.filter((word, index) => index > 0 || word.includes('='))
  return withOthers({ flavour: FLAVOURS.find(known => known === words[0]) ?? INITIAL_DOMAIN.flavour }, others)
}
