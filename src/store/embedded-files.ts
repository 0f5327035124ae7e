/** The directory and the data file of the embedded store, as far as LMDB does not see to them. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { endianness } from 'node:os'
import { dirname, join } from 'node:path'
import type { RootDatabase } from 'lmdb'

const DATA_FILE = 'data.mdb'
const LOCK_FILE = 'lock.mdb'

function withFile<T>(path: string, flags: string, use: (file: number) => T): T {
  const file = openSync(path, flags, 0o600)
  try {
    return use(file)
  } finally {
    closeSync(file)
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): void {
  withFile(path, 'r', fsyncSync)
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

/** Makes a directory with all above it. Node's own recursive way never ends below `/proc`. */
function makeAll(path: string, mode?: number): void {
  if (isDirectory(path)) return
  makeAll(dirname(path))
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    // Another process may have made it by now, which is well.
    if (!isDirectory(path)) throw error
  }
  syncDirectory(dirname(path))
}

/** Makes the store's directory, for its owner only; those above it are ordinary ones. */
export function makeDirectory(path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new Error('it is not a directory')
  makeAll(path, 0o700)
}

/** What begins an LMDB file: the flag of a meta page, the magic number and the format's version (`mdb.c`). */
function isLmdb(head: Buffer): boolean {
  const little = endianness() === 'LE'
  const short = (at: number): number => (little ? head.readUInt16LE(at) : head.readUInt16BE(at))
  const long = (at: number): number => (little ? head.readUInt32LE(at) : head.readUInt32BE(at))
  return (short(18) & 8) !== 0 && long(24) === 0xbeefc0de && (long(28) & 0xffff) === 2
}

/** A new store needs room for its first pages: two, and the table of readers. */
const FIRST_PAGES = 64 * 1024

/**
 * Finds out whether the directory can be used. lmdb-js frees its memory twice if LMDB cannot open a path, which ends the
 * process; so what LMDB would complain of is looked for before.
 */
export function probe(path: string): void {
  const data = join(path, DATA_FILE)
  const lock = join(path, LOCK_FILE)
  if (existsSync(lock)) withFile(lock, 'r+', () => {})
  const head = Buffer.alloc(32)
  const length = existsSync(data) ? withFile(data, 'r+', file => readSync(file, head)) : 0
  if (length > 0) {
    if (!isLmdb(head)) throw new Error(`${DATA_FILE} is not an LMDB file, or one of another version`)
    return
  }
  const trial = join(path, `trial-${process.pid}`)
  try {
    withFile(trial, 'w', file => {
      writeFileSync(file, Buffer.alloc(FIRST_PAGES))
      fsyncSync(file)
    })
  } finally {
    rmSync(trial, { force: true })
  }
}

/** What lmdb-js knows of the environment and does not declare. */
interface EnvironmentNumbers {
  info(): { readonly lastPageNumber: number }
  stat(): { readonly pageSize: number }
}

/**
 * A data file cut short, by a copy that was broken off, would end the process when a page beyond its end is read.
 * Pages of zeros read as what they are: damage. In a write transaction, so that no other process writes meanwhile.
 */
export function fillUp(root: RootDatabase, path: string): void {
  const env = Reflect.get(root, 'env') as EnvironmentNumbers
  const file = join(path, DATA_FILE)
  const missing = (): number => (env.info().lastPageNumber + 1) * env.stat().pageSize - statSync(file).size
  if (missing() <= 0) return
  root.transactionSync(() => {
    if (missing() > 0) truncateSync(file, statSync(file).size + missing())
  })
}
