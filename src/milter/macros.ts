/**
 * The macros that an MTA has sent (SMFIC_MACRO), by the command that each set came for. Looked up as smfi_getsymval does
 * it, from the command at hand back to the connection's.
 *
 * A set goes when another comes for the same command, and a message's sets go with the message. Those of a command yet
 * to come stay: some peers send MAIL's before HELO. RCPT's go with each RCPT: what one recipient resolved to must
 * never be taken for another's.
 */
import { decodeMacros } from './command.ts'

/** Where macros are looked up. Names of one letter stand alone (`i`), longer ones in braces (`{auth_authen}`). */
export interface Macros {
  get(name: string): string | undefined
}

/** The commands whose macros are looked at, in the order of the dialogue; those in between have none that tell us anything. */
const ORDER = ['C', 'H', 'M', 'R', 'T', 'E'] as const
export type MacroCommand = (typeof ORDER)[number]

const OF_MESSAGE: readonly MacroCommand[] = ['M', 'R', 'T', 'E']

const POSITION = new Map<string, number>(ORDER.map((command, position) => [command, position]))

export class MacroSets {
  readonly #sets: (ReadonlyMap<string, string> | undefined)[] = []

  /** Keeps the macros that came for the command `of`, if they are looked at. */
  put(of: string, data: Buffer): void {
    const position = POSITION.get(of)
    if (position !== undefined) this.#sets[position] = data.length === 0 ? undefined : decodeMacros(data)
  }

  /** The macros as the command sees them. */
  for(command: MacroCommand): Macros {
    const last = POSITION.get(command) ?? 0
    return {
      get: name => {
        for (let position = last; position >= 0; position--) {
          const value = this.#sets[position]?.get(name)
          if (value !== undefined) return value
        }
        return undefined
      },
    }
  }

  /** A recipient has been judged. */
  endRecipient(): void {
    this.#forget('R')
  }

  /** The message is over. */
  endMessage(): void {
    for (const command of OF_MESSAGE) this.#forget(command)
  }

  #forget(command: MacroCommand): void {
    this.#sets[POSITION.get(command) ?? 0] = undefined
  }
}
