/**
 * Signals, and the ends that nobody planned. SIGTERM and SIGINT end in order, a second one at once; SIGHUP reloads.
 */

import { constants } from 'node:os'

/** What signals set off. */
export interface SignalActions {
  /** Ends in order. Called once. */
  stop(signal: NodeJS.Signals): void
  reload(): void
  /** Ends now. */
  exit(code: number): void
  /** A bug came up where nobody catches it: says so; the process ends after it. */
  crashed(error: unknown): void
}

/** sysexits(3) EX_SOFTWARE. */
const EXIT_SOFTWARE = 70

/**
 * An interrupt that is repeated within so many milliseconds is the same one: npm passes on what the terminal has sent
 * to every process already.
 */
const SAME_INTERRUPT = 500

/** Listens to signals until the returned function is called. */
export function onSignals(actions: SignalActions): () => void {
  let stopping = false
  let interrupted = Number.NEGATIVE_INFINITY
  const end = (signal: NodeJS.Signals): void => {
    const repeated = signal === 'SIGINT' && performance.now() - interrupted < SAME_INTERRUPT
    if (signal === 'SIGINT' && !repeated) interrupted = performance.now()
    if (!stopping) actions.stop(signal)
    else if (!repeated) actions.exit(128 + constants.signals[signal])
    stopping = true
  }
  const reload = (): void => {
    if (!stopping) actions.reload()
  }
  const crash = (error: unknown): void => {
    actions.crashed(error)
    actions.exit(EXIT_SOFTWARE)
  }
  process.on('SIGTERM', end).on('SIGINT', end).on('SIGHUP', reload)
  process.on('uncaughtException', crash).on('unhandledRejection', crash)
  return () => {
    process.off('SIGTERM', end).off('SIGINT', end).off('SIGHUP', reload)
    process.off('uncaughtException', crash).off('unhandledRejection', crash)
  }
}
