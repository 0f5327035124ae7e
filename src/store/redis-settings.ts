/** A list's settings as Redis keeps them: a hash with a field for each setting, in the texts of `core/list.ts`. */
import { type ListSettings, parseSettings } from '../core/list.ts'
import type { Parsed } from '../core/parsed.ts'
import { settingTexts } from './stored-texts.ts'

/** Settings as the arguments of HSET. */
export function settingsArguments(settings: Partial<ListSettings>): readonly string[] {
  return Object.entries(settingTexts(settings)).flat()
}

/** The reply to HGETALL as settings; `undefined` if it is empty: then there is no list. */
export function settingsOfReply(flat: readonly string[]): Parsed<ListSettings> | undefined {
  if (flat.length === 0) return undefined
  const pairs = flat.flatMap((name, index) =>
    index % 2 === 0 ? [[name, flat[index + 1] ?? ''] as const] : [],
  )
  return parseSettings(Object.fromEntries(pairs))
}
