/**
 * What both stores keep as text, and how it is read back. People's names are written in canonical form, and looked up
 * so; what somebody wrote otherwise by hand is never found, which a listing must say.
 */
import { parseAddress } from '../core/address.ts'
import { type ListSettings, SETTINGS, type SettingName } from '../core/list.ts'
import { type ListDomain, parseDomainRecord } from '../core/list-domain.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'
import { isAboutDomain, parseWho, type Who, whoIs } from '../core/who.ts'
import { StoredDataError } from './store-errors.ts'

/** Writes the settings that are given, each as its text. */
export function settingTexts(settings: Partial<ListSettings>): Record<string, string> {
  const text = <N extends SettingName>(name: N): string =>
    SETTINGS[name].format(settings[name] as ListSettings[N])
  return Object.fromEntries((Object.keys(settings) as SettingName[]).map(name => [name, text(name)]))
}

/** Reads a list domain's record. @throws StoredDataError */
export function readDomain(domain: string, text: string): ListDomain {
  const record = parseDomainRecord(text)
  if (record.ok) return record.value
  throw new StoredDataError(`the list domain ${domain}: ${record.problem}`)
}

/** Reads a stored name: an address's key, which is not quoted, `@domain` or `@.domain`. */
export function readStoredWho(text: string): Parsed<Who> {
  const who = isAboutDomain(text) ? parseWho(text) : parseKey(text)
  if (!who.ok) return problem(`not an address, @domain or @.domain: ${who.problem}`)
  return who.value === text ? who : problem(`never found as it is written: it should be ${who.value}`)
}

function parseKey(text: string): Parsed<Who> {
  const at = text.lastIndexOf('@')
  const quoted = `"${text.slice(0, at).replace(/["\\]/g, '\\$&')}"`
  const address = parseAddress(at === -1 ? text : `${quoted}${text.slice(at)}`)
  return address.ok ? parsed(whoIs(address.value)) : address
}
