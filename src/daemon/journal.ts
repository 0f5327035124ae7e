/** The daemon's journal: opened where the store is, written to by one writer, and ended after the last decision. */
import { randomUUID } from 'node:crypto'
import type { Journal, JournalStore } from '../app/journal.ts'
import type { AddressShown } from '../app/journal-event.ts'
import { JournalWriter } from '../app/journal-writer.ts'
import type { Log } from '../app/log.ts'
import type { Clock } from '../app/ports.ts'
import type { Config } from '../config/config.ts'
import { hashingCloak, loadCloakKey, NO_CLOAK } from './address-cloak.ts'

export interface JournalParts {
  readonly config: Config
  readonly log: Log
  readonly clock: Clock
  readonly version: string
  /** Opens what is written to. */
  readonly open: (config: Config) => Promise<JournalStore>
}

/** A journal that is written to. */
export interface RunningJournal extends Journal {
  /** Writes what there is, within a short time, and lets go of the store. */
  close(): Promise<void>
}

/** The key of the hashes cannot be read or made. */
export class CloakKeyError extends Error {
  readonly code = 'POSTERN_CLOAK_KEY'
  override readonly name = 'CloakKeyError'
}

function addressesOf({ journal, log }: Config): AddressShown {
  switch (journal.addresses) {
    case 'full':
      return NO_CLOAK
    case 'none':
      return undefined
    case 'hashed':
      try {
        return hashingCloak(loadCloakKey(log.keyFile))
      } catch (cause) {
        throw new CloakKeyError(cause instanceof Error ? cause.message : String(cause), { cause })
      }
  }
}

/**
 * Starts the journal, if there is to be one.
 * @throws CloakKeyError, and the store's errors if it can never be used as it is
 */
export async function startJournal(parts: JournalParts): Promise<RunningJournal | undefined> {
  const { config, log, clock, version, open } = parts
  if (!config.journal.enabled) return undefined
  const addresses = addressesOf(config)
  const store = await open(config)
  const { node, retention } = config.journal
  const writer = new JournalWriter({
    sink: store,
    node,
    version,
    pid: process.pid,
    writer: randomUUID(),
    retention,
    addresses,
    clock,
    log,
  })
  writer.start()
  return {
    record: decided => writer.record(decided),
    close: async () => {
      await writer.close()
      await store.close()
    },
  }
}
