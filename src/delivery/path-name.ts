/**
 * Names of files for names from mail: one for each, safe on any file system, and readable where it can be. Letters,
 * digits and `- _ + = @` stand for themselves, as does a dot that is not the first character; every other octet of
 * the UTF-8 is written `%XX`.
 *
 * The names come in canonical form, which is lower case, so that two names never differ in case alone.
 */
import { createHash } from 'node:crypto'

/** In octets. File systems take 255; some room is left for what is put beside it. */
const MAX_NAME = 200

/** Octets of an over-long name that are kept for the eye. */
const KEPT = 120

function encodeOctets(char: string): string {
  return [...Buffer.from(char, 'utf8')]
    .map(octet => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('')
}

/**
 * The file name for a name. Two names never have one: what is too long is cut and told apart by a hash after `%%`,
 * which no other encoding gives.
 */
export function pathName(name: string): string {
  const encoded = name.replace(/^\.|[^a-z0-9._+=@-]/gu, encodeOctets)
  if (encoded.length <= MAX_NAME) return encoded
  return `${encoded.slice(0, KEPT)}%%${createHash('sha256').update(name).digest('hex')}`
}

/** The same for the name of a Maildir++ folder, in which a dot would be a level. */
export function folderName(name: string): string {
  return `.${pathName(name).replaceAll('.', '%2E')}`
}
