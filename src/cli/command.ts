/** What the commands are made of: commander's, with examples, and with a session for their actions. */
import type { Command } from 'commander'
import type { Session } from './session.ts'

/** Adds a command, or several, to their parent. */
export type AddCommand = (parent: Command, session: Session) => void

/** An example: what to type, and what it does. */
export type Example = readonly [commandLine: string, meaning: string]

/** Puts examples, and what else there is to teach, under a command's help. */
export function teach(command: Command, examples: readonly Example[], more = ''): Command {
  const lines = examples.flatMap(([commandLine, meaning]) => [`  # ${meaning}`, `  $ ${commandLine}`])
  return command.addHelpText('after', `\nExamples:\n${lines.join('\n')}${more === '' ? '' : `\n\n${more}`}`)
}

/** How WHO is written, for every command that takes one. */
export const WHO_HELP = `WHO is one of:
  alice@example.net   one address
  @example.net        every address at that domain
  @.example.net       the same, and every domain below it
Case does not matter, and nothing is ever matched in the middle of a domain.`

/** The option of every command that lists. */
export const JSON_OPTION = ['--json', 'print JSON instead of text'] as const

/** Gathers the values of an option that may be repeated. */
export function repeated(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value]
}
