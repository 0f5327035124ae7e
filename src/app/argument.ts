/**
 * Arguments of a program that mail is handed to, as the configuration has them: text with placeholders in braces, of
 * which there is a closed set. `{{` and `}}` are the braces themselves.
 *
 * Who sends mail chooses the sender and, beside the list's name, the recipient: neither may stand in a path, where
 * `..` and `/` would lead elsewhere, and no value may begin an argument with the `-` that makes it an option.
 */
import { type Parsed, parsed, problem } from '../core/parsed.ts'

/** What may stand in braces. */
export const PLACEHOLDERS = [
  'list',
  'list_local',
  'list_domain',
  'service',
  'recipient',
  'sender',
  'id',
] as const
export type Placeholder = (typeof PLACEHOLDERS)[number]

const CHOSEN_BY_SENDERS: readonly Placeholder[] = ['recipient', 'sender']

/** An argument: its texts and placeholders, in order. */
export type Argument = readonly (string | { readonly placeholder: Placeholder })[]

const PIECE = /\{\{|\}\}|\{([^{}]*)\}|[^{}]+|[{}]/g

/** Parses an argument. */
export function parseArgument(text: string): Parsed<Argument> {
  if (text.includes('\0')) return problem('an argument has no NUL')
  const pieces: (string | { readonly placeholder: Placeholder })[] = []
  for (const [piece, name] of text.matchAll(PIECE)) {
    if (name !== undefined) {
      const placeholder = PLACEHOLDERS.find(known => known === name)
      if (placeholder === undefined) {
        return problem(`there is no placeholder {${name}}; there are {${PLACEHOLDERS.join('}, {')}}`)
      }
      pieces.push({ placeholder })
    } else if (piece === '{' || piece === '}') {
      return problem(`a brace that belongs to no placeholder is written twice: ${piece}${piece}`)
    } else {
      const text = piece === '{{' ? '{' : piece === '}}' ? '}' : piece
      const before = pieces.at(-1)
      if (typeof before === 'string') pieces[pieces.length - 1] = before + text
      else pieces.push(text)
    }
  }
  const isPath = pieces.some(piece => typeof piece === 'string' && piece.includes('/'))
  const chosen = CHOSEN_BY_SENDERS.find(name => uses(pieces, name))
  if (isPath && chosen !== undefined) {
    return problem(`{${chosen}} cannot stand in a path: who sends mail chooses what is in it`)
  }
  return parsed(pieces)
}

function uses(argument: Argument, name: Placeholder): boolean {
  return argument.some(piece => typeof piece !== 'string' && piece.placeholder === name)
}

/** Puts values in their places. A problem if one of them makes the argument something else than it looks like. */
export function fillArgument(
  argument: Argument,
  values: Readonly<Record<Placeholder, string>>,
): Parsed<string> {
  const text = argument.map(piece => (typeof piece === 'string' ? piece : values[piece.placeholder])).join('')
  const [first] = argument
  if (first !== undefined && typeof first !== 'string' && text.startsWith('-')) {
    return problem(`{${first.placeholder}} begins with - and would be taken for an option`)
  }
  return text.includes('\0') ? problem('an argument has no NUL') : parsed(text)
}
