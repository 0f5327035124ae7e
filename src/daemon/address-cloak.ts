/**
 * `log.addresses = "hashed"`: e-mail addresses in the log give way to a keyed hash, the same for the same mailbox as
 * long as the key is, so that one can follow a sender through the log without reading who it is. Without the key
 * nobody can find out by trying addresses. Lists are named all the same: they are the site's own.
 */
import { createHmac, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'

/** Decides how addresses are shown. */
export interface AddressCloak {
  /** An address, or what stands where one is expected. The empty text is the null sender and stays. */
  address(text: string): string
  /** Running text, in which addresses other than `list` are replaced. */
  text(text: string, list?: string): string
  /** A field of an event, by its name. */
  field(name: string, value: unknown): unknown
}

/** Shows everything. */
export const NO_CLOAK: AddressCloak = {
  address: text => text,
  text: text => text,
  field: (_, value) => value,
}

/** Fields that hold one address each, and nothing else. */
const ADDRESS_FIELDS = new Set(['sender', 'recipient', 'user', 'author', 'from', 'to'])
const ADDRESS_IN_TEXT = /"(?:[^"\\]|\\.)*"@[^\s<>,;:"']+|[^\s<>,;:="'()]+@[^\s<>,;:"'()]+/g
/** Characters of running text that are looked through, and kept. */
const MAX_TEXT = 4000
/** Hexadecimal digits shown of a hash. */
const SHOWN = 16

/** Hides addresses behind hashes made with the key. */
export function hashingCloak(key: Buffer): AddressCloak {
  const address = (text: string): string =>
    text === ''
      ? ''
      : `#${createHmac('sha256', key).update(text.normalize('NFC').toLowerCase()).digest('hex').slice(0, SHOWN)}`
  const text = (running: string, list?: string): string =>
    running.slice(0, MAX_TEXT).replace(ADDRESS_IN_TEXT, found => (found === list ? found : address(found)))
  const field = (name: string, value: unknown): unknown => {
    if (name === 'list') return value
    if (Array.isArray(value)) return value.map(each => field(name, each))
    if (typeof value !== 'string') return value
    return ADDRESS_FIELDS.has(name) ? address(value) : text(value)
  }
  return { address, text, field }
}

const KEY_BYTES = 32

function readKey(path: string): Buffer | undefined {
  try {
    return Buffer.from(readFileSync(path, 'latin1').trim(), 'hex')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Puts a new key where there is none; of several processes that do so at once, the first one's counts. */
function createKey(path: string): void {
  mkdirSync(dirname(path), { recursive: true })
  const draft = `${path}.${randomBytes(8).toString('hex')}`
  const file = openSync(draft, 'wx', 0o600)
  try {
    writeSync(file, `${randomBytes(KEY_BYTES).toString('hex')}\n`)
    fsyncSync(file)
    linkSync(draft, path)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  } finally {
    closeSync(file)
    rmSync(draft, { force: true })
  }
}

/** The key of the hash, from its file; made there at the first time. Throws the system's error if it cannot be. */
export function loadCloakKey(path: string): Buffer {
  if (readKey(path) === undefined) createKey(path)
  const key = readKey(path)
  if (key === undefined || key.length !== KEY_BYTES) {
    throw new Error(
      `expected ${2 * KEY_BYTES} hexadecimal digits in ${path}; remove it to have a new key made`,
    )
  }
  return key
}
