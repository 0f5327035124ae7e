/** Mailing lists and their settings. */
import type { Address } from '../../core/address.ts'
import {
  INITIAL_SETTINGS,
  type ListSettings,
  PRESET_NAMES,
  PRESETS,
  type Preset,
  parseSettings,
  SETTING_NAMES,
  SETTINGS,
  type SettingName,
  type SettingTexts,
} from '../../core/list.ts'
import type { ListAddress } from '../../core/transaction.ts'
import type { Directory, ListRecord } from '../ports.ts'
import { readDomain } from './domains.ts'
import { checkDelivery, type KnownDeliveries } from './known-deliveries.ts'
import { parseListAddress } from './list-address.ts'
import { done, type Outcome, outcomeOf, refused } from './problem.ts'
import { type Overlap, overlapsOf } from './service-overlap.ts'

/** What is asked of a list's settings: a preset first, single settings over it. All as text. */
export interface SettingsRequest {
  readonly preset?: string | undefined
  readonly texts?: SettingTexts
}

/** A setting before and after, as text. */
export interface SettingChange {
  readonly name: SettingName
  readonly from: string
  readonly to: string
}

export interface AddedList {
  readonly address: ListAddress
  readonly settings: ListSettings
  /** Other lists whose service addresses meet this list's address, or the other way round. */
  readonly overlaps: readonly Overlap[]
}

export interface RemovedList {
  readonly address: ListAddress
  /** How many people went with it. */
  readonly people: number
}

export interface ChangedList {
  readonly address: ListAddress
  readonly settings: ListSettings
  /** In the order in which settings are shown. Empty if everything was so already. */
  readonly changes: readonly SettingChange[]
}

/** Reads a list's address and gives its name. */
export function readListAddress(text: string): Outcome<Address> {
  return outcomeOf(parseListAddress(text), 'list-invalid', text)
}

/** The settings in which two lists differ. */
export function settingChanges(before: ListSettings, after: ListSettings): readonly SettingChange[] {
  const change = <N extends SettingName>(name: N): SettingChange => ({
    name,
    from: SETTINGS[name].format(before[name]),
    to: SETTINGS[name].format(after[name]),
  })
  return SETTING_NAMES.map(name => change(name)).filter(({ from, to }) => from !== to)
}

/** The presets that a list's settings agree with. */
export function presetsOf(settings: ListSettings): readonly Preset[] {
  return PRESET_NAMES.filter(name =>
    Object.entries(PRESETS[name]).every(([setting, value]) => settings[setting as SettingName] === value),
  )
}

/** Settings over a base, by request. */
function apply(base: ListSettings, request: SettingsRequest): Outcome<ListSettings> {
  const preset = PRESET_NAMES.find(name => name === request.preset)
  if (request.preset !== undefined && preset === undefined) {
    return refused(
      'preset-invalid',
      `${JSON.stringify(request.preset)}: expected one of ${PRESET_NAMES.join(', ')}`,
    )
  }
  const texts = { ...(preset === undefined ? {} : PRESETS[preset]), ...request.texts }
  const settings = parseSettings(texts, base)
  return settings.ok ? settings : refused('setting-invalid', settings.problem)
}

/** The list's record, as long as it can be understood. */
export async function readableList(
  directory: Directory,
  address: ListAddress,
): Promise<Outcome<{ readonly address: ListAddress; readonly settings: ListSettings }>> {
  const record = await directory.getList(address)
  if (record === undefined) return refused('list-unknown', `there is no list ${address}`)
  return record.settings.ok
    ? done({ address, settings: record.settings.value })
    : refused(
        'list-unreadable',
        `the settings of ${address} cannot be understood: ${record.settings.problem}`,
      )
}

export class Lists {
  readonly #directory: Directory
  readonly #deliveries: KnownDeliveries

  constructor(directory: Directory, deliveries?: KnownDeliveries) {
    this.#directory = directory
    this.#deliveries = deliveries
  }

  /** Makes a list in one of the list domains. Its flavour is the domain's unless the request says otherwise. */
  async add(text: string, request: SettingsRequest = {}): Promise<Outcome<AddedList>> {
    const parsed = readListAddress(text)
    if (!parsed.ok) return parsed
    const { key: address, domain } = parsed.value
    const wanted = this.#apply(INITIAL_SETTINGS, request)
    if (!wanted.ok) return wanted
    const record = await this.#directory.getDomain(domain)
    if (record === undefined) return refused('domain-unknown', `there is no list domain ${domain}`)
    const flavour = request.texts?.['flavour'] === undefined ? record.flavour : wanted.value.flavour
    const settings = { ...wanted.value, flavour }
    if ((await this.#directory.createList(address, settings)) === 'unchanged') {
      return refused('list-exists', `there is a list ${address} already`)
    }
    const overlaps = await overlapsOf(this.#directory, parsed.value, flavour)
    return done({ address, settings, overlaps })
  }

  /** Removes a list with its people, bans and counts. */
  async remove(text: string): Promise<Outcome<RemovedList>> {
    const parsed = readListAddress(text)
    if (!parsed.ok) return parsed
    const { key: address } = parsed.value
    const people = await this.#directory.countPeople(address)
    return (await this.#directory.removeList(address))
      ? done({ address, people })
      : refused('list-unknown', `there is no list ${address}`)
  }

  /** Changes some of a list's settings. */
  async set(text: string, request: SettingsRequest): Promise<Outcome<ChangedList>> {
    const parsed = readListAddress(text)
    if (!parsed.ok) return parsed
    const before = await readableList(this.#directory, parsed.value.key)
    if (!before.ok) return before
    const { address } = before.value
    const wanted = this.#apply(before.value.settings, request)
    if (!wanted.ok) return wanted
    const changes = settingChanges(before.value.settings, wanted.value)
    const change = Object.fromEntries(changes.map(({ name }) => [name, wanted.value[name]]))
    if (changes.length === 0) return done({ address, settings: before.value.settings, changes })
    const after = await this.#directory.updateList(address, change as Partial<ListSettings>)
    return after === undefined
      ? refused('list-unknown', `there is no list ${address}`)
      : done({ address, settings: after, changes })
  }

  #apply(base: ListSettings, request: SettingsRequest): Outcome<ListSettings> {
    const settings = apply(base, request)
    if (!settings.ok) return settings
    const delivery = checkDelivery(request.texts, this.#deliveries)
    return delivery.ok ? settings : delivery
  }

  /** Lists by address: all of them, or those of one domain. */
  async all(domainText?: string): Promise<Outcome<AsyncIterable<ListRecord>>> {
    if (domainText === undefined) return done(this.#directory.lists())
    const domain = readDomain(domainText)
    if (!domain.ok) return domain
    return (await this.#directory.getDomain(domain.value)) === undefined
      ? refused('domain-unknown', `there is no list domain ${domain.value}`)
      : done(this.#directory.lists(domain.value))
  }
}
