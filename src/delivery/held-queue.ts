/**
 * The queue of messages that wait for a moderator, on the file system. A message is kept when its octets, its name and
 * the names of all directories above it are on the disk. Every change after that is the rename or the removal of one
 * file, so that a process may die at any point, and any number of them may be at work.
 */
import { open, rename, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import {
  type ClaimPurpose,
  type HeldClaim,
  type HeldEntry,
  type HeldPost,
  type HeldQueue,
  HeldQueueFull,
  type NotClaimed,
  type OpenMessage,
} from '../app/held.ts'
import type { DeliveryRecipient, Envelope, Message } from '../app/message.ts'
import type { Clock } from '../app/ports.ts'
import type { ListAddress } from '../core/transaction.ts'
import { flushDirectory } from './durable.ts'
import {
  beginClaim,
  Claim,
  endClaim,
  isUnderWay,
  moved,
  pathOf,
  readNote,
  removed,
  touch,
} from './held-claim.ts'
import { HeldDirectories, type HeldPlace, namesIn } from './held-directories.ts'
import { HeldFile } from './held-file.ts'
import { formatHead, MAX_METADATA } from './held-format.ts'
import { formatHeldName, idMaker, parseHeldName, parseNoteName, readId, timeOf } from './held-names.ts'
import { isGone, OWNER } from './held-owner.ts'
import { summaryOf } from './held-summary.ts'

export interface HeldSettings {
  /** Holds the queue; made if it is not there. */
  readonly path: string
  /** Of one list; 0 is no limit. */
  readonly maxMessages: number
  /** Of one list, in octets; 0 is no limit. */
  readonly maxSize: number
}

/** Octets that are written at once. */
const WRITE_OCTETS = 262_144

/** What nobody has come back to for so long was left behind, in milliseconds. */
const LEFT_BEHIND_MS = 86_400_000

const WAITING = { state: 'waiting', owner: undefined, noted: false } as const

/** Writes a file and keeps its octets. */
async function writeFile(path: string, head: Buffer, message: Message): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    let pieces: Uint8Array[] = [head]
    let waiting = head.length
    for await (const piece of message.read()) {
      pieces.push(piece)
      waiting += piece.length
      if (waiting < WRITE_OCTETS) continue
      await handle.appendFile(Buffer.concat(pieces))
      pieces = []
      waiting = 0
    }
    if (waiting > 0) await handle.appendFile(Buffer.concat(pieces))
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** For how long a file was not touched, in milliseconds; undefined if it has gone. */
async function untouchedFor(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found && Date.now() - found.mtimeMs
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

export class FileHeldQueue implements HeldQueue {
  readonly #settings: HeldSettings
  readonly #clock: Clock
  readonly #directories: HeldDirectories
  readonly #newId: () => string
  /** What is being written, by list: it counts like what is there. */
  readonly #writing = new Map<ListAddress, { messages: number; size: number }>()

  constructor(settings: HeldSettings, clock: Clock = Date.now) {
    this.#settings = settings
    this.#clock = clock
    this.#directories = new HeldDirectories(settings.path)
    this.#newId = idMaker(clock)
  }

  async hold(envelope: Envelope, message: Message, to: DeliveryRecipient): Promise<string> {
    const { list } = to
    const { size } = message
    const writing = this.#writing.get(list) ?? { messages: 0, size: 0 }
    this.#writing.set(list, writing)
    writing.messages++
    writing.size += size
    // Those that come after this one are not in its way.
    const ahead = { ...writing }
    try {
      const directory = await this.#directories.make(list)
      await this.#checkRoom(list, directory, ahead)
      return await this.#keep(envelope, message, to)
    } finally {
      writing.messages--
      writing.size -= size
      if (writing.messages === 0) this.#writing.delete(list)
    }
  }

  async #checkRoom(
    list: ListAddress,
    directory: string,
    ahead: { readonly messages: number; readonly size: number },
  ): Promise<void> {
    const { maxMessages, maxSize } = this.#settings
    let { messages, size } = ahead
    for (const name of await namesIn(directory)) {
      const held = parseHeldName(name)
      if (held === undefined) continue
      messages++
      size += held.size
    }
    if (maxMessages > 0 && messages > maxMessages) {
      throw new HeldQueueFull(`${list} has ${maxMessages} messages waiting already`)
    }
    if (maxSize > 0 && size > maxSize) {
      throw new HeldQueueFull(`the messages of ${list} that wait would take more than ${maxSize} octets`)
    }
  }

  async #keep(envelope: Envelope, message: Message, to: DeliveryRecipient): Promise<string> {
    const { recipient, list, service, grounds } = to
    if (grounds === undefined) throw new Error(`nobody says why the message to ${list} is held`)
    const { size } = message
    const id = this.#newId()
    const post: HeldPost = {
      envelope,
      to: { recipient, list, service },
      grounds,
      heldAt: this.#clock(),
      size,
      summary: await summaryOf(message),
    }
    const head = formatHead(post)
    if (head.length > MAX_METADATA) throw new Error('there is too much to say about the message')
    const temporary = join(this.#directories.tmp, `${id}.${OWNER}`)
    try {
      await writeFile(temporary, head, message)
      await this.#publish(temporary, list, formatHeldName({ id, size, ...WAITING }))
    } catch (error) {
      await unlink(temporary).catch(() => {})
      throw error
    }
    return id
  }

  /** Puts a file that is whole in its place. */
  async #publish(temporary: string, list: ListAddress, name: string): Promise<void> {
    const final = (directory: string): string => join(directory, name)
    let directory = this.#directories.of(list)
    try {
      await rename(temporary, final(directory))
    } catch (error) {
      if (!isMissing(error)) throw error
      // The last message has gone meanwhile, and the directory with it.
      directory = await this.#directories.make(list)
      await rename(temporary, final(directory))
    }
    try {
      await flushDirectory(directory)
    } catch (error) {
      // The MTA will send it again: this copy would be one too many.
      await unlink(final(directory)).catch(() => {})
      throw error
    }
  }

  async *entries(list?: ListAddress): AsyncGenerator<HeldEntry, void, undefined> {
    for await (const place of this.#directories.messages(list)) {
      const entry = await this.#entry(place)
      if (entry !== undefined) yield entry
    }
  }

  /** Reads a file's entry; where it has been renamed meanwhile, by its new name. */
  async #entry(place: HeldPlace): Promise<HeldEntry | undefined> {
    const opened = await this.#opened(place)
    if (opened === undefined) return undefined
    const { file, at } = opened
    const { id, state } = at
    if (!file.ok) return { kind: 'damaged', id, path: pathOf(at), problem: file.problem }
    await file.value.close()
    return { kind: 'held', id, state, post: file.value.post }
  }

  async #opened(
    place: HeldPlace,
  ): Promise<
    { readonly file: Awaited<ReturnType<typeof HeldFile.open>>; readonly at: HeldPlace } | undefined
  > {
    let at: HeldPlace | undefined = place
    // Each rename is a decision of somebody's, and there are not many of them.
    for (let tries = 0; at !== undefined && tries < 5; tries++) {
      try {
        return { file: await HeldFile.open(pathOf(at)), at }
      } catch (error) {
        if (!isMissing(error)) throw error
        at = await this.#directories.find(place.id)
      }
    }
    return undefined
  }

  async find(text: string): Promise<HeldEntry | undefined> {
    const place = await this.#directories.find(readId(text))
    return place && this.#entry(place)
  }

  async message(text: string): Promise<OpenMessage | undefined> {
    const place = await this.#directories.find(readId(text))
    const opened = place && (await this.#opened(place))
    if (opened?.file.ok !== true) return undefined
    const { value } = opened.file
    return { message: value.message, close: () => value.close() }
  }

  async claim(text: string, purpose: ClaimPurpose): Promise<HeldClaim | NotClaimed> {
    const place = await this.#directories.find(readId(text))
    if (place === undefined) return { kind: 'unknown' }
    if (place.state === 'waiting') return this.#take(place, purpose)
    return (await this.#isAbandoned(place))
      ? this.#take(place, place.noted ? place.state : purpose)
      : { kind: 'busy' }
  }

  /** Makes a file one's own. What has been noted is carried on under the name that it has: that can be done twice. */
  async #take(place: HeldPlace, purpose: ClaimPurpose): Promise<HeldClaim | NotClaimed> {
    const mine: HeldPlace = place.noted ? place : { ...place, state: purpose, owner: OWNER }
    if (!beginClaim(place.id)) return { kind: 'busy' }
    let file: HeldFile | undefined
    let claim: Claim | undefined
    try {
      const noted = place.noted ? await readNote(place) : undefined
      const opened = await HeldFile.open(pathOf(place))
      if (!opened.ok) return { kind: 'damaged', path: pathOf(place), problem: opened.problem }
      file = opened.value
      await touch(pathOf(place))
      if (place.noted || (await moved(place, mine))) claim = new Claim(mine, purpose, file, noted)
      return claim ?? { kind: 'busy' }
    } catch (error) {
      if (isMissing(error)) return { kind: 'busy' }
      throw error
    } finally {
      if (claim === undefined) {
        endClaim(place.id)
        await file?.close()
      }
    }
  }

  async #isAbandoned(place: HeldPlace): Promise<boolean> {
    if (place.owner === undefined) return false
    if (place.owner === OWNER) return !isUnderWay(place)
    const untouched = await untouchedFor(pathOf(place))
    return untouched !== undefined && isGone(place.owner, untouched)
  }

  async discard(text: string): Promise<'discarded' | 'unknown' | 'busy'> {
    const place = await this.#directories.find(readId(text))
    if (place === undefined) return 'unknown'
    if (place.state !== 'waiting' || !(await removed(pathOf(place)))) return 'busy'
    await flushDirectory(place.directory)
    return 'discarded'
  }

  async *abandoned(): AsyncGenerator<HeldClaim, void, undefined> {
    for await (const place of this.#directories.messages()) {
      const { state } = place
      if (state === 'waiting' || !(await this.#isAbandoned(place))) continue
      const claim = await this.#take(place, state)
      if ('purpose' in claim) yield claim
    }
  }

  async *waitingSince(before: number): AsyncGenerator<string, void, undefined> {
    for await (const { id, state } of this.#directories.messages()) {
      if (state === 'waiting' && timeOf(id) < before) yield id
    }
  }

  async clean(): Promise<void> {
    const old = async (path: string): Promise<boolean> => ((await untouchedFor(path)) ?? 0) > LEFT_BEHIND_MS
    for (const name of await namesIn(this.#directories.tmp)) {
      const path = join(this.#directories.tmp, name)
      if (await old(path)) await removed(path)
    }
    for await (const directory of this.#directories.all()) {
      const names = await namesIn(directory)
      for (const name of names) {
        const note = parseNoteName(name)
        if (note === undefined || names.some(each => parseHeldName(each)?.id === note.id)) continue
        if (await old(join(directory, name))) await removed(join(directory, name))
      }
    }
    await this.#directories.prune()
  }
}
