/**
 * The macros that an MTA has sent (SMFIC_MACRO), by the command that each set came for. A command sees its own set and,
 * for what is not in it, those that came for earlier commands of the same message, as with smfi_getsymval.
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

type MacroSet = ReadonlyMap<string, string> | undefined

/** The commands of a message whose macros are looked at, in order: MAIL, RCPT, DATA and the end of the message. */
const POSITIONS = { M: 0, R: 1, T: 2, E: 3 } as const
export type MessageCommand = keyof typeof POSITIONS

function isOfMessage(command: string): command is MessageCommand {
  return Object.hasOwn(POSITIONS, command)
}

export class MacroSets {
  #connect: MacroSet
  #message: MacroSet[] = []

  /** Keeps the macros that came for the command `of`, if they are looked at. */
  put(of: string, data: Buffer): void {
    if (of === 'C') this.#connect = decodeMacros(data)
    else if (isOfMessage(of)) this.#message[POSITIONS[of]] = decodeMacros(data)
  }

  /** The macros as CONNECT sees them. */
  forConnect(): Macros {
    const set = this.#connect
    return { get: name => set?.get(name) }
  }

  /** The macros as a command of a message sees them. */
  for(command: MessageCommand): Macros {
    return {
      get: name => {
        for (let position: number = POSITIONS[command]; position >= 0; position--) {
          const value = this.#message[position]?.get(name)
          if (value !== undefined) return value
        }
        return undefined
      },
    }
  }

  /** A recipient has been judged. */
  endRecipient(): void {
    this.#message[POSITIONS.R] = undefined
  }

  /** The message is over. */
  endMessage(): void {
    this.#message = []
  }
}
