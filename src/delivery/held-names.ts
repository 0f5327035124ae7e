/**
 * Names in the queue of held messages. A message is one file, and its name says how it stands:
 *
 *     ID,S=SIZE                it waits
 *     ID,S=SIZE,accept=OWNER   a process is at it, and what for: accept, allow or reject
 *     ID,S=SIZE,accept=OWNER,noted   … and has noted something in ID,note=OWNER
 *
 * A change is a rename of that file, which only one of several processes can make.
 */
import { randomInt } from 'node:crypto'
import { CLAIM_PURPOSES, type ClaimPurpose, type HeldState } from '../app/held.ts'
import { OWNER_PATTERN } from './held-owner.ts'

export interface HeldName {
  readonly id: string
  /** Of the message, in octets. */
  readonly size: number
  readonly state: HeldState
  /** Of a claim. */
  readonly owner: string | undefined
  readonly noted: boolean
}

/** Digits and letters that are not mistaken for others, in the order of their codes. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz'
const TIME_DIGITS = 7
const COUNT_DIGITS = 4
const COUNTS = 32 ** COUNT_DIGITS
const ID = `[${ALPHABET}]{${TIME_DIGITS + COUNT_DIGITS}}`

const NAME = new RegExp(
  `^(${ID}),S=(\\d{1,15})(?:,(${CLAIM_PURPOSES.join('|')})=(${OWNER_PATTERN})(,noted)?)?$`,
)
const NOTE = new RegExp(`^(${ID}),note=(${OWNER_PATTERN})$`)

function digits(value: number, count: number): string {
  let text = ''
  for (let rest = value; text.length < count; rest = Math.floor(rest / 32)) text = ALPHABET[rest % 32] + text
  return text
}

/**
 * Gives names that are one's own: the second, which sorts them by time, and a count that begins anywhere. `clock` in
 * milliseconds.
 */
export function idMaker(clock: () => number): () => string {
  let count = randomInt(COUNTS)
  return () => {
    count = (count + 1) % COUNTS
    return digits(Math.max(0, Math.floor(clock() / 1000)), TIME_DIGITS) + digits(count, COUNT_DIGITS)
  }
}

/** When a message was held, by its name: in milliseconds since the epoch, to the second. */
export function timeOf(id: string): number {
  return [...id.slice(0, TIME_DIGITS)].reduce((sum, digit) => sum * 32 + ALPHABET.indexOf(digit), 0) * 1000
}

/** What an operator typed, as an id: in any case, with o for 0 and i or l for 1. */
export function readId(text: string): string {
  return text.toLowerCase().replaceAll('o', '0').replace(/[il]/g, '1')
}

/** Reads a file's name; undefined if it is no message's. */
export function parseHeldName(name: string): HeldName | undefined {
  const match = NAME.exec(name)
  if (match === null) return undefined
  const [, id = '', size, purpose, owner, noted] = match
  return {
    id,
    size: Number(size),
    state: (purpose as ClaimPurpose | undefined) ?? 'waiting',
    owner,
    noted: noted !== undefined,
  }
}

export function formatHeldName({ id, size, state, owner, noted }: HeldName): string {
  const claim = state === 'waiting' ? '' : `,${state}=${owner ?? ''}${noted ? ',noted' : ''}`
  return `${id},S=${size}${claim}`
}

/** The name of what the owner of a claim has noted. */
export function noteName(id: string, owner: string): string {
  return `${id},note=${owner}`
}

/** Reads the name of a note. */
export function parseNoteName(name: string): { readonly id: string; readonly owner: string } | undefined {
  const match = NOTE.exec(name)
  return match === null ? undefined : { id: match[1] ?? '', owner: match[2] ?? '' }
}
