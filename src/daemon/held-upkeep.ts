/**
 * What the daemon does about messages that wait for a moderator: carries on what processes have begun that have died,
 * ends the waiting of messages that have waited for too long, and clears away what was never whole. At the start, and
 * every minute; the second every hour.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log, LogFields } from '../app/log.ts'
import type { CarriedOut, Decision, Moderated, Moderation } from '../app/moderation.ts'
import { formatReply } from '../core/reply.ts'

export interface UpkeepSettings {
  /** How long a message waits, in milliseconds; `undefined` is for ever. */
  readonly expireAfterMs: number | undefined
  readonly expireAction: Decision
}

const PERIOD_MS = 60_000

/** What could not be ended is not tried again every minute. */
const EXPIRY_PERIOD_MS = 3_600_000

function aboutPost(outcome: Moderated): LogFields {
  if (!('post' in outcome)) return {}
  const { envelope, to } = outcome.post
  return { list: to.list, sender: envelope.sender.text }
}

/** Says what became of a message. */
export function logModerated(log: Log, why: string, { id, outcome }: CarriedOut): void {
  const about = { id, ...aboutPost(outcome) }
  switch (outcome.kind) {
    case 'accepted':
      log.info(`held message accepted, ${why}`, { ...about, delivery: outcome.delivery })
      return
    case 'rejected':
    case 'discarded':
      log.info(`held message ${outcome.kind}, ${why}`, about)
      return
    case 'refused':
      log.warn('held message refused by the next hop', {
        ...about,
        delivery: outcome.delivery,
        reply: formatReply(outcome.reply),
      })
      return
    case 'failed':
      log.error('held message not dealt with', { ...about, cause: outcome.cause })
      return
    case 'damaged':
      log.error('held message damaged', { id, path: outcome.path, cause: outcome.problem })
      return
    case 'unknown':
    case 'busy':
      return
  }
}

export class HeldUpkeep {
  readonly #moderation: Moderation
  readonly #settings: () => UpkeepSettings
  readonly #log: Log
  readonly #clock: () => number
  readonly #stopping = new AbortController()
  #running: Promise<void> | undefined
  #expiryDue = 0

  constructor(
    moderation: Moderation,
    settings: () => UpkeepSettings,
    { log, clock }: { readonly log: Log; readonly clock: () => number },
  ) {
    this.#moderation = moderation
    this.#settings = settings
    this.#log = log
    this.#clock = clock
  }

  start(): void {
    this.#running ??= this.#run()
  }

  /** Begins nothing more, and ends after what is under way, or when that has taken too long: it will be carried on. */
  async stop(withinMs: number): Promise<void> {
    this.#stopping.abort()
    const ended = new AbortController()
    const running = this.#running?.finally(() => ended.abort())
    await Promise.race([running, sleep(withinMs, undefined, { signal: ended.signal }).catch(() => {})])
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    while (!signal.aborted) {
      await this.once()
      await sleep(PERIOD_MS, undefined, { signal, ref: false }).catch(() => {})
    }
  }

  /** Does all there is to do. Does not reject. */
  async once(): Promise<void> {
    try {
      await this.#all('as was decided before a process died', this.#moderation.recover())
      await this.#expire(this.#clock())
      await this.#moderation.queue.clean()
    } catch (cause) {
      this.#log.error('the queue of held messages could not be looked after', { cause })
    }
  }

  async #expire(now: number): Promise<void> {
    const { expireAfterMs, expireAction } = this.#settings()
    if (expireAfterMs === undefined || now < this.#expiryDue) return
    this.#expiryDue = now + EXPIRY_PERIOD_MS
    const expired = this.#moderation.expire(now - expireAfterMs, expireAction)
    await this.#all('as it has waited for too long', expired)
  }

  async #all(why: string, done: AsyncIterable<CarriedOut>): Promise<void> {
    for await (const each of done) {
      logModerated(this.#log, why, each)
      if (this.#stopping.signal.aborted) return
    }
  }
}
