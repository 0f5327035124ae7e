/**
 * The macros that an MTA has sent (SMFIC_MACRO), by the command that each set came for. A command sees its own set and,
 * for what is not in it, those that came for earlier commands of the same message, as with smfi_getsymval.
 *
 * A set goes when another comes for the same command, and a message's sets go with the message. Those of a command yet
 * to come stay: some peers send MAIL's before HELO. RCPT's go with each RCPT: what one recipient resolved to must
 * never be taken for another's.
 */

/** Where macros are looked up. Names of one letter stand alone (`i`), longer ones in braces (`{auth_authen}`). */
export interface Macros {
  get(name: string): string | undefined
}

/** Macros of one command that are kept at most; MTAs send about ten. */
const MAX_MACROS = 100

/** The macros that came for one command. */
class MacroSet implements Macros {
  /** Name and value in turn. There are few of them: looking through them is quicker than arranging them. */
  readonly #words: readonly string[]

  constructor(words: readonly string[]) {
    this.#words = words
  }

  get(name: string): string | undefined {
    const words = this.#words
    // The later of two counts.
    for (let at = (words.length - 1) & ~1; at >= 0; at -= 2) {
      if (words[at] === name) return words[at + 1] ?? ''
    }
    return undefined
  }
}

/** Reads macros: name and value in turn. A name without a value has an empty one; a last NUL may be missing. */
export function decodeMacros(data: Buffer): Macros {
  return new MacroSet(data.toString().split('\0', 2 * MAX_MACROS))
}

const NO_MACROS: Macros = new MacroSet([])

/** The commands of a message whose macros are looked at, in order: MAIL, RCPT, DATA and the end of the message. */
const POSITIONS = { M: 0, R: 1, T: 2, E: 3 } as const
export type MessageCommand = keyof typeof POSITIONS

function isOfMessage(command: string): command is MessageCommand {
  return Object.hasOwn(POSITIONS, command)
}

export class MacroSets {
  #connect: Macros = NO_MACROS
  /** By position. */
  readonly #message: (Macros | undefined)[] = [undefined, undefined, undefined, undefined]

  /** Keeps the macros that came for the command `of`, if they are looked at. */
  put(of: string, data: Buffer): void {
    if (of === 'C') this.#connect = decodeMacros(data)
    else if (isOfMessage(of)) this.#message[POSITIONS[of]] = decodeMacros(data)
  }

  /** The macros as CONNECT sees them. */
  forConnect(): Macros {
    return this.#connect
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
    this.#message.fill(undefined)
  }
}
