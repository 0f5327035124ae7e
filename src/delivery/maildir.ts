/**
 * Delivery into Maildirs: one for each list, `ROOT/DOMAIN/LOCAL-PART`, written by the rules of maildir(5) and
 * Maildir++. Posts go to the list's `new`, mail to service addresses to folders named for the service (`.owner`,
 * `.bounces`).
 *
 * A copy is delivered when its octets, its name and the names of all directories above it are on the disk. What fails
 * before leaves nothing behind. A copy that is to come once, though processes die, is whole in `tmp` before its name
 * is noted, and in `new` after: whoever carries on finds it there, or finds that it has gone on.
 */
import { randomBytes } from 'node:crypto'
import { open, rename, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import {
  type Delivery,
  type DeliveryOutcome,
  type DeliveryRecipient,
  type Envelope,
  type HandOver,
  type Message,
  NotNoted,
} from '../app/message.ts'
import type { Clock } from '../app/ports.ts'
import { atMost } from './at-most.ts'
import { flushDirectory } from './durable.ts'
import { type Folder, MaildirFolders } from './maildir-folders.ts'
import { traceFields } from './trace-fields.ts'

export interface MaildirSettings {
  /** Holds a directory for each domain; made if it is not there. */
  readonly root: string
  /** What this system calls itself. */
  readonly hostname: string
  readonly clock?: Clock
}

/** Copies that are written at the same time: more do not make a disk faster, and each holds a file open. */
const MAX_WRITERS = 16

/** Octets that are written at once. */
const WRITE_OCTETS = 262_144

/** Names by maildir(5): the time, what no other delivery of this system has, and the system's name, cut to fit. */
function nameMaker(hostname: string, clock: Clock): () => string {
  const host = hostname.slice(0, 100).replaceAll('/', '\\057').replaceAll(':', '\\072')
  const process = `P${globalThis.process.pid}R${randomBytes(4).toString('hex')}`
  let count = 0
  return () => {
    const now = clock()
    const micros = String((now % 1000) * 1000).padStart(6, '0')
    return `${Math.floor(now / 1000)}.M${micros}${process}Q${++count}.${host}`
  }
}

/** Writes a file that is not there yet, and keeps its octets. */
async function writeFile(path: string, head: string, message: Message): Promise<void> {
  const handle = await open(path, 'wx', 0o600)
  try {
    let pieces: Uint8Array[] = [Buffer.from(head)]
    let waiting = pieces[0]?.length ?? 0
    for await (const chunk of message.read()) {
      pieces.push(chunk)
      waiting += chunk.length
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

/** A copy that is whole in `tmp`, and its name in `new`. */
interface Prepared {
  readonly temporary: string
  readonly final: string
}

function readPrepared(text: string): Prepared {
  const value: unknown = JSON.parse(text)
  if (typeof value !== 'object' || value === null || !('temporary' in value) || !('final' in value)) {
    throw new Error('what was noted of a copy cannot be understood')
  }
  return { temporary: String(value.temporary), final: String(value.final) }
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT'
}

/** Moves a copy to `new`, for good. One that is not in `tmp` any more has been moved. */
async function comeOut({ temporary, final }: Prepared): Promise<void> {
  try {
    await rename(temporary, final)
  } catch (error) {
    // With the copy still there, it is `new` that is missing.
    const isThere = !isMissing(error) || (await stat(temporary).then(Boolean, () => false))
    if (isThere) throw error
  }
  await flushDirectory(dirname(final)).catch((error: unknown) => {
    if (!isMissing(error)) throw error
  })
}

async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch(() => {})
}

export function createMaildirDelivery({ root, hostname, clock = Date.now }: MaildirSettings): Delivery {
  const folders = new MaildirFolders(root)
  const newName = nameMaker(hostname, clock)
  const write = atMost(MAX_WRITERS)

  /** Writes a copy to `tmp`, and says what it is to be called in `new`. */
  async function prepare(
    envelope: Envelope,
    message: Message,
    recipient: DeliveryRecipient,
  ): Promise<Prepared & { readonly folder: Folder }> {
    const folder = await folders.folderFor(recipient)
    const head = traceFields(envelope, recipient, hostname)
    const unique = newName()
    const temporary = join(folder.path, 'tmp', unique)
    const final = join(folder.path, 'new', `${unique},S=${Buffer.byteLength(head) + message.size}`)
    try {
      await writeFile(temporary, head, message)
    } catch (error) {
      await removeIfThere(temporary)
      throw error
    }
    return { temporary, final, folder }
  }

  async function deliverNow(
    envelope: Envelope,
    message: Message,
    recipient: DeliveryRecipient,
  ): Promise<void> {
    const { temporary, final, folder } = await prepare(envelope, message, recipient)
    try {
      await rename(temporary, final)
    } catch (error) {
      await removeIfThere(temporary)
      throw error
    }
    try {
      await folder.newNames.flush()
    } catch (error) {
      // The MTA will send it again: this copy would be one too many.
      await removeIfThere(final)
      throw error
    }
  }

  /** Tries it again where somebody has removed the folder since it was made. */
  async function inFolder<T>(recipient: DeliveryRecipient, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (!isMissing(error) || !folders.forget(recipient)) throw error
      return work()
    }
  }

  async function outcomeOf(work: () => Promise<void>): Promise<DeliveryOutcome> {
    try {
      await work()
      return { kind: 'delivered' }
    } catch (cause) {
      return { kind: 'failed', cause }
    }
  }

  async function handOn(
    envelope: Envelope,
    message: Message,
    recipient: DeliveryRecipient,
    handOver: HandOver,
  ): Promise<void> {
    if (handOver.noted !== undefined) {
      await comeOut(readPrepared(handOver.noted))
      return
    }
    const prepared = await inFolder(recipient, () => prepare(envelope, message, recipient))
    const { temporary, final } = prepared
    try {
      // Its name must be on the disk before anybody relies on it.
      await flushDirectory(join(prepared.folder.path, 'tmp'))
      await handOver.note(JSON.stringify({ temporary, final }))
    } catch (error) {
      // Where it may have been noted, the next try looks for it.
      if (error instanceof NotNoted) await removeIfThere(temporary)
      throw error
    }
    await comeOut(prepared)
  }

  return {
    name: 'maildir',
    deliver: (envelope, message, recipients) =>
      Promise.all(
        recipients.map(recipient =>
          write(() => outcomeOf(() => inFolder(recipient, () => deliverNow(envelope, message, recipient)))),
        ),
      ),
    deliverOnce: (envelope, message, recipient, handOver) =>
      write(() => outcomeOf(() => handOn(envelope, message, recipient, handOver))),
  }
}
