/**
 * The directories of the queue of held messages: `ROOT/lists/DOMAIN/LOCAL-PART/` with the messages of a list, and
 * `ROOT/tmp/` for what is being written. A list's directory is made with its first message, and goes after its last.
 */
import type { Dirent } from 'node:fs'
import { readdir, rmdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { ListAddress } from '../core/transaction.ts'
import { flushDirectory, makeDirectory, makeRoot } from './durable.ts'
import { type HeldName, parseHeldName } from './held-names.ts'
import { pathName } from './path-name.ts'

/** Mail is nobody else's business. */
const MODE = 0o700

/** A message's file, and where it is. */
export interface HeldPlace extends HeldName {
  readonly directory: string
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

/** The names in a directory, sorted; none if it is not there. */
export async function namesIn(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

async function directoriesIn(directory: string): Promise<readonly string[]> {
  try {
    const entries: readonly Dirent[] = await readdir(directory, { withFileTypes: true })
    return entries
      .filter(entry => entry.isDirectory())
      .map(({ name }) => join(directory, name))
      .sort()
  } catch (error) {
    if (isMissing(error)) return []
    throw error
  }
}

export class HeldDirectories {
  readonly root: string
  readonly tmp: string
  readonly #lists: string

  constructor(root: string) {
    this.root = resolve(root)
    this.tmp = join(this.root, 'tmp')
    this.#lists = join(this.root, 'lists')
  }

  /** Where a list's messages are. */
  of(list: ListAddress): string {
    const at = list.lastIndexOf('@')
    return join(this.#lists, pathName(list.slice(at + 1)), pathName(list.slice(0, at)))
  }

  /** Makes a list's directory and keeps the names of all above it. */
  async make(list: ListAddress): Promise<string> {
    const directory = this.of(list)
    const domain = join(directory, '..')
    await makeRoot(this.root, MODE)
    for (const path of [this.tmp, this.#lists, domain, directory]) await makeDirectory(path, MODE)
    // What is there may have been made just before a crash that nobody has flushed it from.
    for (const path of [this.root, this.#lists, domain]) await flushDirectory(path)
    return directory
  }

  /** The directories of all lists, or of one. */
  async *all(list?: ListAddress): AsyncGenerator<string, void, undefined> {
    if (list !== undefined) {
      yield this.of(list)
      return
    }
    for (const domain of await directoriesIn(this.#lists)) yield* await directoriesIn(domain)
  }

  /** The messages' files, by list and then by time. */
  async *messages(list?: ListAddress): AsyncGenerator<HeldPlace, void, undefined> {
    for await (const directory of this.all(list)) {
      for (const name of await namesIn(directory)) {
        const held = parseHeldName(name)
        if (held !== undefined) yield { ...held, directory }
      }
    }
  }

  /** Where a message is now. */
  async find(id: string): Promise<HeldPlace | undefined> {
    for await (const directory of this.all()) {
      const name = (await namesIn(directory)).find(each => parseHeldName(each)?.id === id)
      const held = name === undefined ? undefined : parseHeldName(name)
      if (held !== undefined) return { ...held, directory }
    }
    return undefined
  }

  /** Removes the directories of lists that have no messages. */
  async prune(): Promise<void> {
    for await (const directory of this.all()) {
      for (const path of [directory, join(directory, '..')]) {
        // It goes only if it is empty, and whoever needs it makes it again.
        await rmdir(path).catch(() => {})
      }
    }
  }
}
