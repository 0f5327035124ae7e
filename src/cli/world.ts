/**
 * What the command line is given by whoever starts it: streams, the time, and the parts of the program that open
 * things. Tests give it others.
 */

import type { JournalStore } from '../app/journal.ts'
import type { Moderation } from '../app/moderation.ts'
import type { Clock, Store } from '../app/ports.ts'
import type { Config } from '../config/config.ts'
import type { ConfigResult } from '../config/load.ts'
import type { ExitStatus } from './exit.ts'
import type { Output } from './output.ts'

/** Moderation, and what it keeps open. */
export interface OpenModeration {
  readonly moderation: Moderation
  close(): Promise<void>
}

export interface World {
  readonly stdin: AsyncIterable<Uint8Array>
  /** Data. */
  readonly stdout: Output
  /** Talk. */
  readonly stderr: Output
  readonly clock: Clock
  readonly version: string
  loadConfig(file: string | undefined): Promise<ConfigResult>
  openStore(config: Config): Promise<Store>
  openJournal(config: Config): Promise<JournalStore>
  /** Opens the queue of held messages, with the deliveries that they go on to. */
  openModeration(config: Config, store: Store): Promise<OpenModeration>
  /** Runs the daemon until it ends, and gives its exit status. */
  serve(config: Config): Promise<ExitStatus>
  /** From the first call on, an interrupt does not end the program but this signal says so. */
  interruption(): AbortSignal
}
