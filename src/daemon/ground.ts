/** What every process of the daemon does alike: exit codes, the log, and the first look at the store. */
import { type Store, StoreUnavailable } from '../app/ports.ts'
import type { Config } from '../config/config.ts'
import { formatProblem } from '../config/problems.ts'
import { DaemonLog, readsJournal } from './log.ts'
import type { DaemonRecorder } from './recorder.ts'

/** Exit codes of sysexits(3). */
export const EXIT = { ok: 0, unavailable: 69, software: 70, config: 78 } as const
export type ServeExitCode = (typeof EXIT)[keyof typeof EXIT]

/** Where and how the program was started. */
export interface ServeContext {
  readonly cwd: string
  readonly env: NodeJS.ProcessEnv
  /** The script, as in `process.argv[1]`. */
  readonly script: string
}

export function say(text: string): void {
  process.stderr.write(text)
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

/** Opens the log on standard error. `worker` is the number of this process, if there are several. */
export function openLog(config: Config, env: NodeJS.ProcessEnv, worker?: number): DaemonLog {
  // Nobody reads the log any more; mail goes on.
  process.stderr.on('error', () => {})
  const parts = { target: process.stderr, journal: readsJournal(env), clock: Date.now }
  return new DaemonLog(config.log, worker === undefined ? parts : { ...parts, worker })
}

export function logWarnings({ warnings }: Config, log: DaemonLog): void {
  for (const warning of warnings) log.warn('configuration warning', { at: formatProblem(warning) })
}

/** Whether the store is there. @throws the store's error if it is one that never can be used */
export async function lookAtStore(
  store: Pick<Store, 'check'>,
  recorder: Pick<DaemonRecorder, 'storeState'>,
): Promise<void> {
  try {
    await store.check()
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error
    recorder.storeState('down', error)
  }
}
