/** The command line in process: a store in memory, streams that are kept, a clock that stands still. */
import type { JournalStore } from '../../src/app/journal.ts'
import type { Delivery } from '../../src/app/message.ts'
import type { SendNotice } from '../../src/app/moderation/notices.ts'
import { Moderation } from '../../src/app/moderation.ts'
import type { Store } from '../../src/app/ports.ts'
import { Output, type Stream } from '../../src/cli/output.ts'
import { run } from '../../src/cli/program.ts'
import type { World } from '../../src/cli/world.ts'
import type { Config } from '../../src/config/config.ts'
import { loadConfig } from '../../src/config/load.ts'
import type { Site } from '../../src/core/facts.ts'
import { createDiscardDelivery } from '../../src/delivery/discard.ts'
import { FileHeldQueue } from '../../src/delivery/held-queue.ts'
import { MemoryJournal } from '../support/memory-journal.ts'
import { MemoryStore } from '../support/memory-store.ts'

/** What a command came to. */
export interface Finished {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** A stream that keeps what is written to it. */
export class KeptStream implements Stream {
  text = ''
  readonly isTTY: boolean
  readonly columns = 100

  constructor(options: { readonly terminal?: boolean } = {}) {
    this.isTTY = options.terminal ?? false
  }

  write(text: string): boolean {
    this.text += text
    return true
  }

  on(): void {}
  once(): void {}

  hasColors(): boolean {
    return this.isTTY
  }
}

export interface ConsoleOptions {
  readonly store?: Store
  readonly journal?: JournalStore
  readonly site?: Site
  readonly terminal?: boolean
  readonly openStore?: () => Promise<Store>
  readonly loadConfig?: World['loadConfig']
  readonly serve?: World['serve']
  readonly clock?: () => number
  readonly signal?: AbortSignal
  /** The queue of held messages; by default there is none. */
  readonly heldPath?: string
  /** Where accepted messages go. */
  readonly delivery?: Delivery
  readonly sendNotice?: SendNotice
}

/** The configuration of a place without one. */
export function defaultConfig(): Config {
  const result = loadConfig({ cwd: '/nowhere', env: {} })
  if (!result.ok) throw new Error('the defaults are not in order')
  return result.value
}

async function* chunks(text: string | Uint8Array): AsyncGenerator<Uint8Array> {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text
  if (bytes.length > 0) yield bytes
}

export class Console {
  readonly store: Store
  readonly journal: JournalStore
  readonly #options: ConsoleOptions

  constructor(options: ConsoleOptions = {}) {
    this.store = options.store ?? new MemoryStore(() => 0)
    this.journal = options.journal ?? new MemoryJournal(options.clock ?? (() => 0))
    this.#options = options
  }

  async run(args: readonly string[], input: string | Uint8Array = ''): Promise<Finished> {
    const { terminal = false, site, clock = () => 0, signal } = this.#options
    const stdout = new KeptStream({ terminal })
    const stderr = new KeptStream({ terminal })
    const config = defaultConfig()
    const status = await run(args, {
      stdin: chunks(input),
      stdout: new Output(stdout),
      stderr: new Output(stderr, { mayFail: true }),
      clock,
      version: '0.0.0',
      loadConfig:
        this.#options.loadConfig ??
        (async () => ({ ok: true, value: { ...config, site: site ?? config.site } })),
      openStore: this.#options.openStore ?? (async () => this.store),
      openModeration: async (_config, store) => {
        const path = this.#options.heldPath ?? config.held.path
        const queue = new FileHeldQueue({ path, maxMessages: 0, maxSize: 0 }, clock)
        const delivery = this.#options.delivery ?? createDiscardDelivery()
        const moderation = new Moderation({
          queue,
          directory: store,
          deliveryFor: () => delivery,
          site: config.site,
          sendNotice: this.#options.sendNotice,
        })
        return { moderation, close: async () => {} }
      },
      openJournal: async () => this.journal,
      serve: this.#options.serve ?? (async () => 0),
      interruption: () => signal ?? new AbortController().signal,
    })
    return { status, stdout: stdout.text, stderr: stderr.text }
  }

  /** Runs a command that must succeed, and gives its standard output. */
  async must(...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(args)
    if (status !== 0) throw new Error(`${args.join(' ')}: ${status}\n${stderr}`)
    return stdout
  }
}
