/**
 * The directories of a site's Maildirs: made when the first copy comes, with the names of all of them kept on the
 * disk, and remembered so that later copies find them at once.
 */
import { open } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { DeliveryRecipient } from '../app/message.ts'
import type { ListAddress } from '../core/transaction.ts'
import { flushDirectory, makeDirectory, makeRoot, SharedFlush } from './durable.ts'
import { folderName, pathName } from './path-name.ts'

export interface Folder {
  readonly path: string
  /** Keeps the names in `new`. */
  readonly newNames: SharedFlush
}

/** Mail is nobody else's business. */
const MODE = 0o700

/** Folders that are remembered; of more, those that were found first are forgotten and found again. */
const MAX_REMEMBERED = 10_000

/** A list's directories below the root: its domain's, and its own in it. */
function listPath(list: ListAddress): readonly [domain: string, localPart: string] {
  const at = list.lastIndexOf('@')
  return [pathName(list.slice(at + 1)), pathName(list.slice(0, at))]
}

/** The Maildir++ folder for a copy; `undefined` is the Maildir itself. */
function folderOf({ service }: DeliveryRecipient): string | undefined {
  return service === undefined ? undefined : folderName(service)
}

async function makeMaildir(path: string): Promise<void> {
  for (const name of ['tmp', 'new', 'cur']) await makeDirectory(join(path, name), MODE)
}

export class MaildirFolders {
  readonly #root: string
  readonly #folders = new Map<string, Promise<Folder>>()

  constructor(root: string) {
    this.#root = resolve(root)
  }

  #key(recipient: DeliveryRecipient): string {
    const [domain, localPart] = listPath(recipient.list)
    return join(this.#root, domain, localPart, folderOf(recipient) ?? '')
  }

  /** Finds or makes the folder for a copy. Rejects with what the file system says. */
  folderFor(recipient: DeliveryRecipient): Promise<Folder> {
    const key = this.#key(recipient)
    const remembered = this.#folders.get(key)
    if (remembered !== undefined) return remembered
    const making = this.#make(recipient)
    this.#remember(key, making)
    making.catch(() => {
      if (this.#folders.get(key) === making) this.#folders.delete(key)
    })
    return making
  }

  /** Forgets a copy's folder, so that it is made again; false if it was not remembered. */
  forget(recipient: DeliveryRecipient): boolean {
    return this.#folders.delete(this.#key(recipient))
  }

  #remember(key: string, folder: Promise<Folder>): void {
    const oldest = this.#folders.size < MAX_REMEMBERED ? undefined : this.#folders.keys().next().value
    if (oldest !== undefined) this.#folders.delete(oldest)
    this.#folders.set(key, folder)
  }

  async #make(recipient: DeliveryRecipient): Promise<Folder> {
    const [domain, localPart] = listPath(recipient.list)
    const domainPath = join(this.#root, domain)
    const maildir = join(domainPath, localPart)
    await makeRoot(this.#root, MODE)
    await makeDirectory(domainPath, MODE)
    await makeDirectory(maildir, MODE)
    await makeMaildir(maildir)
    const made = [this.#root, domainPath, maildir]
    const folder = folderOf(recipient)
    const path = folder === undefined ? maildir : join(maildir, folder)
    if (folder !== undefined) {
      await makeDirectory(path, MODE)
      await makeMaildir(path)
      // Maildir++: this file tells delivery agents that they are in a folder.
      await (await open(join(path, 'maildirfolder'), 'a', 0o600)).close()
      made.push(path)
    }
    // What is there already may have been made just before a crash that nobody has flushed it from.
    for (const directory of made) await flushDirectory(directory)
    return { path, newNames: new SharedFlush(join(path, 'new')) }
  }
}
