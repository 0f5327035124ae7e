/** The directory and the data file of the embedded store, as far as LMDB does not see to them. */
import { closeSync, fsyncSync, mkdirSync, openSync, statSync, truncateSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { RootDatabase } from 'lmdb'

/** Makes the names in a directory durable. */
export function syncDirectory(path: string): void {
  const file = openSync(path, 'r')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** Makes the directory, for its owner only; those above it are ordinary ones. */
export function makeDirectory(path: string): void {
  const found = statSync(path, { throwIfNoEntry: false })
  if (found?.isDirectory() === true) return
  if (found !== undefined) throw new Error('it is not a directory')
  mkdirSync(dirname(path), { recursive: true })
  // Once more with `recursive`: another process may have made it by now, which is well.
  mkdirSync(path, { recursive: true, mode: 0o700 })
  syncDirectory(dirname(path))
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
  const file = join(path, 'data.mdb')
  const missing = (): number => (env.info().lastPageNumber + 1) * env.stat().pageSize - statSync(file).size
  if (missing() <= 0) return
  root.transactionSync(() => {
    if (missing() > 0) truncateSync(file, statSync(file).size + missing())
  })
}
