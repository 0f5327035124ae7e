/** A queue of held messages, a list and a maildir in a directory, as each of several processes has them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Moderation, type ModerationParts } from '../../src/app/moderation.ts'
import { INITIAL_SITE } from '../../src/core/facts.ts'
import { INITIAL_SETTINGS } from '../../src/core/list.ts'
import { FileHeldQueue } from '../../src/delivery/held-queue.ts'
import { createMaildirDelivery } from '../../src/delivery/maildir.ts'
import { MemoryStore } from '../support/memory-store.ts'
import { address } from '../support/vectors.ts'

export const LIST = address('team@lists.example.org').key

export interface HeldSite {
  readonly queue: FileHeldQueue
  readonly moderation: Moderation
  readonly store: MemoryStore
  /** What makes a recipient one that is held. */
  readonly hold: { readonly disposition: 'hold'; readonly grounds: typeof GROUNDS }
  /** What is in the list's maildir. */
  delivered(): readonly Buffer[]
}

const GROUNDS = { reason: 'first-post', rule: 'first-post-seen', returnPath: 'admitted' } as const

export async function heldSite(directory: string, parts: Partial<ModerationParts> = {}): Promise<HeldSite> {
  const store = new MemoryStore(() => 0)
  await store.createList(LIST, INITIAL_SETTINGS)
  const queue = new FileHeldQueue({ path: join(directory, 'held'), maxMessages: 0, maxSize: 0 })
  const maildir = createMaildirDelivery({ root: join(directory, 'mail'), hostname: 'h' })
  const moderation = new Moderation({
    queue,
    directory: store,
    deliveryFor: () => maildir,
    site: INITIAL_SITE,
    sendNotice: undefined,
    ...parts,
  })
  return {
    queue,
    moderation,
    store,
    hold: { disposition: 'hold', grounds: GROUNDS },
    delivered() {
      const path = join(directory, 'mail/lists.example.org/team/new')
      return existsSync(path) ? readdirSync(path).map(name => readFileSync(join(path, name))) : []
    },
  }
}
