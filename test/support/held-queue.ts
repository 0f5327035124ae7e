/** The queue of held messages as a test looks at it: each message with what is said of it, oldest first. */
import type { HeldPost } from '../../src/app/held.ts'
import type { ListAddress } from '../../src/core/transaction.ts'
import { FileHeldQueue } from '../../src/delivery/held-queue.ts'

export interface HeldCopy {
  readonly id: string
  readonly post: HeldPost
  readonly octets: Buffer
}

/** The messages of a list that are in the queue at a path, or those of all lists. */
export async function heldIn(path: string, list?: string): Promise<readonly HeldCopy[]> {
  const queue = new FileHeldQueue({ path, maxMessages: 0, maxSize: 0 })
  const found: HeldCopy[] = []
  for await (const entry of queue.entries(list as ListAddress | undefined)) {
    if (entry.kind === 'damaged') throw new Error(`${entry.path}: ${entry.problem}`)
    const open = await queue.message(entry.id)
    const pieces: Uint8Array[] = []
    for await (const piece of open?.message.read() ?? []) pieces.push(piece)
    await open?.close()
    found.push({ id: entry.id, post: entry.post, octets: Buffer.concat(pieces) })
  }
  return found
}
