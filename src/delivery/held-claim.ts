/**
 * A held message in the hands of this process. Its file is renamed at every step, and a rename that finds nothing says
 * that somebody else has taken over.
 */
import { open, readFile, rename, unlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClaimPurpose, HeldClaim, HeldPost } from '../app/held.ts'
import { type Message, NotNoted } from '../app/message.ts'
import { flushDirectory } from './durable.ts'
import type { HeldPlace } from './held-directories.ts'
import type { HeldFile } from './held-file.ts'
import { formatHeldName, noteName } from './held-names.ts'
import { OWNER, TOUCH_MS } from './held-owner.ts'

/** Where a message's file is. */
export function pathOf(place: HeldPlace): string {
  return join(place.directory, formatHeldName(place))
}

/** Moves a message's file; false if it is not there any more. */
export async function moved(from: HeldPlace, to: HeldPlace): Promise<boolean> {
  try {
    await rename(pathOf(from), pathOf(to))
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** Removes a file; false if it is not there. */
export async function removed(path: string): Promise<boolean> {
  try {
    await unlink(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** What the owner of a claim has noted. Rejects if it cannot be read. */
export async function readNote({ directory, id, owner }: HeldPlace): Promise<HeldClaim['noted']> {
  const text = await readFile(join(directory, noteName(id, owner ?? '')), 'utf8')
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || !('delivery' in value) || !('text' in value)) {
    throw new Error(`the note on ${id} cannot be understood`)
  }
  return { delivery: String(value.delivery), text: String(value.text) }
}

/** The messages that this process has claimed, or is about to. */
const underWay = new Set<string>()

/** Says that a message is about to be claimed; false if it is claimed here already. */
export function beginClaim(id: string): boolean {
  if (underWay.has(id)) return false
  underWay.add(id)
  return true
}

/** Says that nothing came of it, or that it is over. */
export function endClaim(id: string): void {
  underWay.delete(id)
}

/** Whether this process is at a claim. What it has signed and is not at was left behind by a failure. */
export function isUnderWay(place: HeldPlace): boolean {
  return place.owner === OWNER && underWay.has(place.id)
}

export class Claim implements HeldClaim {
  #place: HeldPlace
  readonly #file: HeldFile
  readonly #touching: NodeJS.Timeout
  readonly purpose: ClaimPurpose
  readonly noted: HeldClaim['noted']

  /** `place` is where the file is now, by its claimed name. `beginClaim` has been said. */
  constructor(place: HeldPlace, purpose: ClaimPurpose, file: HeldFile, noted: HeldClaim['noted']) {
    this.#place = place
    this.purpose = purpose
    this.noted = noted
    this.#file = file
    this.#touching = setInterval(() => void touch(pathOf(this.#place)).catch(() => {}), TOUCH_MS)
    this.#touching.unref()
  }

  get id(): string {
    return this.#place.id
  }

  get isNoted(): boolean {
    return this.#place.noted
  }

  get post(): HeldPost {
    return this.#file.post
  }

  get message(): Message {
    return this.#file.message
  }

  async note(delivery: string, text: string): Promise<void> {
    const { directory, id } = this.#place
    const noted = { ...this.#place, noted: true }
    try {
      await this.#write(JSON.stringify({ delivery, text }))
      if (!(await moved(this.#place, noted))) throw new Error('another process has taken it over')
    } catch (cause) {
      throw new NotNoted(`${id}: nothing was noted`, { cause })
    }
    this.#place = noted
    await flushDirectory(directory)
  }

  async #write(text: string): Promise<void> {
    const { directory, id, owner } = this.#place
    const handle = await open(join(directory, noteName(id, owner ?? '')), 'w', 0o600)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
  }

  async finish(): Promise<void> {
    const { directory, id, owner } = this.#place
    try {
      await removed(pathOf(this.#place))
      await removed(join(directory, noteName(id, owner ?? '')))
      await flushDirectory(directory)
    } finally {
      await this.abandon()
    }
  }

  async release(): Promise<void> {
    try {
      if (this.#place.noted) return
      const { directory, id, owner } = this.#place
      await removed(join(directory, noteName(id, owner ?? '')))
      await moved(this.#place, { ...this.#place, state: 'waiting', owner: undefined })
      await flushDirectory(directory)
    } finally {
      await this.abandon()
    }
  }

  async abandon(): Promise<void> {
    clearInterval(this.#touching)
    endClaim(this.#place.id)
    await this.#file.close().catch(() => {})
  }
}

/** Says that somebody is at a file. */
export async function touch(path: string): Promise<void> {
  const now = new Date()
  await utimes(path, now, now)
}
