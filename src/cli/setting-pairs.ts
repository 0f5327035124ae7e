/** Settings as they are typed: `KEY=VALUE`, and how a value is shown. */
import type { SettingTexts } from '../core/list.ts'
import { EXIT, Failure } from './exit.ts'

/** The option of commands that may choose a delivery. */
export const FORCE_OPTION = [
  '--force',
  "take the name of a delivery that this host's configuration does not have",
] as const

/** The settings of `KEY=VALUE` words. @throws Failure */
export function settingPairs(pairs: readonly string[]): SettingTexts {
  const entries = pairs.map(pair => {
    const at = pair.indexOf('=')
    if (at < 1) throw new Failure(EXIT.usage, `${JSON.stringify(pair)}: expected KEY=VALUE`)
    return [pair.slice(0, at), pair.slice(at + 1)] as const
  })
  const names = entries.map(([name]) => name)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw new Failure(EXIT.usage, `${twice} is given twice`)
  return Object.fromEntries(entries)
}

/** A setting's value for the eye. */
export function shown(text: string): string {
  return text === '' ? '-' : text
}

interface Explained {
  readonly values: string
  readonly help: string
}

/** The settings of a table with their first values, for `--help`. */
export function settingsHelp<N extends string>(
  table: Readonly<Record<N, Explained>>,
  initial: Readonly<Record<N, string>>,
): string {
  const names = Object.keys(table) as N[]
  return `Settings:\n${names
    .map(name => `  ${name}=${initial[name]}\n      ${table[name].help}\n      (${table[name].values})`)
    .join('\n')}`
}
