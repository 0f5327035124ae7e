/**
 * Which parts of a message a list speaks of: `image/png`, `image/*`, or by the name of the file, `.exe`. What a sender
 * writes as a type is a claim; a name's ending is what a reader's machine goes by, so either counts.
 */
import type { MessagePart } from './content.ts'
import { type Parsed, parsed, problem } from './parsed.ts'

declare const patternBrand: unique symbol

/** `type/subtype`, `type/*`, or `.extension`, in lower case. */
export type PartPattern = string & { readonly [patternBrand]: true }

/** Patterns of one list. */
export const MAX_PART_PATTERNS = 200

const TYPE = /^[a-z0-9!#$&^_.+-]{1,64}\/(?:\*|[a-z0-9!#$&^_.+-]{1,64})$/
const EXTENSION = /^\.[^\s./\\]{1,20}$/

/** Reads patterns with white space between them. */
export function parsePartPatterns(text: string): Parsed<readonly PartPattern[]> {
  const words = text
    .toLowerCase()
    .split(/\s+/)
    .filter(word => word !== '')
  const wrong = words.find(word => !TYPE.test(word) && !EXTENSION.test(word))
  if (wrong !== undefined) {
    return problem(`expected parts like image/png, image/* or .exe, not ${JSON.stringify(wrong)}`)
  }
  return words.length > MAX_PART_PATTERNS
    ? problem(`expected at most ${MAX_PART_PATTERNS} kinds of parts`)
    : parsed(words as readonly string[] as readonly PartPattern[])
}

/** Whether a pattern speaks of a part. */
export function speaksOf(pattern: PartPattern, { type, extension }: MessagePart): boolean {
  if (pattern.startsWith('.')) return extension !== undefined && pattern === `.${extension}`
  return pattern.endsWith('/*') ? type.startsWith(pattern.slice(0, -1)) : pattern === type
}
