/**
 * Delivery into Maildirs: one for each list, `ROOT/DOMAIN/LOCAL-PART`, written by the rules of maildir(5) and
 * Maildir++. Posts go to the list's `new`, posts that wait for a moderator to its folder `.Held`, mail to service
 * addresses to folders named for the service (`.owner`, `.bounces`).
 *
 * A copy is delivered when its octets, its name and the names of all directories above it are on the disk. What fails
 * before leaves nothing behind.
 */
import { randomBytes } from 'node:crypto'
import { open, rename, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { Delivery, DeliveryOutcome, DeliveryRecipient, Envelope, Message } from '../app/message.ts'
import type { Clock } from '../app/ports.ts'
import { atMost } from './at-most.ts'
import { MaildirFolders } from './maildir-folders.ts'
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

async function removeIfThere(path: string): Promise<void> {
  await unlink(path).catch(() => {})
}

export function createMaildirDelivery({ root, hostname, clock = Date.now }: MaildirSettings): Delivery {
  const folders = new MaildirFolders(root)
  const newName = nameMaker(hostname, clock)
  const write = atMost(MAX_WRITERS)

  async function deliverOnce(
    envelope: Envelope,
    message: Message,
    recipient: DeliveryRecipient,
  ): Promise<void> {
    const folder = await folders.folderFor(recipient)
    const head = traceFields(envelope, recipient, hostname)
    const unique = newName()
    const temporary = join(folder.path, 'tmp', unique)
    const final = join(folder.path, 'new', `${unique},S=${Buffer.byteLength(head) + message.size}`)
    try {
      await writeFile(temporary, head, message)
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

  async function deliver(
    envelope: Envelope,
    message: Message,
    recipient: DeliveryRecipient,
  ): Promise<DeliveryOutcome> {
    try {
      await deliverOnce(envelope, message, recipient).catch(async (error: NodeJS.ErrnoException) => {
        // Somebody has removed the folder since it was made.
        if (error.code !== 'ENOENT' || !folders.forget(recipient)) throw error
        await deliverOnce(envelope, message, recipient)
      })
      return { kind: 'delivered' }
    } catch (cause) {
      return { kind: 'failed', cause }
    }
  }

  return {
    name: 'maildir',
    deliver: (envelope, message, recipients) =>
      Promise.all(recipients.map(recipient => write(() => deliver(envelope, message, recipient)))),
  }
}
