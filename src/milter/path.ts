/**
 * Envelope addresses as milters are shown them: the very words of the client (`one@x`, `<@r:one@x>`, `<one@x\t\t>`,
 * `<one (hi) @x>`, `<<ONE@X.>>`), which the MTA has understood in its own way, and in a macro what it made of them.
 *
 * One normaliser for all of it: comments, white space beside the parts, brackets and source routes go (RFC 5321
 * §4.1.2, RFC 5322 §3.2.2); quoted strings stay as they are. White space between two words stays a fault: leaving it
 * out would make another mailbox of them.
 */
import {
  type Address,
  internalForwardPath,
  MAX_PATH_LENGTH,
  NULL_SENDER,
  parseAddress,
  type ReversePath,
} from '../core/address.ts'
import { type Parsed, parsed, problem } from '../core/parsed.ts'

/** A quoted string, an address literal, a run of white space, one of the characters that stand alone, or a word. */
const TOKEN = /"(?:[^"\\]|\\.)*"|\[[^[\]]*\]|\s+|[()<>@:,.]|[^\s"()<>@:,.[\]]+/suy

const STANDS_ALONE = /^[<>@:,.]$/
/** A mailbox in brackets and nothing else, as nearly every path is: what is taken apart below comes to the same. */
const USUAL = /^<[^\s"()<>@:,[\]]+@[^\s"()<>@:,[\]]+>$/su
const SOURCE_ROUTE = /^@[^@,:<>]+(?:,@[^@,:<>]+)*:/

/** What is left when everything is gone that does not belong to the mailbox; `''` for the null path. */
function bare(path: string): Parsed<string> {
  if (path.length > MAX_PATH_LENGTH) return problem('the path is too long')
  if (USUAL.test(path)) return parsed(path.slice(1, -1))
  let kept = ''
  let comments = 0
  /** Since the last word. */
  let gap = false
  let afterWord = false
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < path.length) {
    const token = TOKEN.exec(path)?.[0]
    if (token === undefined) return problem('the path has a quote or a bracket that does not end')
    if (token === '(') comments++
    else if (token === ')') {
      if (comments === 0) return problem('the path has a comment that does not begin')
      comments--
    }
    if (comments > 0 || token === ')' || /^\s/.test(token)) {
      gap = true
      continue
    }
    const word = !STANDS_ALONE.test(token)
    if (word && afterWord && gap) return problem('the path has two words where one is expected')
    kept += token
    afterWord = word
    gap = false
  }
  if (comments > 0) return problem('the path has a comment that does not end')
  return parsed(kept.replace(/^<+/, '').replace(/>+$/, '').replace(SOURCE_ROUTE, ''))
}

/**
 * The path by which the MTA knows the mailbox when a recipient is deleted: the client's words without a source route or
 * brackets in brackets, with which Postfix finds no recipient to delete.
 */
export function deletionPath(path: string): string {
  const words = bare(path)
  return words.ok ? `<${words.value}>` : path
}

/** The sender: the client's words, and where they are no address what the MTA made of them, if that is one. */
export function senderOf(path: string, macro: string | undefined): ReversePath {
  const words = bare(path)
  if (words.ok && words.value === '') return NULL_SENDER
  const address = words.ok ? parseAddress(words.value) : words
  if (address.ok) return address.value
  const made = parseAddress(macro ?? '')
  return made.ok ? made.value : Object.freeze({ kind: 'malformed-sender', text: path })
}

/** A recipient that the MTA takes may have no local part that any mailbox here has; its domain says whose it is. */
function recipientOf(words: string): Parsed<Address> {
  const address = parseAddress(words)
  return address.ok ? address : internalForwardPath(words)
}

/**
 * The recipient, in every reading that there is, to be judged in this order until one is ours: the client's words
 * (Sendmail's virtusertable makes something else of a list's address), then what the MTA made of them (Postfix completes
 * `team`, and turns `team%lists.example.org@here` around). None if no reading has a domain.
 */
export function recipientsOf(path: string, macro: string | undefined): readonly Address[] {
  const words = bare(path)
  const first = words.ok ? recipientOf(words.value) : words
  const found = first.ok ? [first.value] : []
  if (macro === undefined || (words.ok && words.value === macro)) return found
  const second = recipientOf(macro)
  if (second.ok && second.value.key !== found[0]?.key) found.push(second.value)
  return found
}
